"""What a file is: found by its content under limits, never by its name."""

import hashlib
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from ml.errors import AffectError, FileTooLarge, FrameTooLarge, MediaInvalid, MediaTooLong, NoStreams, UnsupportedMedia
from ml.media.formats import FORMATS, Format, sniff
from ml.media.image_headers import read_picture_header
from ml.media.limits import MediaLimits
from ml.media.orientation import UPRIGHT, Orientation
from ml.media.sandbox import Allowance, Check, Child, unchecked
from ml.signatures import SNIFF_BYTES
from ml.vocabulary import MediaKind

PROTOCOLS = "file,pipe"
TOO_MANY_PIXELS = "exceeds specified max pixel count"
"""What ffmpeg says (libavutil/imgutils.c, 4.x to 7.x) of a frame larger than `-max_pixels`."""
_NOT_ON_WHITELIST = "not on whitelist"
_DURATION_GUESSED = "Estimating duration from bitrate"

_ENTRIES = (
    "format=start_time,duration"
    ":stream=index,codec_type,codec_name,width,height,avg_frame_rate,start_time,channels,sample_rate"
    ":stream_disposition=attached_pic,default:stream_side_data=displaymatrix"
)
_REPORT_BYTES = 4 * 2**20
_HASH_BYTES = 2**20
_PACKETS_BYTES = 2**16
_MOST_PLAUSIBLE_SECONDS = 30 * 86400.0
_MOST_PLAUSIBLE_RATE = 1000.0
_LEAST_SAMPLE_RATE, _MOST_SAMPLE_RATE = 1000, 768_000
"""Hz. From far beyond, a resampler's filter alone would take minutes."""


@dataclass(frozen=True)
class MediaInfo:
    """What a file is.

    `duration` (seconds; None for a picture) is what the container says or its packets add up to, which may be wrong:
    `Decoder.duration` is what counts. `width` and `height` (pixels) are those of the upright picture. `rotation`
    (degrees clockwise: 0, 90, 180, 270), after mirroring left to right where `mirrored`, makes the stored picture
    upright. `has_video` means moving pictures: false for a photo, and for a cover in an audio file. `format` is a short
    name (`ml.media.formats`); `video_stream` and `audio_stream` are the streams' indices in the container;
    `picture_start` is the time of the first frame, where sound begins earlier; `duration_guessed`: the container
    tells no duration, and ffprobe guessed one from the bit rate.
    """

    kind: MediaKind
    duration: float | None
    width: int | None
    height: int | None
    frame_rate: float | None
    has_audio: bool
    has_video: bool
    rotation: int
    audio_channels: int
    sha256: str
    format: str
    mirrored: bool = False
    video_stream: int | None = None
    audio_stream: int | None = None
    picture_start: float = 0.0
    duration_guessed: bool = False

    @property
    def orientation(self) -> Orientation:
        return Orientation(self.rotation, self.mirrored)


def probe(path: Path, limits: MediaLimits, check: Check = unchecked) -> MediaInfo:
    """Says what the file at `path` is.

    Raises (each with stage `probe`): UnsupportedMedia (an empty file too), MediaInvalid, MediaTooLong, FrameTooLarge,
    FileTooLarge, NoStreams, ProcessingTimeout, and whatever `check` raises.
    """
    try:
        if path.stat().st_size > limits.max_bytes:
            raise FileTooLarge("The file is larger than allowed.")
        with path.open("rb") as file:
            head = file.read(SNIFF_BYTES)
        kind_of_file = sniff(head)
        if kind_of_file is None:
            raise UnsupportedMedia("The file is empty." if not head else "This is no format that is accepted.")
        digest = _sha256(path, check)
        if kind_of_file.picture:
            return _picture(path, kind_of_file, digest, limits)
        return _recording(path, kind_of_file, digest, limits, check)
    except AffectError as error:
        error.stage = error.stage or "probe"
        raise


def reading_options(format_name: str) -> dict[str, str]:
    """The options before `-i` that confine ffprobe and ffmpeg to one file and to its format's own demuxers."""
    return {"protocol_whitelist": PROTOCOLS, "format_whitelist": ",".join(FORMATS[format_name].demuxers)}


