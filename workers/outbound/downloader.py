"""Links: the media of a job are downloaded, checked as an upload is, and the job is passed on to the analyses."""

import asyncio
import hashlib
import posixpath
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from email.utils import collapse_rfc2231_value
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

import httpx

from ml.errors import FetchFailed, FileTooLarge, MediaInvalid, ProcessingTimeout, UnsupportedMedia
from ml.signatures import SNIFF_BYTES, format_name
from workers.jobs.runner import JobRunner, Lease, PassedOn, RunnerConfig
from workers.outbound.http_client import MOST_REDIRECTS, open_client
from workers.outbound.page_downloader import Pages
from workers.protocol.blobs.blobs import Blobs
from workers.protocol.net.ssrf import Egress
from workers.protocol.records import Claim, JobMedia, JobRequest, WorkerKind, fetched_key, media_key
from workers.protocol.store.job_store import JobStore

BLOCK_BYTES = 1 << 20
CHECK_SECONDS = 0.25
"""How soon a cancelled download stops."""
MOST_NAME_CHARACTERS = 255


class Refused(FetchFailed):
    """The other side will not give it, now or later."""

    retryable = False


@dataclass(frozen=True)
class FetchLimits:
    """`idle_seconds`: for which the other side may say nothing. `seconds`: of a whole download. `pauses`: before each
    further attempt, in seconds, where the first brought nothing and another may."""

    bytes: int = 2 * 2**30
    seconds: float = 3600.0
    idle_seconds: float = 30.0
    pauses: tuple[float, ...] = (1.0, 5.0)


class FetchEngine(JobRunner):
    """Fetches what a job's `url` leads to."""

    queue = "io"

    def __init__(
        self,
        job_store: JobStore,
        blobs: Blobs,
        egress: Egress,
        limits: FetchLimits,
        terms: RunnerConfig,
        wake: Callable[[WorkerKind], None],
        pages: Pages | None = None,
    ) -> None:
        super().__init__(job_store, blobs, terms, wake)
        self._egress, self._limits, self._pages = egress, limits, pages

    def _do(self, claim: Claim, request: JobRequest, lease: Lease) -> PassedOn:
        if request.url is None:
            raise Refused("The job names no address.", stage="fetch")
        lease.stage("fetch")
        with self._blobs.writing(media_key(claim.job_id, claim.token), leave_room=True) as file:
            media = self._fetch(request.url, file, lease)
        self._blobs.put(fetched_key(claim.job_id, claim.token), media.model_dump_json().encode())
        lease.check()
        return PassedOn("inference")

    def _fetch(self, url: str, file: BinaryIO, lease: Lease) -> JobMedia:
        """The file that the address gives; or, where pages are read, that the page there shows."""
        try:
            return asyncio.run(download(url, file, self._egress, self._limits, lease))
        except UnsupportedMedia:
            if self._pages is None:
                raise
        with tempfile.TemporaryDirectory(prefix="affect-page-") as folder:
            path, name = self._pages.fetch(url, Path(folder), lease.check)
            with path.open("rb") as found:
                return asyncio.run(_copy(found, name, file, self._limits, lease))

    def _written(self, claim: Claim) -> tuple[str, ...]:
        return (media_key(claim.job_id, claim.token), fetched_key(claim.job_id, claim.token))


async def download(url: str, file: BinaryIO, egress: Egress, limits: FetchLimits, lease: Lease) -> JobMedia:
    """Writes what the address gives into `file`; what it is called and how large it is.

    Raises ForbiddenUrl, FetchFailed, FileTooLarge, UnsupportedMedia, MediaInvalid; and, soon after, what `lease.check`
    raises.
    """
    work = asyncio.ensure_future(_attempts(url, file, egress, limits, lease))
    try:
        async with asyncio.timeout(limits.seconds):
            while not (await asyncio.wait([work], timeout=CHECK_SECONDS))[0]:
                lease.check()
        return work.result()
    except TimeoutError:
        raise ProcessingTimeout(f"The download took more than {limits.seconds:g} seconds.", stage="fetch") from None
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await work


