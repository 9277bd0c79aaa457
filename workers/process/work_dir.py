"""Where a worker process unpacks media: a folder of its own, gone with it even when it is killed.

A process holds a lock on its folder while it lives, whatever its number and its host are called; whoever comes next
removes the folders that nobody holds.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_LOCK = "lock"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _hold(folder: Path) -> IO[str] | None:
    """The lock of a folder, until it is closed; null when somebody else holds it."""
    file = (folder / _LOCK).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


class Scratch:
    """Makes the folder `path`; from then on Python's temporary files lie there too."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / _LOCK):
            for folder in filter(Path.is_dir, root.iterdir()):
                _remove_dead(folder)
            self.path = Path(tempfile.mkdtemp(prefix="worker-", dir=root.absolute()))
            self._held = _hold(self.path)
        tempfile.tempdir = str(self.path)

    def remove(self) -> None:
        tempfile.tempdir = None
        shutil.rmtree(self.path, ignore_errors=True)
        if self._held is not None:
            self._held.close()


def _remove_dead(folder: Path) -> None:
    held = _hold(folder)
    if held is not None:
        shutil.rmtree(folder, ignore_errors=True)
        held.close()