def padded_pixels(limits: MediaLimits) -> int:
    """What ffmpeg's `-max_pixels` must be: decoders count the padding of their buffers."""
    return limits.max_pixels * 5 // 4


def too_many_pixels(limits: MediaLimits) -> FrameTooLarge:
    return FrameTooLarge(f"A picture has more than the {limits.max_pixels} pixels allowed.")


def _within_pixels(width: int, height: int, limits: MediaLimits) -> None:
    if width * height > limits.max_pixels:
        raise too_many_pixels(limits)


def _sha256(path: Path, check: Check) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BYTES):
            digest.update(block)
            check()
    return digest.hexdigest()


def _picture(path: Path, kind_of_file: Format, digest: str, limits: MediaLimits) -> MediaInfo:
    header = read_picture_header(path, kind_of_file.name)
    _within_pixels(header.width, header.height, limits)
    width, height = header.orientation.upright(header.width, header.height)
    return MediaInfo(
        kind="image",
        duration=None,
        width=width,
        height=height,
        frame_rate=None,
        has_audio=False,
        has_video=False,
        rotation=header.orientation.rotation,
        audio_channels=0,
        sha256=digest,
        format=kind_of_file.name,
        mirrored=header.orientation.mirrored,
    )


def _recording(path: Path, kind_of_file: Format, digest: str, limits: MediaLimits, check: Check) -> MediaInfo:
    report, remarks = _ffprobe_report(path, kind_of_file, limits, check)
    streams = [stream for stream in report.get("streams", []) if not _flag(stream, "attached_pic")]
    video = _choose(stream for stream in streams if _is_video(stream))
    audio = _choose(stream for stream in streams if _is_audio(stream))
    if video is None and TOO_MANY_PIXELS in remarks and any(stream.get("codec_type") == "video" for stream in streams):
        raise too_many_pixels(limits)
    if video is None and audio is None:
        if any(stream.get("codec_type") in ("audio", "video") for stream in streams):
            raise MediaInvalid("The file holds no sound and no picture that can be decoded.")
        raise NoStreams("The file holds neither sound nor picture.")
    origin = _number(report.get("format", {}).get("start_time")) or 0.0
    guessed = _DURATION_GUESSED in remarks
    declared = _plausible_seconds(report.get("format", {}).get("duration"))
    if declared is None or (guessed and declared > limits.max_seconds):
        declared, guessed = _measure(path, kind_of_file, origin, limits, check), False
    if declared is not None and declared > limits.max_seconds:
        raise MediaTooLong(f"The media is longer than the {limits.max_seconds:g} seconds allowed.")
    orientation, width, height, frame_rate, picture_start = UPRIGHT, None, None, None, 0.0
    if video is not None:
        _within_pixels(video["width"], video["height"], limits)
        orientation = _orientation(video)
        width, height = orientation.upright(video["width"], video["height"])
        frame_rate = _rate(video.get("avg_frame_rate"))
        picture_start = max(0.0, (_number(video.get("start_time")) or origin) - origin)
    return MediaInfo(
        kind="audio" if video is None else "video",
        duration=declared,
        width=width,
        height=height,
        frame_rate=frame_rate,
        has_audio=audio is not None,
        has_video=video is not None,
        rotation=orientation.rotation,
        audio_channels=audio["channels"] if audio else 0,
        sha256=digest,
        format=kind_of_file.name,
        mirrored=orientation.mirrored,
        video_stream=video["index"] if video else None,
        audio_stream=audio["index"] if audio else None,
        picture_start=picture_start,
        duration_guessed=guessed,
    )


def _ffprobe(
    path: Path,
    kind_of_file: Format,
    arguments: Sequence[str],
    cwd: str,
    limits: MediaLimits,
    check: Check,
    seconds: float,
) -> Child:
    confined = [word for name, value in reading_options(kind_of_file.name).items() for word in (f"-{name}", value)]
    return Child(
        ["ffprobe", "-v", "warning", *confined, *arguments, "-i", f"file:{path.absolute()}"],
        cwd=Path(cwd),
        allowance=Allowance(limits.child_memory, limits.child_cpu_seconds),
        check=check,
        patience=lambda: seconds,
    )


