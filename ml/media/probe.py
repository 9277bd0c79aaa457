"""Determine what a file is: from its content, under limits, never from its name."""

import hashlib
import json
import math
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ml.errors import AffectError, FileTooLarge, MediaInvalid, NoStreams, UnsupportedMedia
from ml.media.formats import FORMATS, MediaFormat, detect_format
from ml.media.geometry import displayed_size
from ml.media.gif import is_animated_gif
from ml.media.image_headers import read_image_header
from ml.media.limits import MediaLimits, too_long, too_many_pixels
from ml.media.orientation import UPRIGHT, Orientation
from ml.media.sandbox import CancelCheck, ResourceLimits, SandboxedProcess, never_cancelled
from ml.media.time_stamps import Gap, PacketTimes, TimeExtent, may_jump
from ml.media.tracks import AudioTrack
from ml.media.wav import has_stale_length
from ml.signatures import ACCEPTED, SNIFF_BYTES, describe_refused
from ml.vocabulary import MediaKind

PROTOCOLS = "file,pipe"
TOO_MANY_PIXELS = "exceeds specified max pixel count"
"""Message of ffmpeg (libavutil/imgutils.c, 4.x to 7.x) for a frame larger than `-max_pixels`."""
_NOT_ON_WHITELIST = "not on whitelist"
_NO_INDEX = "moov atom not found"
_DURATION_GUESSED = "Estimating duration from bitrate"

_ENTRIES = (
    "format=start_time,duration"
    ":stream=index,codec_type,codec_name,width,height,pix_fmt,sample_aspect_ratio,avg_frame_rate,r_frame_rate"
    ",start_time,duration,nb_frames,channels,sample_rate"
    ":stream_disposition=attached_pic,default:stream_side_data=displaymatrix"
    ":stream_tags=alpha_mode,language,title,handler_name"
)
_REPORT_BYTES = 4 * 2**20
_HASH_BYTES = 2**20
_PACKETS_BYTES = 2**16
_PACKET_ENTRIES = "packet=stream_index,pts_time,duration_time"
_MAX_PACKETS = 8_000_000
_MAX_PACKETS_BEYOND_LIMIT = 64
"""Packets after the maximum duration that are read to see whether the media goes on there."""
_MAX_PLAUSIBLE_SECONDS = 30 * 86400.0
_MAX_PLAUSIBLE_RATE = 1000.0
_MIN_SAMPLE_RATE, _MAX_SAMPLE_RATE = 1000, 768_000
"""Hz. From a rate far outside, building the filter of a resampler alone would take minutes."""

_ALPHA_FORMAT = re.compile(r"yuva|rgba|bgra|argb|abgr|gbrap|ya8|ya16|pal8|ayuv|vuya")
"""Beginnings of ffmpeg's names of pixel formats with transparency; the colours of a palette may be transparent."""
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_UNREADABLE = "The file cannot be opened. It seems damaged or incomplete."

_Stream = dict[str, Any]
"""One stream of ffprobe's report."""


