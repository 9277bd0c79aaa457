import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from ml.errors import (
    AffectError,
    Cancelled,
    FileTooLarge,
    FrameTooLarge,
    MediaInvalid,
    MediaTooLong,
    NoStreams,
    ProcessingTimeout,
    UnsupportedMedia,
)
from ml.media import MediaLimits, probe
from ml.media.ffprobe import plausible_seconds, to_number, to_rate
from tests.media_files import ffmpeg, make_amr, make_audio, make_image, make_video

VIDEO_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"} | {
    ".ts": "mpegts",
    ".m2ts": "mpegts",
    ".mpg": "mpeg",
    ".wmv": "asf",
    ".flv": "flv",
}
AUDIO_FORMATS = {
    ".wav": "wav",
    ".mp3": "mp3",
    ".flac": "flac",
    ".ogg": "ogg",
    ".opus": "ogg",
    ".m4a": "m4a",
    ".mp4": "mp4",
    ".aac": "aac",
    ".aiff": "aiff",
    ".webm": "webm",
    ".wma": "asf",
    ".caf": "caf",
    ".ts": "mpegts",
    ".mpg": "mpeg",
    ".flv": "flv",
}
IMAGE_FORMATS = {
    ".jpg": "jpeg",
    ".png": "png",
    ".webp": "webp",
    ".heic": "heif",
    ".avif": "avif",
    ".tiff": "tiff",
    ".bmp": "bmp",
    ".gif": "gif",
}


@pytest.mark.parametrize("suffix", VIDEO_FORMATS)
def test_probe_video_of_each_format(media: Path, limits: MediaLimits, suffix: str) -> None:
    info = probe(media / f"video{suffix}", limits)
    assert (info.kind, info.format) == ("video", VIDEO_FORMATS[suffix])
    assert (info.has_video, info.has_audio, info.audio_channels) == (True, True, 1)
    assert (info.width, info.height, info.rotation) == (160, 120, 0)
    assert info.frame_rate == pytest.approx(25)
    assert info.duration == pytest.approx(3, abs=0.1)
    assert info.sha256 == hashlib.sha256((media / f"video{suffix}").read_bytes()).hexdigest()


@pytest.mark.parametrize("suffix", AUDIO_FORMATS)
def test_probe_audio_of_each_format(media: Path, limits: MediaLimits, suffix: str) -> None:
    info = probe(media / f"audio{suffix}", limits)
    assert (info.kind, info.format) == ("audio", AUDIO_FORMATS[suffix])
    assert (info.has_video, info.has_audio, info.audio_channels) == (False, True, 2)
    assert (info.width, info.height, info.frame_rate) == (None, None, None)
    assert info.duration == pytest.approx(3, abs=0.25)  # ADTS tells no duration: a guess from the bit rate
    assert info.duration_guessed == (suffix in (".aac", ".caf"))


@pytest.mark.parametrize(("suffix", "name"), IMAGE_FORMATS.items())
def test_probe_image_of_each_format(media: Path, limits: MediaLimits, suffix: str, name: str) -> None:
    info = probe(media / f"image{suffix}", limits)
    assert (info.kind, info.format, info.duration) == ("image", name, None)
    assert (info.has_video, info.has_audio, info.width, info.height) == (False, False, 160, 120)


def test_probe_file_name_is_ignored(media: Path, limits: MediaLimits, tmp_path: Path) -> None:
    for index, name in enumerate(["%03d.jpg", "-i.mp4", "concat:x.wav", "new\nline", "'\"$(x)", "snow ☃.webm"]):
        source = media / ("image.png" if index == 0 else "video.mp4")
        path = tmp_path / name
        path.write_bytes(source.read_bytes())
        assert probe(path, limits) == probe(source, limits)


def test_probe_size_is_upright(tmp_path: Path, limits: MediaLimits) -> None:
    video = probe(make_video(tmp_path / "turned.mp4", 0.5, rotation=90, audio=False), limits)
    assert (video.width, video.height, video.rotation) == (120, 160, 90)
    image = probe(make_image(tmp_path / "turned.jpg", exif_orientation=8), limits)
    assert (image.width, image.height, image.rotation) == (120, 160, 270)