async def _attempts(url: str, file: BinaryIO, egress: Egress, limits: FetchLimits, lease: Lease) -> JobMedia:
    for pause in limits.pauses:
        try:
            return await _download(url, file, egress, limits, lease)
        except FetchFailed as error:
            if not error.retryable or file.tell():
                raise
        await asyncio.sleep(pause)
    return await _download(url, file, egress, limits, lease)


async def _download(url: str, file: BinaryIO, egress: Egress, limits: FetchLimits, lease: Lease) -> JobMedia:
    egress.check_url(url)  # before anybody else reads it
    timeout = httpx.Timeout(limits.idle_seconds)
    try:
        async with (
            open_client(egress, timeout, redirects=MOST_REDIRECTS) as client,
            client.stream("GET", url) as response,
        ):
            _check_answer(response, limits)
            return await _store(response.aiter_raw(), _length(response), name_of(response), file, limits, lease)
    except httpx.TimeoutException:
        raise FetchFailed(f"Nothing came for {limits.idle_seconds:g} seconds.", stage="fetch") from None
    except httpx.TooManyRedirects:
        raise Refused(f"The address leads on more than {MOST_REDIRECTS} times.", stage="fetch") from None
    except httpx.InvalidURL:
        raise Refused("The address, or one that it leads to, is no URL.", stage="fetch") from None
    except httpx.TransportError as error:
        raise FetchFailed(_said(error), stage="fetch") from None


def _said(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.ConnectError):
        return "No connection could be made."
    return "The connection broke off."


def _check_answer(response: httpx.Response, limits: FetchLimits) -> None:
    if response.status_code != httpx.codes.OK:
        lasting = response.status_code < 500 and response.status_code not in (408, 425, 429)
        kind = Refused if lasting else FetchFailed
        raise kind(f"The address answered with status {response.status_code}.", stage="fetch")
    if _length(response) > limits.bytes:
        raise FileTooLarge(f"The file has more than {limits.bytes} bytes.", stage="fetch")


def _length(response: httpx.Response) -> int:
    """0 where it is not told."""
    told = response.headers.get("content-length", "")
    return int(told) if told.isascii() and told.isdigit() else 0


async def _copy(found: BinaryIO, name: str, file: BinaryIO, limits: FetchLimits, lease: Lease) -> JobMedia:
    async def pieces() -> AsyncIterator[bytes]:
        while piece := found.read(BLOCK_BYTES):
            lease.check()
            yield piece

    return await _store(pieces(), 0, _shown(name), file, limits, lease)


async def _store(
    pieces: AsyncIterator[bytes], length: int, name: str, file: BinaryIO, limits: FetchLimits, lease: Lease
) -> JobMedia:
    """Nothing is decompressed: a file is what was sent, and it begins as an accepted format does."""
    digest = hashlib.sha256()
    size = 0
    async for piece in _from_a_whole_head(pieces):
        if not size and format_name(piece[:SNIFF_BYTES]) is None:
            raise UnsupportedMedia("What came is no image, audio or video of an accepted format.", stage="fetch")
        size += len(piece)
        if size > limits.bytes:
            raise FileTooLarge(f"The file has more than {limits.bytes} bytes.", stage="fetch")
        digest.update(piece)
        file.write(piece)
        lease.progress(min(size / length, 1.0) if length else 0.0)
    if not size:
        raise MediaInvalid("The file is empty.", stage="fetch")
    return JobMedia(name=name, size=size, sha256=digest.hexdigest())


async def _from_a_whole_head(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, but the first is long enough to tell the format by, if so much comes."""
    head = b""
    async for piece in pieces:
        if len(head) < SNIFF_BYTES:
            head += piece
            if len(head) >= SNIFF_BYTES:
                yield head
        else:
            yield piece
    if 0 < len(head) < SNIFF_BYTES:
        yield head


def name_of(response: httpx.Response) -> str:
    """What the other side calls the file (RFC 6266), or the last part of its address. To be shown, never a path."""
    header = Message()
    header["Content-Disposition"] = response.headers.get("content-disposition", "")
    told = dict(sorted(header.get_params([], "content-disposition"), key=lambda one: isinstance(one[1], tuple)))
    name = collapse_rfc2231_value(told.get("filename", "")) or unquote(posixpath.basename(response.url.path))
    return _shown(name)


def _shown(name: str) -> str:
    return "".join(sign for sign in name if sign.isprintable())[:MOST_NAME_CHARACTERS]
