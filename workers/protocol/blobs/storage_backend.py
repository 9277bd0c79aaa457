"""The file system under the blobs, by fsspec: a local folder or an object store, with errors that have a code."""

import errno
import logging
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import fsspec

from ml.errors import AffectError

logger = logging.getLogger(__name__)

BLOCK_BYTES = 8 * 2**20
"""Sent to an object store, or asked of it, at once: what one upload holds in memory. S3 takes 10,000 of them."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FOUND_OTHERWISE = frozenset({errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EISDIR})
"""Answers, not faults: what is there is not what was expected."""
_REMOTE = frozenset({"botocore", "aiobotocore", "aiohttp", "asyncio"})
_NO_BUCKET = "NoSuchBucket"
_PATIENCE = {"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 1}}


class StorageError(AffectError):
    """The store cannot be reached, or refuses us: nobody's job is to blame."""

    code = "storage_unavailable"
    retryable = True


class StorageFull(StorageError):
    """There is no room left."""

    code = "storage_full"


def is_out_of_space(error: OSError) -> bool:
    return error.errno in _NO_ROOM


def storage_full() -> StorageFull:
    return StorageFull("There is no room to store it. Try again later.")


def storage_unavailable() -> StorageError:
    return StorageError("The storage cannot be reached. Try again soon.")


class ErrorTranslatingFile:
    """A file or file system whose methods raise StorageError for what is a fault of the store."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return partial(translate_errors, found) if callable(found) else found


class SpaceCheckedFile(ErrorTranslatingFile):
    """A file into which nothing is written any more once there is too little room."""

    def __init__(self, inner: Any, has_room: Callable[[], bool]) -> None:
        super().__init__(inner)
        self._has_room = has_room

    def write(self, data: bytes) -> int:
        """Raises StorageFull."""
        if not self._has_room():
            raise storage_full()
        return cast(int, translate_errors(self._inner.write, data))


def translate_errors(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Calls. Raises StorageFull, StorageError, and OSError where it only says that something is not there."""
    try:
        return call(*args, **options)
    except OSError as error:
        if is_out_of_space(error):
            raise storage_full() from error
        if error.errno in _FOUND_OTHERWISE or (isinstance(error, FileNotFoundError) and not _lacks_bucket(error)):
            raise
        logger.error("the blob store: %s", type(error).__name__, exc_info=error)
        raise storage_unavailable() from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _REMOTE:
            raise
        logger.error("the blob store: %s", type(error).__name__, exc_info=error)
        raise storage_unavailable() from error


def _lacks_bucket(error: BaseException) -> bool:
    return _NO_BUCKET in str(error.__cause__) or "bucket does not exist" in str(error)


def free_bytes(path: Path) -> int:
    """Of the disk on which `path` lies, or will."""
    try:
        return shutil.disk_usage(path).free
    except FileNotFoundError:
        return free_bytes(path.parent)


def open_file_system(url: str) -> tuple[Any, str]:
    """The file system of an fsspec URL, and the path in it. Nothing that another process may change is remembered."""
    protocol = fsspec.utils.get_protocol(url)
    options: dict[str, Any] = {"auto_mkdir": True} if protocol == "file" else {"use_listings_cache": False}
    if protocol in ("s3", "s3a"):
        options["config_kwargs"] = _PATIENCE  # beside the tries that s3fs itself makes
    files, root = fsspec.core.url_to_fs(url, **options)
    return ErrorTranslatingFile(files), root.rstrip("/")
