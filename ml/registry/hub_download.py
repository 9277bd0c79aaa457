"""A model hub that speaks the protocol of huggingface.co: what a repository holds, and its files, resumable.

huggingface_hub would be the client of choice, but since 1.0 it begins an interrupted file anew in the next process, and
it compares sizes, never hashes.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import quote

import httpx
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from ml.errors import FetchFailed

HUB = "https://huggingface.co"
CHUNK = 1 << 20
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_ABSENT = (401, 403, 404)
"""What a hub says of a repository or revision that it does not have, or not for everybody."""


class _Lfs(BaseModel):
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class RemoteFile(BaseModel):
    """A file of a repository. Its hash is the sha256 of a large file, else the sha1 of the git blob."""

    name: str = Field(alias="rfilename")
    size: int = Field(ge=0)
    blob: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] = Field(alias="blobId")
    lfs: _Lfs | None = None

    @property
    def digest(self) -> str:
        """Names the content, in hexadecimal digits."""
        return self.lfs.sha256 if self.lfs else self.blob

    @property
    def part_name(self) -> str:
        """Under which name it grows: what has come of another content is never gone on with."""
        return f"{self.name}.{self.digest[:16]}.part"

    def is_content_of(self, path: Path) -> bool:
        """Whether the file at `path` is the one that the repository promises."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        known = hashlib.sha256() if self.lfs else hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        with path.open("rb") as stream:
            for chunk in iter(lambda: stream.read(CHUNK), b""):
                known.update(chunk)
        return known.hexdigest() == self.digest


class Snapshot(BaseModel):
    """A repository at one commit: `revision` is its hash. `tags`: languages, `license:…` and others."""

    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] = Field(alias="sha")
    files: tuple[RemoteFile, ...] = Field(alias="siblings")
    tags: tuple[str, ...] = ()


class Hub:
    """A connection to one hub, as a context manager. All failures are FetchFailed."""

    def __init__(self, endpoint: str = HUB) -> None:
        self.endpoint = endpoint.rstrip("/")

    def __enter__(self) -> Self:
        self._client = httpx.Client(
            follow_redirects=True, timeout=_TIMEOUT, headers={"Accept-Encoding": "identity", "User-Agent": "affect"}
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def snapshot(self, repository: str, revision: str = "main") -> Snapshot:
        """What `repository` (OWNER/REPO) holds at a branch, tag or commit, with sizes and hashes."""
        url = f"{self.endpoint}/api/models/{quote(repository)}/revision/{quote(revision, safe='')}"
        try:
            answer = self._client.get(url, params={"blobs": "true"})
            if answer.status_code in _ABSENT:
                raise FetchFailed(f"the hub {self.endpoint} has no public model {repository} at {revision}")
            answer.raise_for_status()
            return Snapshot.model_validate_json(answer.content)
        except ValidationError as error:
            raise FetchFailed(f"what {self.endpoint} says of {repository} is not the answer of a hub") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._failure(error) from error

    def download(
        self, repository: str, revision: str, file: RemoteFile, path: Path, progress: Callable[[int], None]
    ) -> None:
        """Brings `file` to `path`, which appears complete and checked or not at all.

        What has come so far lies beside it under `part_name`; the next call goes on there. Within a call, a lost
        connection is taken up again for as long as bytes arrive. `progress` is told the bytes of the file at hand.
        """
        part = path.with_name(file.part_name)
        url = f"{self.endpoint}/{quote(repository)}/resolve/{revision}/{quote(file.name)}"
        part.touch()
        while (at_hand := part.stat().st_size) < file.size:
            progress(at_hand)
            try:
                self._continue(url, part, at_hand, file.size, progress)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                if isinstance(error, httpx.HTTPStatusError) or part.stat().st_size <= at_hand:
                    raise self._failure(error) from error
        if not file.is_content_of(part):
            part.unlink()
            raise FetchFailed(f"{file.name} of {repository} is not what the hub promised: its hash differs")
        part.replace(path)
        progress(file.size)

    def _continue(self, url: str, part: Path, at_hand: int, size: int, progress: Callable[[int], None]) -> None:
        """Appends what the hub sends. One that does not know ranges sends all again."""
        headers = {"Range": f"bytes={at_hand}-"} if at_hand else {}
        with self._client.stream("GET", url, headers=headers) as answer:
            answer.raise_for_status()
            resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
            with part.open("ab" if resumed else "wb") as stream:
                for chunk in answer.iter_bytes():  # as it arrives: nothing is lost with the connection
                    stream.write(chunk)
                    progress(min(stream.tell(), size))
                    if stream.tell() > size:
                        return
        if part.stat().st_size < size:
            raise httpx.RemoteProtocolError("the answer ended early")

    def _failure(self, error: Exception) -> FetchFailed:
        if isinstance(error, httpx.HTTPStatusError):
            return FetchFailed(f"the hub {self.endpoint} answered {error.response.status_code}")
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol | httpx.InvalidURL):
            return FetchFailed(f"the hub {self.endpoint} cannot be reached (HF_ENDPOINT names another)")
        return FetchFailed(f"the connection to {self.endpoint} was lost; the same command goes on where it ended")
