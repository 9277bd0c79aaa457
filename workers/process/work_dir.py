"""Working directory of a worker process, removed when the process ends, even if it is killed.

A process holds a lock on its directory while it lives. The next process to start removes every directory that is not
locked. A lock does not depend on process ids or host names.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_LOCK = "lock"


class WorkDir:
    """Directory `path`, created under `root`. Python's temporary files are stored there too."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / _LOCK):
            for folder in filter(Path.is_dir, root.iterdir()):
                _remove_if_abandoned(folder)
            self.path = Path(tempfile.mkdtemp(prefix="worker-", dir=root.absolute()))
            self._lock = _try_lock(self.path)
        tempfile.tempdir = str(self.path)

    def remove(self) -> None:
        tempfile.tempdir = None
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _try_lock(folder: Path) -> IO[str] | None:
    """Lock a directory until the returned file is closed. Return None if another process holds the lock."""
    file = (folder / _LOCK).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _remove_if_abandoned(folder: Path) -> None:
    lock = _try_lock(folder)
    if lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()
