"""Runner of the `io` queue: downloads the media of a job's URL, checks it as an upload is checked, and hands the job
off to analysis."""

import asyncio
import hashlib
import posixpath
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self
from urllib.parse import unquote

import httpx

from ml.errors import FetchFailed, FileTooLarge, MediaInvalid, ProcessingTimeout, UnsupportedMedia
from ml.signatures import MIN_SNIFF_BYTES, SNIFF_BYTES, format_from_signature
from workers.jobs.lease import Lease
from workers.jobs.runner import HandedOff, JobRunner, RunnerConfig
from workers.outbound.http_client import MAX_REDIRECTS, open_client
from workers.outbound.page_downloader import PageDownloader
from workers.protocol.blob_keys import fetched_media_info_key, media_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.net.ssrf import EgressPolicy
from workers.protocol.records import Claim, JobMedia, JobRequest, WorkerKind
from workers.protocol.store.job_store import JobStore

if TYPE_CHECKING:
    from workers.settings import WorkerSettings

COPY_BYTES = 1 << 20
CHECK_SECONDS = 0.25
"""Seconds between two checks whether a download is cancelled."""
MAX_NAME_CHARACTERS = 255
PACE_SECONDS = 60.0
"""Seconds over which the pace of a download is measured."""
_NAME_CHARSETS = frozenset({"utf-8", "iso-8859-1", "us-ascii"})
"""Character sets of a file name in a header (RFC 8187). Other codecs of Python may raise any error."""


class DownloadRefused(FetchFailed):
    """The server does not provide the file, now or later."""

    retryable = False


@dataclass(frozen=True)
class FetchLimits:
    """Limits of a download. `seconds`: of the whole download. `idle_seconds`: of silence. `bytes_per_second`: minimum,
    on average over `pace_seconds`. `pauses`: seconds before each further attempt, made only if nothing was received
    and another attempt may succeed."""

    bytes: int
    seconds: float
    idle_seconds: float
    pauses: tuple[float, ...] = (1.0, 5.0)
    bytes_per_second: int = 0
    pace_seconds: float = PACE_SECONDS

    @classmethod
    def from_settings(cls, settings: "WorkerSettings") -> Self:
        return cls(
            settings.max_upload_bytes,
            settings.fetch_seconds,
            settings.fetch_idle_seconds,
            bytes_per_second=settings.fetch_bytes_per_second,
        )


class DownloadRunner(JobRunner):
    """Downloads the media of jobs that were posted with a URL."""

    queue = "io"

    def __init__(
        self,
        job_store: JobStore,
        blobs: BlobStore,
        egress: EgressPolicy,
        limits: FetchLimits,
        config: RunnerConfig,
        wake: Callable[[WorkerKind], None],
        pages: PageDownloader | None = None,
    ) -> None:
        super().__init__(job_store, blobs, config, wake)
        self._egress, self._limits, self._pages = egress, limits, pages

    def run_next(self) -> str | None:
        """Claim and run the next download. Return its id, or None if no download may start."""
        if not self._can_start():
            return None
        claims = self._job_store.claim_batch(self.queue, 1, max_per_owner=self._config.max_per_owner)
        for claim in claims:
            self._run_attempts(claim)
        return claims[0].job_id if claims else None

    def execute(self, claim: Claim, request: JobRequest, lease: Lease) -> HandedOff:
        if request.url is None:
            raise DownloadRefused("The job has no URL.", stage="fetch")
        lease.stage("fetch")
        with self._blobs.open_writer(media_key(claim.job_id, claim.token), check_free_space=True) as file:
            media = self._download(request.url, file, lease)
        self._blobs.put(fetched_media_info_key(claim.job_id, claim.token), media.model_dump_json().encode())
        lease.check()
        return HandedOff("inference")

    def _download(self, url: str, file: BinaryIO, lease: Lease) -> JobMedia:
        """Download the file at the URL or, if pages are enabled, the media of the page there."""
        try:
            return asyncio.run(download(url, file, self._egress, self._limits, lease))
        except UnsupportedMedia:
            if self._pages is None:
                raise
        with tempfile.TemporaryDirectory(prefix="affect-page-") as folder:
            path, name = self._pages.download(url, Path(folder), lease.check)
            with path.open("rb") as source:
                return asyncio.run(_store(_read_chunks(source, lease), 0, _printable(name), file, self._limits, lease))

    def written_keys(self, claim: Claim) -> tuple[str, ...]:
        return (media_key(claim.job_id, claim.token), fetched_media_info_key(claim.job_id, claim.token))


async def download(url: str, file: BinaryIO, egress: EgressPolicy, limits: FetchLimits, lease: Lease) -> JobMedia:
    """Write the response body of the URL to `file`. Return its name, size and hash.

    Raises ForbiddenUrl, FetchFailed, FileTooLarge, UnsupportedMedia, MediaInvalid, ProcessingTimeout, and within
    `CHECK_SECONDS` what `lease.check` raises.
    """
    work = asyncio.ensure_future(_download_with_retries(url, file, egress, limits, lease))
    measured_at, measured_bytes = time.monotonic(), 0
    try:
        async with asyncio.timeout(limits.seconds):
            while not (await asyncio.wait([work], timeout=CHECK_SECONDS))[0]:
                lease.check()
                seconds, received = time.monotonic() - measured_at, file.tell()
                if seconds >= limits.pace_seconds:
                    if received - measured_bytes < limits.bytes_per_second * seconds:
                        raise FetchFailed("The server sends the file too slowly.", stage="fetch")
                    measured_at, measured_bytes = time.monotonic(), received
        return work.result()
    except TimeoutError:
        raise ProcessingTimeout(f"The download took more than {limits.seconds:g} seconds.", stage="fetch") from None
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await work


