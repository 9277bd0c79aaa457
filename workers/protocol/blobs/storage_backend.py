"""Storage behind the blob store: a local folder or an object store, by fsspec, with errors that have a code."""

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
"""Bytes per request to an object store, and thus bytes of one upload in memory. S3 accepts 10,000 blocks per file."""

_OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PATH_ERRORS = frozenset({errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EISDIR})
"""Error numbers which say that a path is not what was expected. They are results, not faults of the storage."""
_CLIENT_LIBRARIES = frozenset({"botocore", "aiobotocore", "aiohttp", "asyncio"})
"""Top-level modules with exceptions that mean the object store could not be reached."""
_S3_OPTIONS = {"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 1}}


class StorageError(AffectError):
    """The storage cannot be reached, or rejects the service. No job is to blame."""

    code = "storage_unavailable"
    retryable = True


class StorageFull(StorageError):
    """The storage has no space left."""

    code = "storage_full"


def is_out_of_space(error: OSError) -> bool:
    """Return whether the error means that a disk or a quota is full."""
    return error.errno in _OUT_OF_SPACE


def storage_full() -> StorageFull:
    """Return the error for storage without space."""
    return StorageFull("The storage is full. Try again later.")


def storage_unavailable() -> StorageError:
    """Return the error for storage that cannot be reached."""
    return StorageError("The storage is unavailable. Try again soon.")


class ErrorTranslatingFile:
    """Proxy of a file or file system with methods that raise StorageError for faults of the storage."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        return partial(translate_errors, attribute) if callable(attribute) else attribute


class SpaceCheckedFile(ErrorTranslatingFile):
    """Such a proxy of a file that rejects writes when there is too little free space."""

    def __init__(self, inner: Any, has_free_space: Callable[[], bool]) -> None:
        super().__init__(inner)
        self._has_free_space = has_free_space

    def write(self, data: bytes) -> int:
        """Write to the file. Raises StorageFull, StorageError."""
        if not self._has_free_space():
            raise storage_full()
        return cast(int, translate_errors(self._inner.write, data))


def translate_errors(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a method of the storage. Raises StorageFull; StorageError; OSError only if a path is not as expected."""
    try:
        return call(*args, **options)
    except OSError as error:
        if is_out_of_space(error):
            raise storage_full() from error
        if error.errno in _PATH_ERRORS or (isinstance(error, FileNotFoundError) and not _lacks_bucket(error)):
            raise
        logger.error("the blob storage failed: %s", type(error).__name__, exc_info=error)
        raise storage_unavailable() from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _CLIENT_LIBRARIES:
            raise
        logger.error("the blob storage failed: %s", type(error).__name__, exc_info=error)
        raise storage_unavailable() from error


def _lacks_bucket(error: BaseException) -> bool:
    return "NoSuchBucket" in str(error.__cause__) or "bucket does not exist" in str(error)


def free_bytes(path: Path) -> int:
    """Return the free bytes on the disk of `path`, which need not exist yet."""
    try:
        return shutil.disk_usage(path).free
    except FileNotFoundError:
        return free_bytes(path.parent)


def open_file_system(url: str) -> tuple[Any, str]:
    """Return the file system of an fsspec URL, and the path within it. Nothing is cached that another process may
    change."""
    protocol = fsspec.utils.get_protocol(url)
    options: dict[str, Any] = {"auto_mkdir": True} if protocol == "file" else {"use_listings_cache": False}
    if protocol in ("s3", "s3a"):
        options["config_kwargs"] = _S3_OPTIONS  # s3fs itself retries in addition
    files, root = fsspec.core.url_to_fs(url, **options)
    return ErrorTranslatingFile(files), root.rstrip("/")
