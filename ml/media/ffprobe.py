"""ffprobe on one file, confined to the demuxers of its format: its report, and the time stamps of its packets."""

import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from ml.errors import MediaInvalid, UnsupportedMedia
from ml.media.formats import FORMATS, MediaFormat
from ml.media.limits import MediaLimits, too_many_pixels
from ml.media.sandbox import CancelCheck, ResourceLimits, SandboxedProcess
from ml.media.time_stamps import PacketTimes
from ml.signatures import ACCEPTED

PROTOCOLS = "file,pipe"
TOO_MANY_PIXELS = "exceeds specified max pixel count"
"""Message of ffmpeg (libavutil/imgutils.c, 4.x to 7.x) for a frame larger than `-max_pixels`."""
_NOT_ON_WHITELIST = "not on whitelist"
_NO_INDEX = "moov atom not found"
DURATION_GUESSED = "Estimating duration from bitrate"

_ENTRIES = (
    "format=start_time,duration"
    ":stream=index,codec_type,codec_name,width,height,pix_fmt,sample_aspect_ratio,avg_frame_rate,r_frame_rate"
    ",field_order,start_time,duration,nb_frames,channels,sample_rate"
    ":stream_disposition=attached_pic,default:stream_side_data=displaymatrix"
    ":stream_tags=alpha_mode,language,title,handler_name"
)
_REPORT_BYTES = 4 * 2**20
_PACKETS_BYTES = 2**16
_PACKET_ENTRIES = "packet=stream_index,pts_time,duration_time"
_MAX_PACKETS = 8_000_000
_MAX_PACKETS_BEYOND_LIMIT = 64
"""Packets after the maximum duration that are read to see whether the media continues there."""
_MAX_PLAUSIBLE_SECONDS = 30 * 86400.0
_MAX_PLAUSIBLE_RATE = 1000.0
UNREADABLE = "The file cannot be opened. It seems damaged or incomplete."

Stream = dict[str, Any]
"""One stream of ffprobe's report."""


def reading_options(format_name: str) -> dict[str, str]:
    """Return the options before `-i` that confine ffprobe and ffmpeg to one file and its format's own demuxers."""
    return {"protocol_whitelist": PROTOCOLS, "format_whitelist": ",".join(FORMATS[format_name].demuxers)}


def length_options(stale: bool) -> dict[str, str]:
    """Return the options before `-i` that read a WAV to its end if its header is `stale`."""
    return {"ignore_length": "1"} if stale else {}


def padded_pixels(limits: MediaLimits) -> int:
    """Return the value for ffmpeg's `-max_pixels`: decoders count the padding of their buffers."""
    return limits.max_pixels * 5 // 4


@dataclass(frozen=True)
class ProbeSource:
    """An audio or video file to probe."""

    path: Path
    format: MediaFormat
    limits: MediaLimits
    check: CancelCheck
    stale_length: bool = False

    def ffprobe(self, arguments: Sequence[str], cwd: str, seconds: float) -> SandboxedProcess:
        options = reading_options(self.format.name) | length_options(self.stale_length)
        confined = [word for name, value in options.items() for word in (f"-{name}", value)]
        return SandboxedProcess(
            ["ffprobe", "-v", "warning", *confined, *arguments, "-i", f"file:{self.path.absolute()}"],
            cwd=Path(cwd),
            resources=ResourceLimits(self.limits.child_memory, self.limits.child_cpu_seconds),
            check=self.check,
            wait_limit=lambda: seconds,
        )


@dataclass(frozen=True)
class ProbeReport:
    """Output of ffprobe. `messages`: standard error."""

    container: Mapping[str, Any]
    streams: Sequence[Stream]
    messages: str

    @property
    def origin(self) -> float:
        """Seconds at which the container's time begins."""
        return to_number(self.container.get("start_time")) or 0.0

    def has_stream(self, *kinds: str) -> bool:
        return any(stream.get("codec_type") in kinds for stream in self.streams)


def run_ffprobe(source: ProbeSource) -> ProbeReport:
    limits = source.limits
    arguments = ["-max_pixels", str(padded_pixels(limits)), "-show_entries", _ENTRIES, "-of", "json"]
    with tempfile.TemporaryDirectory(prefix="affect-") as cwd:
        with source.ffprobe(arguments, cwd, limits.probe_seconds) as child:
            text = child.read_all(_REPORT_BYTES)
            status = child.wait()
    if status == 0:
        try:
            report = json.loads(text)
        except ValueError:  # truncated at the limit: thousands of streams
            raise MediaInvalid(UNREADABLE) from None
        streams = [stream for stream in report.get("streams", []) if not has_disposition(stream, "attached_pic")]
        return ProbeReport(report.get("format", {}), streams, child.errors)
    if TOO_MANY_PIXELS in child.errors:
        raise too_many_pixels(limits)
    if _NOT_ON_WHITELIST in child.errors or not source.format.is_certain:
        raise UnsupportedMedia(f"This file type is not supported. Send {ACCEPTED}.")
    if _NO_INDEX in child.errors:
        raise MediaInvalid(
            "The recording is unfinished: it has no index, which is written when a recording is stopped."
        )
    raise MediaInvalid(UNREADABLE)


def packet_times(source: ProbeSource, origin: float, streams: Set[int]) -> PacketTimes:
    """Return the time stamps of the packets of some streams. Stops reading where the media certainly is too long."""
    limits, packets, beyond = source.limits, PacketTimes(), 0
    arguments = ["-show_entries", _PACKET_ENTRIES, "-of", "csv=p=0"]
    with tempfile.TemporaryDirectory(prefix="affect-") as cwd:
        with source.ffprobe(arguments, cwd, limits.measure_seconds) as child:
            for count, line in enumerate(_lines(child)):
                index, begin, length = [*line.split(",", 3)[:3], "", ""][:3]
                start = to_number(begin)
                if start is None or not index.isdecimal() or int(index) not in streams:
                    continue
                if 0 <= (end := start - origin + (to_number(length) or 0.0)) <= _MAX_PLAUSIBLE_SECONDS:
                    packets.add(int(index), start - origin, to_number(length) or 0.0)
                    beyond += end > limits.max_seconds
                if beyond > _MAX_PACKETS_BEYOND_LIMIT or count > _MAX_PACKETS:
                    break
    return packets


def _lines(child: SandboxedProcess) -> Iterator[str]:
    buffer, rest = memoryview(bytearray(_PACKETS_BYTES)), b""
    while count := child.read_into(buffer):
        *lines, rest = (rest + buffer[:count].tobytes()).split(b"\n")
        yield from (line.decode("ascii", "replace") for line in lines)


def has_disposition(stream: Stream, name: str) -> bool:
    return bool(stream.get("disposition", {}).get(name))


def to_number(text: object) -> float | None:
    """Return a finite number, or None: headers may contain anything, and ffprobe writes `N/A`."""
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def plausible_seconds(text: object) -> float | None:
    seconds = to_number(text)
    return seconds if seconds is not None and 0 < seconds <= _MAX_PLAUSIBLE_SECONDS else None


def to_rate(text: object) -> float | None:
    try:
        rate = float(Fraction(str(text)))
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return rate if 0 < rate <= _MAX_PLAUSIBLE_RATE else None