async def _download_with_retries(
    url: str, file: BinaryIO, egress: EgressPolicy, limits: FetchLimits, lease: Lease
) -> JobMedia:
    for pause in limits.pauses:
        try:
            return await _download_once(url, file, egress, limits, lease)
        except FetchFailed as error:
            if not error.retryable or file.tell():
                raise
        await asyncio.sleep(pause)
    return await _download_once(url, file, egress, limits, lease)


async def _download_once(url: str, file: BinaryIO, egress: EgressPolicy, limits: FetchLimits, lease: Lease) -> JobMedia:
    egress.check_url(url)  # before httpx parses it
    timeout = httpx.Timeout(limits.idle_seconds)
    try:
        async with (
            open_client(egress, timeout, redirects=MAX_REDIRECTS) as client,
            client.stream("GET", url) as response,
        ):
            _check_response(response, limits)
            return await _store(response.aiter_raw(), _content_length(response), name_of(response), file, limits, lease)
    except httpx.TimeoutException:
        raise FetchFailed(f"The server sent nothing for {limits.idle_seconds:g} seconds.", stage="fetch") from None
    except httpx.TooManyRedirects:
        raise DownloadRefused(f"The URL redirects more than {MAX_REDIRECTS} times.", stage="fetch") from None
    except httpx.InvalidURL:
        raise DownloadRefused("The URL, or one that it redirects to, is invalid.", stage="fetch") from None
    except httpx.ConnectError:
        raise FetchFailed("The server could not be reached.", stage="fetch") from None
    except httpx.TransportError:
        raise FetchFailed("The connection was interrupted.", stage="fetch") from None


def _check_response(response: httpx.Response, limits: FetchLimits) -> None:
    if response.status_code != httpx.codes.OK:
        permanent = response.status_code < 500 and response.status_code not in (408, 425, 429)
        kind = DownloadRefused if permanent else FetchFailed
        raise kind(f"The server answered with status {response.status_code}.", stage="fetch")
    encoding = response.headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):  # it was not requested
        raise UnsupportedMedia("The server sent the file with a content encoding, such as gzip.", stage="fetch")
    if _content_length(response) > limits.bytes:
        raise FileTooLarge(f"The file has more than {limits.bytes} bytes.", stage="fetch")


def _content_length(response: httpx.Response) -> int:
    """Return the length in bytes, or 0 if the header is missing or invalid."""
    value = response.headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() else 0


async def _read_chunks(source: BinaryIO, lease: Lease) -> AsyncIterator[bytes]:
    while chunk := source.read(COPY_BYTES):
        lease.check()
        yield chunk


async def _store(
    chunks: AsyncIterator[bytes], length: int, name: str, file: BinaryIO, limits: FetchLimits, lease: Lease
) -> JobMedia:
    """Write the chunks as they are, without decompression, if the file begins like an accepted format."""
    digest = hashlib.sha256()
    size = 0
    async for chunk in _with_head(chunks):
        if not size and format_from_signature(chunk[:SNIFF_BYTES]) is None:
            raise UnsupportedMedia(
                "The downloaded file is no image, audio or video of an accepted format.", stage="fetch"
            )
        size += len(chunk)
        if size > limits.bytes:
            raise FileTooLarge(f"The file has more than {limits.bytes} bytes.", stage="fetch")
        digest.update(chunk)
        file.write(chunk)
        lease.progress(min(size / length, 1.0) if length else 0.0)
    if not size:
        raise MediaInvalid("The file is empty.", stage="fetch")
    return JobMedia(name=name, size=size, sha256=digest.hexdigest())


async def _with_head(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the same bytes, with a first chunk that shows an accepted format or is long enough to show that there is
    none (unless the file is shorter)."""
    head, held = b"", True
    async for chunk in chunks:
        if not held:
            yield chunk
            continue
        head += chunk
        if _is_enough(head):
            held = False
            yield head
    if held and head:
        yield head


def _is_enough(head: bytes) -> bool:
    return len(head) >= SNIFF_BYTES or (len(head) >= MIN_SNIFF_BYTES and format_from_signature(head) is not None)


def name_of(response: httpx.Response) -> str:
    """Return the name that the server gives (RFC 6266), else the last part of the URL. For display, never a path."""
    name = _disposition_name(response.headers.get("content-disposition", ""))
    return _printable(name or unquote(posixpath.basename(response.url.path)))


def _disposition_name(disposition: str) -> str:
    """Return the file name in a `Content-Disposition` header, empty if it has none or is malformed. An encoded name
    (`filename*`) comes before a plain one."""
    header = Message()
    header["Content-Disposition"] = disposition
    try:
        parameters = header.get_params([], "content-disposition")
    except (ValueError, TypeError, LookupError):  # the parser does not expect all forms of numbered parameters
        return ""
    names: list[Any] = [value for name, value in parameters if name == "filename"]
    encoded = next((value for value in names if isinstance(value, tuple)), None)
    if encoded is None:
        return str(names[-1]) if names else ""
    charset, _, text = encoded
    known = charset.lower() if charset and charset.lower() in _NAME_CHARSETS else "iso-8859-1"
    return str(text).encode("raw-unicode-escape").decode(known, "replace")


def _printable(name: str) -> str:
    return "".join(character for character in name if character.isprintable())[:MAX_NAME_CHARACTERS]
