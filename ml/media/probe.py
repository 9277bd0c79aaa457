"""Determine what a file is: from its content, under limits, never from its name."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from ml.errors import AffectError, FileTooLarge, MediaInvalid, NoStreams, UnsupportedMedia
from ml.media.ffprobe import (
    DURATION_GUESSED,
    TOO_MANY_PIXELS,
    ProbeReport,
    ProbeSource,
    Stream,
    has_disposition,
    packet_times,
    plausible_seconds,
    run_ffprobe,
    to_number,
    to_rate,
)
from ml.media.formats import MediaFormat, detect_format
from ml.media.geometry import displayed_size
from ml.media.gif import is_animated_gif
from ml.media.image_headers import read_image_header
from ml.media.limits import MediaLimits, too_long, too_many_pixels
from ml.media.orientation import UPRIGHT, Orientation
from ml.media.sandbox import CancelCheck, never_cancelled
from ml.media.time_stamps import Gap, TimeExtent, may_jump
from ml.media.tracks import AudioTrack
from ml.media.wav import has_stale_length
from ml.signatures import SNIFF_BYTES, describe_refused
from ml.vocabulary import MediaKind

_HASH_BYTES = 2**20
_MIN_SAMPLE_RATE, _MAX_SAMPLE_RATE = 1000, 768_000
"""Hz. From a rate far outside, building the filter of a resampler alone would take minutes."""

_ALPHA_FORMAT = re.compile(r"yuva|rgba|bgra|argb|abgr|gbrap|ya8|ya16|pal8|ayuv|vuya")
"""Beginnings of ffmpeg's names of pixel formats with transparency; the colours of a palette may be transparent."""
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_INTERLACED_ORDERS = frozenset({"tt", "bb", "tb", "bt"})
"""Orders of the two fields of a frame, in ffprobe's words; frames of one moment have another, or none."""


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
        base_frame_rate: lowest frame rate whose grid holds every frame of the video, by its beginning; far
            above `frame_rate` if that varies.
        gaps: stretches in which no packet has sound or picture, in order (`ml.media.time_stamps`).
        end: seconds at which the media ends, if its container declares it longer because of stray packets.
        is_interlaced: whether frames of the video consist of two fields, of different moments.
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
    is_interlaced: bool = False

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
        return _probe_recording(ProbeSource(path, format_, limits, check, stale_length), digest)
    except AffectError as error:
        error.stage = error.stage or "probe"
        raise


def alpha_options(info: MediaInfo) -> dict[str, str]:
    """Return the options before `-i` that choose a decoder which reads the transparency of the video."""
    return {"c:v": info.alpha_decoder} if info.alpha_decoder else {}


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


def _probe_recording(source: ProbeSource, digest: str) -> MediaInfo:
    report = run_ffprobe(source)
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
        base_frame_rate=to_rate(video.get("r_frame_rate")) if video else None,
        is_interlaced=video is not None and video.get("field_order") in _INTERLACED_ORDERS,
    )


def _choose_streams(report: ProbeReport, limits: MediaLimits) -> tuple[Stream | None, Stream | None]:
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
    """Duration in seconds, whether ffprobe guessed it, and what follows from the time stamps of the packets."""

    duration: float | None
    is_guessed: bool
    end: float | None = None
    gaps: tuple[Gap, ...] = ()


def _timing(report: ProbeReport, source: ProbeSource, streams: Sequence[Stream]) -> _Timing:
    """Return the duration and the gaps. Raises MediaTooLong.

    The packets are read if the container declares no duration, or one that exceeds the limit, or if its time stamps may
    jump.
    """
    is_guessed = DURATION_GUESSED in report.messages
    duration, max_seconds = plausible_seconds(report.container.get("duration")), source.limits.max_seconds
    extent = TimeExtent(None)
    is_unknown = duration is None or (is_guessed and duration > max_seconds)
    if is_unknown or (duration or 0.0) > max_seconds or may_jump(source.format.name, streams, duration or 0.0):
        packets = packet_times(source, report.origin, {stream["index"] for stream in streams})
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
    def from_stream(cls, stream: Stream, origin: float, limits: MediaLimits) -> "_Picture":
        """Convert a stream of ffprobe's report. Raises FrameTooLarge."""
        _check_pixels(stream["width"], stream["height"], limits)
        orientation = _orientation(stream)
        shown = displayed_size(stream["width"], stream["height"], _pixel_aspect(stream.get("sample_aspect_ratio")))
        width, height = orientation.upright_size(*shown)
        decoder = _ALPHA_DECODERS.get(stream["codec_name"]) if _has_alpha_mode(stream) else None
        has_alpha = decoder is not None or _ALPHA_FORMAT.match(stream.get("pix_fmt", "")) is not None
        start = max(0.0, (to_number(stream.get("start_time")) or origin) - origin)
        return cls(width, height, orientation, to_rate(stream.get("avg_frame_rate")), start, has_alpha, decoder)


def _is_video(stream: Stream) -> bool:
    return (
        stream.get("codec_type") == "video"
        and stream.get("codec_name", "unknown") != "unknown"
        and min(stream.get("width", 0), stream.get("height", 0)) > 0
    )


def _is_audio(stream: Stream) -> bool:
    return (
        stream.get("codec_type") == "audio"
        and stream.get("codec_name", "unknown") != "unknown"
        and stream.get("channels", 0) > 0
        and _MIN_SAMPLE_RATE <= (to_number(stream.get("sample_rate")) or 0) <= _MAX_SAMPLE_RATE
    )


def _default_stream(streams: Iterator[Stream]) -> Stream | None:
    """Return the stream marked as default, or else the first."""
    return min(streams, key=lambda stream: (not has_disposition(stream, "default"), stream["index"]), default=None)


def _orientation(stream: Stream) -> Orientation:
    for side_data in stream.get("side_data_list", []):
        if "displaymatrix" in side_data:
            return Orientation.from_display_matrix(side_data["displaymatrix"])
    return UPRIGHT


def _has_alpha_mode(stream: Stream) -> bool:
    """Return whether WebM stores the transparency of a stream apart from its colours."""
    return bool(stream.get("tags", {}).get("alpha_mode", "0") not in ("", "0"))


def _pixel_aspect(text: object) -> Fraction:
    """Convert `4:3`; 1 if it is unknown (`0:1`, `N/A`)."""
    width, _, height = str(text).partition(":")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        return Fraction(1)
    return Fraction(int(width), int(height))
