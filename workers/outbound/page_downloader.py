"""Pages that show media (YouTube and similar), through yt-dlp (the extra `pages`).

yt-dlp runs as a child process with bounds, in an empty folder of its own, with no configuration, plug-ins or other
programs, and reaches out through a proxy that checks each address (`workers.outbound.egress_proxy`). What it brings is joined by
ffmpeg, as confined as for any upload, and then checked as an upload is.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urldefrag

from ml.errors import FetchFailed, ProcessingTimeout
from ml.media.limits import MediaLimits
from ml.media.sandbox import Allowance, Check, Child
from ml.signatures import SNIFF_BYTES, format_name
from workers.outbound.egress_proxy import CheckingProxy
from workers.protocol.net.ssrf import Egress

_FORMAT = "b[height<=720]/b/(bv*[height<=720],ba)/(bv*,ba)/ba"
"""One file with picture and sound; else one of each, which are joined; else sound alone."""
_OPTIONS = (
    "--ignore-config", "--no-plugin-dirs", "--no-cache-dir", "--no-remote-components",
    "--no-playlist", "--color", "no_color", "--downloader", "native", "--ffmpeg-location", "/nonexistent",
    "--fixup", "never", "--match-filters", "!is_live", "--no-mtime", "--xff", "never", "--retries", "2",
    "--fragment-retries", "2",
)  # fmt: skip
_DEMUXERS = "mov,matroska,mpegts,mpeg,avi,flv,mp3,ogg,aac,wav,flac"
_TITLE_BYTES = 4096
_MEMORY = MediaLimits().child_memory


class NoMedia(FetchFailed):
    """The page shows none that can be had."""

    retryable = False


class Pages:
    """Finds the media of a page."""

    def __init__(self, egress: Egress, most_bytes: int, seconds: float, idle_seconds: float) -> None:
        self._egress, self._bytes, self._seconds, self._idle = egress, most_bytes, seconds, idle_seconds

    def fetch(self, url: str, folder: Path, check: Check) -> tuple[Path, str]:
        """A file in an empty folder, and what the page calls it. Raises ForbiddenUrl, NoMedia, FetchFailed,
        ProcessingTimeout, and what `check` raises."""
        until = time.monotonic() + self._seconds

        def left() -> float:
            return until - time.monotonic()

        proxy = CheckingProxy(self._egress, self._idle, 2 * self._bytes)
        with proxy.serving():
            title, fault = self._extract(url, proxy.url, folder, check, left)
        found = sorted(folder.iterdir())
        if proxy.refused is not None and (fault or not found):
            raise proxy.refused
        if fault or not found:
            kind = NoMedia if not fault or "Unsupported URL" in fault else FetchFailed
            raise kind("No media could be fetched from the page.", stage="fetch")
        if len(found) == 1 and _is_accepted(found[0]):
            return found[0], title + found[0].suffix
        return self._join(found, folder, check, left), f"{title}.mkv"

    def _extract(self, url: str, proxy: str, folder: Path, check: Check, left: Callable[[], float]) -> tuple[str, str]:
        """The title; and, where it failed, what was said on standard error."""
        command = [
            *(sys.executable, "-I", "-m", "yt_dlp", *_OPTIONS, "--proxy", proxy),
            *("--max-filesize", str(self._bytes), "--socket-timeout", str(self._idle), "--format", _FORMAT),
            *("--output", "%(format_id)s.%(ext)s", "--print", "after_move:title", "--", urldefrag(url)[0]),
        ]
        with self._child(command, folder, check, left) as child:
            title = child.read_all(_TITLE_BYTES).decode("utf-8", "replace").partition("\n")[0]
            return title, (child.errors or "it failed") if child.wait() else ""

    def _join(self, parts: Sequence[Path], folder: Path, check: Check, left: Callable[[], float]) -> Path:
        """One file out of picture and sound, as they are."""
        joined = folder / "joined.mkv"
        inputs = [
            word
            for part in parts
            for word in ("-protocol_whitelist", "file", "-format_whitelist", _DEMUXERS, "-i", f"file:{part}")
        ]
        maps = [word for index in range(len(parts)) for word in ("-map", str(index))]
        command = ["ffmpeg", "-nostdin", "-v", "error", *inputs, *maps, *("-c", "copy", "-f", "matroska"), str(joined)]
        with self._child(command, folder, check, left) as child:
            if child.wait() != 0:
                raise NoMedia("The media of the page are of no format that is accepted.", stage="fetch")
        return joined

    def _child(self, command: Sequence[str], folder: Path, check: Check, left: Callable[[], float]) -> Child:
        def checked() -> None:
            check()
            if left() < 0:
                raise ProcessingTimeout("The download took too long.", stage="fetch")

        allowance = Allowance(_MEMORY, int(self._seconds) + 60, file_bytes=self._bytes)
        return Child(command, cwd=folder, allowance=allowance, check=checked, patience=lambda: self._seconds)


def _is_accepted(path: Path) -> bool:
    with path.open("rb") as file:
        return format_name(file.read(SNIFF_BYTES)) is not None