def test_probe_missing_streams(tmp_path: Path, limits: MediaLimits) -> None:
    info = probe(make_video(tmp_path / "silent.mp4", 0.5, audio=False), limits)
    assert (info.kind, info.has_video, info.has_audio, info.audio_channels) == ("video", True, False, 0)


@pytest.mark.parametrize("suffix", [".mp3", ".m4a", ".flac"])
def test_probe_cover_is_not_video(tmp_path: Path, media: Path, limits: MediaLimits, suffix: str) -> None:
    path = tmp_path / f"song{suffix}"
    cover = media / "image.jpg"
    mapping = ["-map", "0:a", "-map", "1:v", "-c", "copy", "-disposition:v:0", "attached_pic"]
    ffmpeg("-i", media / f"audio{suffix}", "-i", cover, *mapping, path)
    info = probe(path, limits)
    assert (info.kind, info.has_video, info.has_audio, info.width) == ("audio", False, True, None)


def test_probe_subtitles_only_raises_no_streams(tmp_path: Path, limits: MediaLimits) -> None:
    (tmp_path / "words.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nhello\n")
    path = tmp_path / "words.mkv"
    ffmpeg("-i", tmp_path / "words.srt", path)
    with pytest.raises(NoStreams) as caught:
        probe(path, limits)
    assert caught.value.stage == "probe"


def test_probe_missing_duration_is_measured(tmp_path: Path, limits: MediaLimits) -> None:
    """A browser's recorder writes WebM as it goes, and never a duration."""
    path = make_video(tmp_path / "live.webm", 5.9, (32, 24), 10, options=["-live", "1"])
    assert probe(path, limits).duration == pytest.approx(5.9, abs=0.05)
    with pytest.raises(MediaTooLong):
        probe(path, replace(limits, max_seconds=3))


def test_probe_declared_duration_too_long_raises(tmp_path: Path, limits: MediaLimits) -> None:
    minute = make_audio(tmp_path / "minute.opus", 60, options=["-b:a", "6k", "-frame_duration", "120"])
    hours = tmp_path / "hours.opus"
    ffmpeg("-stream_loop", "250", "-i", minute, "-c", "copy", hours)
    with pytest.raises(MediaTooLong) as caught:
        probe(hours, limits)
    assert caught.value.stage == "probe"


def test_probe_guessed_duration_is_measured_before_it_raises(tmp_path: Path, limits: MediaLimits) -> None:
    """MP3 without a header: the bit rate of its quiet beginning promises hours."""
    quiet = make_audio(tmp_path / "quiet.mp3", 0.3, options=["-b:a", "32k", "-write_xing", "0", "-id3v2_version", "0"])
    loud = make_audio(tmp_path / "loud.mp3", 8, options=["-b:a", "320k", "-write_xing", "0", "-id3v2_version", "0"])
    path = tmp_path / "joined.mp3"
    path.write_bytes(quiet.read_bytes() + loud.read_bytes())
    guess = probe(path, limits)
    assert guess.duration_guessed and guess.duration is not None and guess.duration > 10
    measured = probe(path, replace(limits, max_seconds=9.5))
    assert measured.duration == pytest.approx(8.4, abs=0.3)


def test_probe_too_many_pixels_raises_for_every_kind(media: Path, limits: MediaLimits) -> None:
    small = replace(limits, max_pixels=100 * 100)
    exact = replace(limits, max_pixels=160 * 120)
    for name in ("video.mp4", "video.webm", "video.mkv", "video.avi", "image.jpg", "image.png", "image.webp"):
        with pytest.raises(FrameTooLarge) as caught:
            probe(media / name, small)
        assert caught.value.stage == "probe", name
        assert probe(media / name, exact).width == 160