@dataclass(frozen=True)
class MediaInfo:
    """Properties of a media file. The names of its fields are part of the format of kept features.

    Attributes:
        kind: image, audio or video.
        duration: seconds, as the container declares or its packets add up to; None for an image. It may be wrong:
            `Decoder.duration` is authoritative.
        width, height: pixels of the image or frame as displayed: upright, with square pixels.
        frame_rate: frames per second of the video.
        has_audio: whether there is an audio stream that can be decoded.
        has_video: whether there are moving pictures: false for a photo, and for the cover in an audio file.
        rotation: degrees clockwise (0, 90, 180, 270) that turn the stored image upright, after mirroring.
        audio_channels: number of channels of the audio stream.
        sha256: hash of the file.
        format: short name of the format (`ml.media.formats`).
        mirrored: whether the stored image is mirrored left to right first.
        video_stream, audio_stream: indices of the streams in the container.
        picture_start: seconds at which the first frame is shown, if the audio begins earlier.
        duration_guessed: whether ffprobe estimated the duration from the bit rate.
        has_alpha: whether frames of the video may be transparent. (Of an image, its decoder knows.)
        stale_length: whether the header of a WAV declares less sound than follows.
        alpha_decoder: ffmpeg's name of the decoder that reads the transparency, if its default decoder drops it.
        audio_tracks: all audio tracks that can be decoded, of which `audio_stream` is one.
        base_frame_rate: lowest frame rate whose grid holds every frame of the video, as far as its beginning tells; far
            above `frame_rate` if that varies.
        gaps: stretches in which no packet has sound or picture, in order (`ml.media.time_stamps`).
        end: seconds at which the media ends, if its container declares it longer because of stray packets.
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
    has_alpha: bool = False
    alpha_decoder: str | None = None
    stale_length: bool = False
    audio_tracks: tuple[AudioTrack, ...] = ()
    gaps: tuple[Gap, ...] = ()
    end: float | None = None
    base_frame_rate: float | None = None

    @property
    def orientation(self) -> Orientation:
        return Orientation(self.rotation, self.mirrored)

    def with_track(self, number: int) -> "MediaInfo":
        """Return the properties of the same file with another of its audio tracks."""
        track = self.audio_tracks[number]
        return replace(self, audio_stream=track.stream, audio_channels=track.channels)


def probe(path: Path, limits: MediaLimits, check: CancelCheck = never_cancelled) -> MediaInfo:
    """Determine the properties of the file at `path`.

    Raises (each with stage `probe`): UnsupportedMedia (an empty file too), MediaInvalid, MediaTooLong, FrameTooLarge,
    FileTooLarge, NoStreams, ProcessingTimeout, and whatever `check` raises.
    """
    try:
        if path.stat().st_size > limits.max_bytes:
            raise FileTooLarge("The file is larger than allowed.")
        with path.open("rb") as file:
            head = file.read(SNIFF_BYTES)
        format_ = detect_format(head)
        if format_ is None:
            raise UnsupportedMedia(describe_refused(head) if head else "The file is empty.")
        digest = _sha256(path, check)
        if format_.is_image:
            image = _probe_image(path, format_, digest, limits)
            if not (format_.may_move and is_animated_gif(path)):
                return image
        stale_length = format_.name == "wav" and has_stale_length(path)
        return _probe_recording(_Source(path, format_, limits, check, stale_length), digest)
    except AffectError as error:
        error.stage = error.stage or "probe"
        raise


def reading_options(format_name: str) -> dict[str, str]:
    """Return the options before `-i` that confine ffprobe and ffmpeg to one file and its format's own demuxers."""
    return {"protocol_whitelist": PROTOCOLS, "format_whitelist": ",".join(FORMATS[format_name].demuxers)}


def alpha_options(info: MediaInfo) -> dict[str, str]:
    """Return the options before `-i` that choose a decoder which reads the transparency of the video."""
    return {"c:v": info.alpha_decoder} if info.alpha_decoder else {}


def length_options(stale: bool) -> dict[str, str]:
    """Return the options before `-i` that read a WAV to its end if its header is `stale`."""
    return {"ignore_length": "1"} if stale else {}


def padded_pixels(limits: MediaLimits) -> int:
    """Return the value for ffmpeg's `-max_pixels`: decoders count the padding of their buffers."""
    return limits.max_pixels * 5 // 4


def _check_pixels(width: int, height: int, limits: MediaLimits) -> None:
    if width * height > limits.max_pixels:
        raise too_many_pixels(limits)


def _sha256(path: Path, check: CancelCheck) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BYTES):
            digest.update(block)
            check()
    return digest.hexdigest()


def _probe_image(path: Path, format_: MediaFormat, digest: str, limits: MediaLimits) -> MediaInfo:
    header = read_image_header(path, format_.name)
    _check_pixels(header.width, header.height, limits)
    width, height = header.orientation.upright_size(header.width, header.height)
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
        format=format_.name,
        mirrored=header.orientation.mirrored,
    )


@dataclass(frozen=True)
class _Source:
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
class _Report:
    """Output of ffprobe. `messages`: standard error."""

    container: Mapping[str, Any]
    streams: Sequence[_Stream]
    messages: str

    @property
    def origin(self) -> float:
        """Seconds at which the container's time begins."""
        return _number(self.container.get("start_time")) or 0.0

    def has_stream(self, *kinds: str) -> bool:
        return any(stream.get("codec_type") in kinds for stream in self.streams)


