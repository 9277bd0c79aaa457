"""Repositories of a model hub (huggingface.co or a mirror): what they hold, and their files, resumable and verified.

`huggingface_hub` does the transport. Its `hf_hub_download` restarts an interrupted file in the next process and
compares sizes, never hashes; here a partial file has a name of its own, any later call resumes it, and it is verified.
"""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import httpx2
from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ml.errors import FetchFailed

HUB = "https://huggingface.co"
HASH_CHUNK_BYTES = 1 << 20
METADATA_TIMEOUT_SECONDS = 30.0
NOT_FOUND_STATUS = (401, 403, 404)
"""HTTP status codes of a hub for a repository or revision that does not exist or is not public."""
_HEADERS = {"User-Agent": "affect", "Accept-Encoding": "identity"}
_UNREACHABLE_ERRORS = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
    OfflineModeIsEnabled,
)
_CONNECTION_ERRORS = (httpx2.HTTPError, *_UNREACHABLE_ERRORS)

Sha1 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _LargeFile(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    sha256: Sha256


class RemoteFile(BaseModel):
    """File of a repository. Its hash is the sha256 of a large file (Git LFS), else the sha1 of the git blob."""

    model_config = ConfigDict(from_attributes=True)

    name: str = Field(alias="rfilename")
    size: int = Field(ge=0)
    blob: Sha1 = Field(alias="blob_id")
    lfs: _LargeFile | None = None

    @property
    def digest(self) -> str:
        """Hash of the content, in hexadecimal digits."""
        return self.lfs.sha256 if self.lfs else self.blob

    @property
    def part_name(self) -> str:
        """Name of the partial file; it includes the hash, so that a download of other content is never resumed."""
        return f"{self.name}.{self.digest[:16]}.part"

    def is_content_of(self, path: Path) -> bool:
        """Return whether the file at `path` has the size and the hash that the repository states."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        content_hash = hashlib.sha256() if self.lfs else hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        with path.open("rb") as stream:
            for chunk in iter(lambda: stream.read(HASH_CHUNK_BYTES), b""):
                content_hash.update(chunk)
        return content_hash.hexdigest() == self.digest


class Snapshot(BaseModel):
    """Repository at one commit: `revision` is its hash. `tags`: languages, `license:…` and others."""

    model_config = ConfigDict(from_attributes=True)

    revision: Sha1 = Field(alias="sha")
    files: tuple[RemoteFile, ...] = Field(alias="siblings")
    tags: tuple[str, ...] = ()


class Hub:
    """Client of one hub. Every failure of the connection or of an answer is raised as FetchFailed."""

    def __init__(self, endpoint: str = HUB) -> None:
        self.endpoint = endpoint.rstrip("/")
        constants.HF_HUB_DISABLE_TELEMETRY = True
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # retries are no news: a failure is an exception

    def snapshot(self, repository: str, revision: str = "main") -> Snapshot:
        """Return what `repository` (OWNER/REPO) holds at a branch, tag or commit, with sizes and hashes."""
        if not self.endpoint:  # HfApi would take its default instead
            raise self._unreachable()
        api = HfApi(endpoint=self.endpoint, token=False, headers=_HEADERS)
        try:
            info = api.model_info(repository, revision=revision, files_metadata=True, timeout=METADATA_TIMEOUT_SECONDS)
            return Snapshot.model_validate(info)
        except HfHubHTTPError as error:
            if error.response.status_code in NOT_FOUND_STATUS:
                raise FetchFailed(f"the hub {self.endpoint} has no public model {repository} at {revision}") from error
            raise self._failure(error) from error
        except _CONNECTION_ERRORS as error:
            raise self._failure(error) from error
        except (ValidationError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise FetchFailed(f"what {self.endpoint} says of {repository} is not the answer of a hub") from error

    def download(
        self, repository: str, revision: str, file: RemoteFile, path: Path, progress: Callable[[int], None]
    ) -> None:
        """Download `file` to `path`, which appears complete and verified or not at all.

        The partial file is stored in the same folder as `part_name`; the next call resumes it. Within a call a lost
        connection is resumed as long as bytes arrive. `progress` is called with the number of bytes at hand.
        """
        url = hf_hub_url(repository, file.name, revision=revision, endpoint=self.endpoint)
        part = path.with_name(file.part_name)
        part.touch()
        while (at_hand := part.stat().st_size) < file.size:
            progress(at_hand)
            lost: Exception = httpx2.RemoteProtocolError("the answer ended early")
            try:
                with part.open("ab") as stream:
                    bar = _ProgressBar(file.size, progress)
                    http_get(url, stream, resume_size=at_hand, headers=_HEADERS, tqdm_class=bar.start)  # type: ignore[arg-type]
            except HfHubHTTPError as error:
                raise self._failure(error) from error
            except _TooLong:
                break
            except _CONNECTION_ERRORS as error:
                lost = error
            if part.stat().st_size <= at_hand:
                raise self._failure(lost) from lost
        if not file.is_content_of(part):
            part.unlink()
            raise FetchFailed(f"{file.name} of {repository} is not what the hub promised: its hash differs")
        part.replace(path)
        progress(file.size)

    def _failure(self, error: Exception) -> FetchFailed:
        if isinstance(error, HfHubHTTPError):
            return FetchFailed(f"the hub {self.endpoint} answered {error.response.status_code}")
        if isinstance(error, _UNREACHABLE_ERRORS):
            return self._unreachable()
        return FetchFailed(f"the connection to {self.endpoint} was lost; run the same command again to resume")

    def _unreachable(self) -> FetchFailed:
        return FetchFailed(f"the hub {self.endpoint} cannot be reached (HF_ENDPOINT names another)")


class _TooLong(Exception):
    """The hub sends more bytes than it stated."""


class _ProgressBar:
    """Progress bar for `http_get` that reports the number of bytes at hand and bounds it by the stated size."""

    def __init__(self, size: int, progress: Callable[[int], None]) -> None:
        self._size, self._progress = size, progress
        self._at_hand = 0

    def start(self, initial: int = 0, **_: Any) -> Self:
        """Return the bar itself, for a download that resumes after `initial` bytes."""
        self._at_hand = initial
        return self

    def update(self, count: int) -> None:
        self._at_hand += count
        if self._at_hand > self._size:
            raise _TooLong
        self._progress(self._at_hand)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