def test_probe_file_too_large_raises(media: Path, limits: MediaLimits) -> None:
    with pytest.raises(FileTooLarge):
        probe(media / "audio.wav", replace(limits, max_bytes=1000))


def test_probe_empty_file_and_text_are_unsupported(tmp_path: Path, limits: MediaLimits) -> None:
    for content in (b"", b"just words", "words".encode("utf-16"), b"ID3 is what this text begins with" * 50):
        path = tmp_path / "film.mp4"
        path.write_bytes(content)
        with pytest.raises(UnsupportedMedia) as caught:
            probe(path, limits)
        assert caught.value.stage == "probe"


def test_probe_mp4_without_index_raises(media: Path, tmp_path: Path, limits: MediaLimits) -> None:
    path = tmp_path / "cut.mp4"
    content = (media / "video.mp4").read_bytes()
    path.write_bytes(content[: content.index(b"moov") - 4])
    with pytest.raises(MediaInvalid, match="unfinished"):
        probe(path, limits)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "raw photo"),
        (b"II*\0\x10\0\0\0CR\2\0", "raw photo"),
        (b"\0\0\0\x0cjP  ", "JPEG 2000"),
        (b".RMF\0\0\0\x12", "RealMedia"),
        (b"%PDF-1.7", "PDF"),
        (b"\n <!doctype html>", "web page"),
        (b"nothing known", "not supported"),
    ],
)
def test_probe_refusal_names_what_came_and_what_is_taken(
    tmp_path: Path, limits: MediaLimits, head: bytes, name: str
) -> None:
    path = tmp_path / "file.mp4"
    path.write_bytes(head)
    with pytest.raises(UnsupportedMedia) as caught:
        probe(path, limits)
    assert name in caught.value.message and "Send JPEG" in caught.value.message


def test_probe_amr(tmp_path: Path, limits: MediaLimits) -> None:
    info = probe(make_amr(tmp_path / "call.amr"), limits)
    assert (info.kind, info.format, info.audio_channels) == ("audio", "amr", 1)
    assert info.duration == pytest.approx(2.0, abs=0.1)


def test_probe_cancelled_stops(media: Path, limits: MediaLimits) -> None:
    def check() -> None:
        raise Cancelled("not wanted any more")

    with pytest.raises(Cancelled):
        probe(media / "video.mp4", limits, check)


def test_probe_slow_ffprobe_times_out(media: Path, limits: MediaLimits) -> None:
    with pytest.raises(ProcessingTimeout) as caught:
        probe(media / "video.mp4", replace(limits, probe_seconds=0.0))
    assert caught.value.stage == "probe" and caught.value.retryable


@pytest.mark.parametrize("seconds", [-5.0, float("nan"), float("inf"), 1e300, 0.0])
def test_probe_implausible_duration_is_ignored(tmp_path: Path, limits: MediaLimits, seconds: float) -> None:
    path = make_video(tmp_path / "lies.mkv", 2.0, audio=False)
    content = bytearray(path.read_bytes())
    place = content.index(b"\x44\x89\x88") + 3  # Duration, 8 bytes (Matroska, RFC 9559)
    content[place : place + 8] = struct.pack(">d", seconds * 1000)
    path.write_bytes(content)
    try:
        assert probe(path, limits).duration == pytest.approx(2.0, abs=0.1)
    except AffectError as error:  # ffprobe may make "longer than all time" of it
        assert seconds > 1e9 and isinstance(error, MediaTooLong)


def test_probe_invalid_numbers_in_headers_are_ignored() -> None:
    assert [to_number(text) for text in ("1.5", "N/A", None, "nan", "inf", "-3", "1e999")] == [
        1.5,
        None,
        None,
        None,
        None,
        -3,
        None,
    ]
    assert [plausible_seconds(text) for text in ("2", "-2", "0", "1e12")] == [2, None, None, None]
    assert [to_rate(text) for text in ("30000/1001", "0/0", "-25/1", "1/0", "90000/1", "x", None)] == [
        30000 / 1001,
        None,
        None,
        None,
        None,
        None,
        None,
    ]