def _ffprobe_report(path: Path, kind_of_file: Format, limits: MediaLimits, check: Check) -> tuple[dict[str, Any], str]:
    """ffprobe's report, and its remarks on standard error."""
    arguments = ["-max_pixels", str(padded_pixels(limits)), "-show_entries", _ENTRIES, "-of", "json"]
    with tempfile.TemporaryDirectory(prefix="affect-") as cwd:
        with _ffprobe(path, kind_of_file, arguments, cwd, limits, check, limits.probe_seconds) as child:
            text = child.read_all(_REPORT_BYTES)
            status = child.wait()
    if status == 0:
        try:
            return json.loads(text), child.errors
        except ValueError:  # cut at the limit: thousands of streams
            raise MediaInvalid("The file's headers cannot be read.") from None
    if TOO_MANY_PIXELS in child.errors:
        raise too_many_pixels(limits)
    if _NOT_ON_WHITELIST in child.errors or not kind_of_file.certain:
        raise UnsupportedMedia("This is no format that is accepted.")
    raise MediaInvalid("The file's headers cannot be read.")


def _measure(path: Path, kind_of_file: Format, origin: float, limits: MediaLimits, check: Check) -> float | None:
    """The end of the last packet, in seconds from the start; stops reading once that is beyond the limit."""
    arguments = ["-show_entries", "packet=pts_time,duration_time", "-of", "csv=p=0"]
    end = 0.0
    with tempfile.TemporaryDirectory(prefix="affect-") as cwd:
        with _ffprobe(path, kind_of_file, arguments, cwd, limits, check, limits.measure_seconds) as child:
            for line in _lines(child):
                begin, _, length = line.partition(",")
                finish = (_number(begin) or 0.0) + (_number(length.partition(",")[0]) or 0.0) - origin
                end = max(end, _plausible_seconds(finish) or 0.0)
                if end > limits.max_seconds:
                    break
    return end or None


def _lines(child: Child) -> Iterator[str]:
    buffer, rest = memoryview(bytearray(_PACKETS_BYTES)), b""
    while count := child.read_into(buffer):
        *lines, rest = (rest + buffer[:count].tobytes()).split(b"\n")
        yield from (line.decode("ascii", "replace") for line in lines)


def _is_video(stream: Mapping[str, Any]) -> bool:
    return (
        stream.get("codec_type") == "video"
        and stream.get("codec_name", "unknown") != "unknown"
        and min(stream.get("width", 0), stream.get("height", 0)) > 0
    )


def _is_audio(stream: Mapping[str, Any]) -> bool:
    return (
        stream.get("codec_type") == "audio"
        and stream.get("codec_name", "unknown") != "unknown"
        and stream.get("channels", 0) > 0
        and _LEAST_SAMPLE_RATE <= (_number(stream.get("sample_rate")) or 0) <= _MOST_SAMPLE_RATE
    )


def _choose(streams: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    """The default stream, else the first."""
    return min(streams, key=lambda stream: (not _flag(stream, "default"), stream["index"]), default=None)


def _flag(stream: Mapping[str, Any], name: str) -> bool:
    return bool(stream.get("disposition", {}).get(name))


def _orientation(stream: Mapping[str, Any]) -> Orientation:
    for side_data in stream.get("side_data_list", []):
        if "displaymatrix" in side_data:
            return Orientation.of_display_matrix(side_data["displaymatrix"])
    return UPRIGHT


def _number(text: object) -> float | None:
    """A finite number, or None: headers may hold anything, and ffprobe writes `N/A`."""
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _plausible_seconds(text: object) -> float | None:
    seconds = _number(text)
    return seconds if seconds is not None and 0 < seconds <= _MOST_PLAUSIBLE_SECONDS else None


def _rate(text: object) -> float | None:
    try:
        rate = float(Fraction(str(text)))
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return rate if 0 < rate <= _MOST_PLAUSIBLE_RATE else None
