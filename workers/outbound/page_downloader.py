"""Downloads of media from web pages (YouTube and similar), with yt-dlp (the extra `pages`).

yt-dlp runs as a child process with resource limits, in an empty folder of its own, without configuration, plug-ins or
other programs, with a limit on the pages that it reads (`workers.outbound.yt_dlp_child`). It reaches the network only
through a proxy that checks each address (`workers.outbound.egress_proxy`).
ffmpeg joins what it downloads, as confined as for any upload, and the result is then checked as an upload is.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urldefrag

from ml.errors import FetchFailed, ProcessingTimeout
from ml.media.sandbox import CancelCheck, ResourceLimits, SandboxedProcess
from ml.signatures import SNIFF_BYTES, format_from_signature
from workers.outbound.egress_proxy import EgressProxy
from workers.protocol.net.ssrf import EgressPolicy

if TYPE_CHECKING:
    from workers.settings import WorkerSettings

_FORMAT = "b[height<=720]/b/(bv*[height<=720],ba)/(bv*,ba)/ba"
"""One file with video and audio; else one of each, to be joined; else audio alone."""
_OPTIONS = (
    "--ignore-config", "--no-plugin-dirs", "--no-cache-dir", "--no-remote-components",
    "--no-playlist", "--color", "no_color", "--downloader", "native", "--ffmpeg-location", "/nonexistent",
    "--fixup", "never", "--match-filters", "!is_live", "--no-mtime", "--xff", "never", "--retries", "2",
    "--fragment-retries", "2",
)  # fmt: skip
_DEMUXERS = "mov,matroska,mpegts,mpeg,avi,flv,mp3,ogg,aac,wav,flac"
_MAX_TITLE_BYTES = 4096
_CHILD = Path(__file__).with_name("yt_dlp_child.py")
_CHILD_MEMORY_BYTES = 2**30
_CHILD_CPU_SECONDS = 900


class NoMedia(FetchFailed):
    """The page has no media that can be downloaded."""

    retryable = False


class PageDownloader:
    """Downloads the media that a web page shows."""

    def __init__(self, egress: EgressPolicy, max_bytes: int, seconds: float, idle_seconds: float) -> None:
        self._egress, self._max_bytes, self._seconds, self._idle_seconds = egress, max_bytes, seconds, idle_seconds

    @classmethod
    def from_settings(cls, settings: "WorkerSettings") -> Self | None:
        """Return a downloader, or None if pages are disabled."""
        if not settings.pages:
            return None
        egress = EgressPolicy.from_settings(settings)
        return cls(egress, settings.max_upload_bytes, settings.fetch_seconds, settings.fetch_idle_seconds)

    def download(self, url: str, folder: Path, check: CancelCheck) -> tuple[Path, str]:
        """Download the media of a page into an empty folder. Return the file and its display name.

        Raises ForbiddenUrl, NoMedia, FetchFailed, ProcessingTimeout, and what `check` raises.
        """
        deadline = time.monotonic() + self._seconds

        def check_time() -> None:
            check()
            if time.monotonic() > deadline:
                raise ProcessingTimeout("The download took too long.", stage="fetch")

        proxy = EgressProxy(self._egress, self._idle_seconds, 2 * self._max_bytes)
        with proxy.running():
            title, error = self._run_yt_dlp(url, proxy.url, folder, check_time)
        files = sorted(folder.iterdir())
        if proxy.refused is not None and (error or not files):
            raise proxy.refused
        if error or not files:
            kind = NoMedia if not error or "Unsupported URL" in error else FetchFailed
            raise kind("No media could be downloaded from the page.", stage="fetch")
        if len(files) == 1 and _is_accepted(files[0]):
            return files[0], title + files[0].suffix
        return self._join(files, folder, check_time), f"{title}.mkv"

    def _run_yt_dlp(self, url: str, proxy: str, folder: Path, check: CancelCheck) -> tuple[str, str]:
        """Return the title and, if yt-dlp failed, its error output."""
        command = [
            *(sys.executable, "-I", str(_CHILD), *_OPTIONS, "--proxy", proxy),
            *("--max-filesize", str(self._max_bytes), "--socket-timeout", str(self._idle_seconds), "--format", _FORMAT),
            *("--output", "%(format_id)s.%(ext)s", "--print", "after_move:title", "--", urldefrag(url)[0]),
        ]
        with self._sandboxed(command, folder, check) as child:
            title = child.read_all(_MAX_TITLE_BYTES).decode("utf-8", "replace").partition("\n")[0]
            return title, (child.errors or "yt-dlp failed") if child.wait() else ""

    def _join(self, parts: Sequence[Path], folder: Path, check: CancelCheck) -> Path:
        """Join video and audio into one file without re-encoding."""
        joined = folder / "joined.mkv"
        inputs = [
            word
            for part in parts
            for word in ("-protocol_whitelist", "file", "-format_whitelist", _DEMUXERS, "-i", f"file:{part}")
        ]
        maps = [word for index in range(len(parts)) for word in ("-map", str(index))]
        command = ["ffmpeg", "-nostdin", "-v", "error", *inputs, *maps, *("-c", "copy", "-f", "matroska"), str(joined)]
        with self._sandboxed(command, folder, check) as child:
            if child.wait() != 0:
                raise NoMedia("The media of the page has no accepted format.", stage="fetch")
        return joined

    def _sandboxed(self, command: Sequence[str], folder: Path, check: CancelCheck) -> SandboxedProcess:
        limits = ResourceLimits(_CHILD_MEMORY_BYTES, _CHILD_CPU_SECONDS, file_bytes=self._max_bytes)
        return SandboxedProcess(command, cwd=folder, resources=limits, check=check, wait_limit=lambda: self._seconds)


def _is_accepted(path: Path) -> bool:
    with path.open("rb") as file:
        return format_from_signature(file.read(SNIFF_BYTES)) is not None