def _probe_recording(source: _Source, digest: str) -> MediaInfo:
    report = _run_ffprobe(source)
    video, audio = _choose_streams(report, source.limits)
    readable = [stream for stream in report.streams if _is_audio(stream)]
    timing = _timing(report, source, [*([video] if video else []), *readable])
    picture = _Picture.from_stream(video, report.origin, source.limits) if video else _Picture()
    return MediaInfo(
        kind="audio" if video is None else "video",
        duration=timing.duration,
        width=picture.width,
        height=picture.height,
        frame_rate=picture.frame_rate,
        has_audio=audio is not None,
        has_video=video is not None,
        rotation=picture.orientation.rotation,
        audio_channels=audio["channels"] if audio else 0,
        sha256=digest,
        format=source.format.name,
        mirrored=picture.orientation.mirrored,
        video_stream=video["index"] if video else None,
        audio_stream=audio["index"] if audio else None,
        picture_start=picture.start,
        duration_guessed=timing.is_guessed,
        has_alpha=picture.has_alpha,
        alpha_decoder=picture.alpha_decoder,
        stale_length=source.stale_length,
        audio_tracks=tuple(map(AudioTrack.from_stream, readable)),
        gaps=timing.gaps,
        end=timing.end,
        base_frame_rate=_rate(video.get("r_frame_rate")) if video else None,
    )


def _run_ffprobe(source: _Source) -> _Report:
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
            raise MediaInvalid(_UNREADABLE) from None
        streams = [stream for stream in report.get("streams", []) if not _disposition(stream, "attached_pic")]
        return _Report(report.get("format", {}), streams, child.errors)
    if TOO_MANY_PIXELS in child.errors:
        raise too_many_pixels(limits)
    if _NOT_ON_WHITELIST in child.errors or not source.format.is_certain:
        raise UnsupportedMedia(f"This file type is not supported. Send {ACCEPTED}.")
    if _NO_INDEX in child.errors:
        raise MediaInvalid(
            "The recording is unfinished: it has no index, which is written when a recording is stopped."
        )
    raise MediaInvalid(_UNREADABLE)


def _choose_streams(report: _Report, limits: MediaLimits) -> tuple[_Stream | None, _Stream | None]:
    """Return the video and the audio stream to read. Raises FrameTooLarge, MediaInvalid or NoStreams."""
    video = _default_stream(stream for stream in report.streams if _is_video(stream))
    audio = _default_stream(stream for stream in report.streams if _is_audio(stream))
    if video is None and TOO_MANY_PIXELS in report.messages and report.has_stream("video"):
        raise too_many_pixels(limits)
    if video is None and audio is None:
        if report.has_stream("audio", "video"):
            raise MediaInvalid("The audio and video in this file cannot be decoded.")
        raise NoStreams("The file has no audio or video.")
    return video, audio


@dataclass(frozen=True)
class _Timing:
    """Duration in seconds, whether ffprobe guessed it, and what the time stamps of the packets tell."""

    duration: float | None
    is_guessed: bool
    end: float | None = None
    gaps: tuple[Gap, ...] = ()


def _timing(report: _Report, source: _Source, streams: Sequence[_Stream]) -> _Timing:
    """Return the duration and the gaps. Raises MediaTooLong.

    The packets are read if the container declares no duration, or one that exceeds the limit, or if its time stamps may
    jump.
    """
    is_guessed = _DURATION_GUESSED in report.messages
    duration, max_seconds = _plausible_seconds(report.container.get("duration")), source.limits.max_seconds
    extent = TimeExtent(None)
    is_unknown = duration is None or (is_guessed and duration > max_seconds)
    if is_unknown or (duration or 0.0) > max_seconds or may_jump(source.format.name, streams, duration or 0.0):
        packets = _packet_times(source, report.origin, {stream["index"] for stream in streams})
        extent = packets.extent()
        if is_unknown or extent.end is not None:
            duration, is_guessed = extent.end or packets.end or None, False
    if duration is not None and duration > max_seconds:
        raise too_long(source.limits)
    return _Timing(duration, is_guessed, extent.end, extent.gaps)


