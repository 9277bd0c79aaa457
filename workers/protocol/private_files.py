"""Privacy of what a process writes: only its own user can read its files, and a crash writes no memory to the disk."""

import logging
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""Permissions of the group and of other users."""
STORED_FOLDERS = ("blobs", "scratch", "logs", "redis")
"""Folders of the service in its data folder."""
_NO_CORE_DUMPS = 1
"""Limit of core dumps in bytes. Unlike 0, it also keeps Linux from passing a dump to a program (`core(5)`)."""


def restrict_process() -> None:
    """Make the files that this process and its children create private, and forbid core dumps."""
    os.umask(OTHERS)
    hard_limit = resource.getrlimit(resource.RLIMIT_CORE)[1]
    limit = 0 if hard_limit == 0 else _NO_CORE_DUMPS
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def restrict_folder(folder: Path) -> None:
    """Create a folder that only this user can access, or take access to it and to its stored files from others.

    A folder that many users share on purpose (such as /tmp) stays as it is, apart from what the service stores there.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    refused = False
    for path in _paths_to_restrict(folder):
        try:
            mode = path.stat(follow_symlinks=False).st_mode
            if mode & OTHERS and not stat.S_ISLNK(mode):
                path.chmod(stat.S_IMODE(mode) & ~OTHERS)
        except FileNotFoundError:  # another process has deleted it
            continue
        except PermissionError:
            refused = True
    if refused:
        logger.warning("other users may read %s: its owner should run `chmod -R go-rwx` on it", folder)


def _paths_to_restrict(folder: Path) -> Iterator[Path]:
    if not folder.stat().st_mode & OTHERS:
        return
    if not folder.stat().st_mode & stat.S_ISVTX:
        yield folder
    for name in STORED_FOLDERS:
        root = folder / name
        if root.is_dir() and not root.is_symlink() and root.stat().st_mode & OTHERS:
            for parent, folders, files in os.walk(root):  # passes folders that another process deletes
                yield from (Path(parent, each) for each in (*folders, *files))
            yield root