@dataclass(frozen=True)
class _Picture:
    """Properties of a video stream. `width`, `height`: pixels of the frame as displayed; `start`: seconds."""

    width: int | None = None
    height: int | None = None
    orientation: Orientation = UPRIGHT
    frame_rate: float | None = None
    start: float = 0.0
    has_alpha: bool = False
    alpha_decoder: str | None = None

    @classmethod
    def from_stream(cls, stream: _Stream, origin: float, limits: MediaLimits) -> "_Picture":
        """Convert a stream of ffprobe's report. Raises FrameTooLarge."""
        _check_pixels(stream["width"], stream["height"], limits)
        orientation = _orientation(stream)
        shown = displayed_size(stream["width"], stream["height"], _pixel_aspect(stream.get("sample_aspect_ratio")))
        width, height = orientation.upright_size(*shown)
        decoder = _ALPHA_DECODERS.get(stream["codec_name"]) if _has_alpha_mode(stream) else None
        has_alpha = decoder is not None or _ALPHA_FORMAT.match(stream.get("pix_fmt", "")) is not None
        start = max(0.0, (_number(stream.get("start_time")) or origin) - origin)
        return cls(width, height, orientation, _rate(stream.get("avg_frame_rate")), start, has_alpha, decoder)


def _packet_times(source: _Source, origin: float, streams: Set[int]) -> PacketTimes:
    """Return the time stamps of the packets of some streams. Stops reading where the media certainly is too long."""
    limits, packets, beyond = source.limits, PacketTimes(), 0
    arguments = ["-show_entries", _PACKET_ENTRIES, "-of", "csv=p=0"]
    with tempfile.TemporaryDirectory(prefix="affect-") as cwd:
        with source.ffprobe(arguments, cwd, limits.measure_seconds) as child:
            for count, line in enumerate(_lines(child)):
                index, begin, length = [*line.split(",", 3)[:3], "", ""][:3]
                start = _number(begin)
                if start is None or not index.isdecimal() or int(index) not in streams:
                    continue
                if 0 <= (end := start - origin + (_number(length) or 0.0)) <= _MAX_PLAUSIBLE_SECONDS:
                    packets.add(int(index), start - origin, _number(length) or 0.0)
                    beyond += end > limits.max_seconds
                if beyond > _MAX_PACKETS_BEYOND_LIMIT or count > _MAX_PACKETS:
                    break
    return packets


def _lines(child: SandboxedProcess) -> Iterator[str]:
    buffer, rest = memoryview(bytearray(_PACKETS_BYTES)), b""
    while count := child.read_into(buffer):
        *lines, rest = (rest + buffer[:count].tobytes()).split(b"\n")
        yield from (line.decode("ascii", "replace") for line in lines)


def _is_video(stream: _Stream) -> bool:
    return (
        stream.get("codec_type") == "video"
        and stream.get("codec_name", "unknown") != "unknown"
        and min(stream.get("width", 0), stream.get("height", 0)) > 0
    )


def _is_audio(stream: _Stream) -> bool:
    return (
        stream.get("codec_type") == "audio"
        and stream.get("codec_name", "unknown") != "unknown"
        and stream.get("channels", 0) > 0
        and _MIN_SAMPLE_RATE <= (_number(stream.get("sample_rate")) or 0) <= _MAX_SAMPLE_RATE
    )


def _default_stream(streams: Iterator[_Stream]) -> _Stream | None:
    """Return the stream marked as default, or else the first."""
    return min(streams, key=lambda stream: (not _disposition(stream, "default"), stream["index"]), default=None)


def _disposition(stream: _Stream, name: str) -> bool:
    return bool(stream.get("disposition", {}).get(name))


def _orientation(stream: _Stream) -> Orientation:
    for side_data in stream.get("side_data_list", []):
        if "displaymatrix" in side_data:
            return Orientation.from_display_matrix(side_data["displaymatrix"])
    return UPRIGHT


def _has_alpha_mode(stream: _Stream) -> bool:
    """Return whether WebM stores the transparency of a stream apart from its colours."""
    return bool(stream.get("tags", {}).get("alpha_mode", "0") not in ("", "0"))


def _pixel_aspect(text: object) -> Fraction:
    """Convert `4:3`; 1 if it is unknown (`0:1`, `N/A`)."""
    width, _, height = str(text).partition(":")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        return Fraction(1)
    return Fraction(int(width), int(height))


def _number(text: object) -> float | None:
    """Return a finite number, or None: headers may contain anything, and ffprobe writes `N/A`."""
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _plausible_seconds(text: object) -> float | None:
    seconds = _number(text)
    return seconds if seconds is not None and 0 < seconds <= _MAX_PLAUSIBLE_SECONDS else None


def _rate(text: object) -> float | None:
    try:
        rate = float(Fraction(str(text)))
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return rate if 0 < rate <= _MAX_PLAUSIBLE_RATE else None
