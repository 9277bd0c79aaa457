import errno
import io
import math
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.errors import AffectError, Cancelled, FrameTooLarge, MediaInvalid, MediaTooLong, ProcessingTimeout
from ml.media import SAMPLE_RATE, Decoder, DecodeRequest, Frame, MediaInfo, MediaLimits, probe
from tests.media_files import (
    AUDIO_CODECS,
    FAST,
    VIDEO_CODECS,
    ffmpeg,
    make_amr,
    make_audio,
    make_coded_video,
    make_flash_video,
    make_hidden,
    make_video,
    tone_frequency,
    turn_video,
)

LIMITS = MediaLimits()


class Decoded:
    """Everything that came out of one file."""

    def __init__(self, path: Path, scratch: Path, info: MediaInfo | None = None, **options: Any) -> None:
        limits = options.pop("limits", LIMITS)
        request = DecodeRequest(**{"frame_rate": 4.0, "audio": True, **options})
        self.info = info or probe(path, LIMITS)
        with Decoder(path, self.info, request, limits=limits, scratch=scratch) as decoder:
            self.frames: list[Frame] = list(decoder.frames())
            self.pcm = np.array(decoder.pcm())
            self.duration, self.damaged, self.scale = decoder.duration, decoder.damaged, decoder.scale
        assert not any(scratch.glob("decode-*"))

    @property
    def indices(self) -> list[int]:
        return [frame.index for frame in self.frames]

    @property
    def greys(self) -> list[int]:
        return [int(frame.image[4, 4, 0]) for frame in self.frames]


@pytest.mark.parametrize("suffix", VIDEO_CODECS)
def test_decoder_video_of_each_format_gives_frames_and_audio(media: Path, tmp_path: Path, suffix: str) -> None:
    decoded = Decoded(media / f"video{suffix}", tmp_path)
    assert decoded.indices[:12] == list(range(12))
    assert len(decoded.frames) in (12, 13)  # a stream of Opus or MP3 begins a little earlier than the picture
    assert all(frame.time == frame.index / 4 for frame in decoded.frames)
    assert all(frame.image.shape == (120, 160, 3) and frame.image.dtype == np.uint8 for frame in decoded.frames)
    assert decoded.pcm.dtype == np.int16
    assert len(decoded.pcm) / SAMPLE_RATE == pytest.approx(3, abs=0.07)
    assert tone_frequency(decoded.pcm) == pytest.approx(440, abs=2)
    assert decoded.duration == pytest.approx(3, abs=0.1 if suffix == ".wmv" else 0.06)  # its sound begins earlier
    assert not decoded.damaged


@pytest.mark.parametrize("suffix", AUDIO_CODECS)
def test_decoder_audio_of_each_format_gives_samples(media: Path, tmp_path: Path, suffix: str) -> None:
    decoded = Decoded(media / f"audio{suffix}", tmp_path)
    assert decoded.frames == []
    assert decoded.pcm.shape == (len(decoded.pcm),)
    assert decoded.duration == pytest.approx(3, abs=0.06)
    assert len(decoded.pcm) / SAMPLE_RATE == pytest.approx(3, abs=0.06)
    assert not decoded.damaged


def test_decoder_video_of_5_9_seconds_covers_5_9_seconds(tmp_path: Path) -> None:
    for name, options in {"film.mp4": [], "live.webm": ["-live", "1"]}.items():
        decoded = Decoded(make_video(tmp_path / name, 5.9, fps=20, options=options), tmp_path)
        assert decoded.duration == pytest.approx(5.9, abs=0.04), name
        assert decoded.indices == list(range(24)), name


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.5, 4.0, 7.0, 12.5, 30.0])
def test_decoder_frames_are_those_on_screen_at_grid(tmp_path: Path, rate: float) -> None:
    """25 frames a second, frame i grey i: at k / rate frame ⌊25 k / rate⌋ is on screen."""
    path = make_coded_video(tmp_path / "coded.mkv", range(148))
    decoded = Decoded(path, tmp_path, frame_rate=rate)
    count = math.ceil(148 / 25 * rate)
    assert decoded.indices == list(range(count))
    assert decoded.greys == [math.floor(25 * k / rate + 1e-9) for k in range(count)]
    assert decoded.duration == pytest.approx(148 / 25, abs=0.001)


@pytest.mark.parametrize("suffix", [".ts", ".m2ts", ".mpg", ".wmv", ".flv"])
def test_decoder_chunk_of_each_new_container_shows_its_time(tmp_path: Path, suffix: str) -> None:
    """Each frame is of another grey, and key frames are a second apart."""
    coded = make_coded_video(tmp_path / "coded.mkv", [20 + i for i in range(200)], size=(64, 64))
    video, audio = VIDEO_CODECS[suffix]
    path = tmp_path / f"film{suffix}"
    sound = ["-f", "lavfi", "-i", "sine=d=8"]
    ffmpeg("-i", coded, *sound, "-c:v", video, *FAST[video], "-q:v", "2", "-pix_fmt", "yuv420p", "-c:a", audio, path)
    whole = Decoded(path, tmp_path)
    # The sound of an encoder begins before the first frame, so the grid has no frame of its own at 0.
    assert np.abs(np.diff(whole.greys[1:32]) - 6.25).max() < 4 and len(whole.greys) in (32, 33)
    part = Decoded(path, tmp_path, start=3.0, end=5.0)
    assert part.indices == list(range(12, 20))
    assert np.abs(np.subtract(part.greys, whole.greys[12:20])).max() <= 2


def test_decoder_variable_frame_rate_keeps_grid(tmp_path: Path) -> None:
    """Frames 20 to 79 are missing: frame 19 stays on screen until frame 80 comes, at 3.2 s."""
    coded = make_coded_video(tmp_path / "coded.mkv", range(148))
    path = tmp_path / "variable.mkv"
    ffmpeg("-i", coded, "-vf", "select='not(between(n,20,79))'", "-vsync", "vfr", "-c:v", "ffv1", path)
    greys = [math.floor(25 * k / 4) for k in range(24)]
    expected = [19 if 20 <= grey <= 79 else grey for grey in greys]
    assert Decoded(path, tmp_path).greys == expected


def test_decoder_chunks_equal_whole(tmp_path: Path) -> None:
    """Key frames are two seconds apart, and frames depend on later ones."""
    coded = make_coded_video(tmp_path / "coded.mkv", [20 + i for i in range(200)])
    path = tmp_path / "film.mp4"
    codec = ["-c:v", "libx264", "-g", "50", "-bf", "2", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    ffmpeg("-i", coded, "-f", "lavfi", "-i", "aevalsrc='0.5*sin(2*PI*(200+100*t)*t)':d=8", *codec, path)
    whole = Decoded(path, tmp_path)
    for start, end in [(0.0, 3.0), (3.0, 5.0), (4.1, 6.6), (5.0, 20.0)]:
        part = Decoded(path, tmp_path, start=start, end=end)
        expected = [frame for frame in whole.frames if start <= frame.time < end]
        assert [frame.index for frame in expected] == part.indices
        assert all(np.array_equal(a.image, b.image) for a, b in zip(expected, part.frames, strict=True))
        sound = whole.pcm[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
        assert abs(len(part.pcm) - len(sound)) <= 1
        inside = slice(SAMPLE_RATE // 10, min(len(sound), len(part.pcm)))  # a codec needs a moment to begin
        assert np.corrcoef(sound[inside], part.pcm[inside])[0, 1] > 0.9  # less than a sample apart, up to 1800 Hz


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize(("picture_late", "sound_late"), [(0.0, 0.0), (0.7, 0.0), (0.0, 0.7)])
def test_decoder_video_and_audio_are_in_sync(
    tmp_path: Path, suffix: str, picture_late: float, sound_late: float
) -> None:
    """A flash and a beep at 2.0 s, also where one stream begins 0.7 s late."""
    path = make_flash_video(tmp_path / f"flash{suffix}", 2.0, picture_late=picture_late, sound_late=sound_late)
    decoded = Decoded(path, tmp_path, frame_rate=25.0)
    flash = next(frame.time for frame in decoded.frames if frame.image.mean() > 128)
    beep = np.flatnonzero(np.abs(decoded.pcm.astype(int)) > 5000)[0] / SAMPLE_RATE
    assert flash == pytest.approx(2.0, abs=0.041)
    assert beep == pytest.approx(2.0, abs=0.03)
    assert decoded.frames[0].time == pytest.approx(picture_late, abs=0.15)
    assert not decoded.damaged


def test_decoder_change_of_size_within_stream_keeps_grid_and_shape(tmp_path: Path) -> None:
    """Calls recorded by a browser change their size when the network does."""
    parts = []
    for index, size in enumerate([(64, 64), (96, 128)]):
        coded = make_coded_video(tmp_path / f"{index}.mkv", [20 + index * 50 + i for i in range(50)], size=size)
        parts.append(tmp_path / f"{index}.h264")
        codec = ["-c:v", "libx264", "-qp", "4", "-g", "12", "-pix_fmt", "yuv420p", "-bsf:v", "h264_mp4toannexb"]
        ffmpeg("-i", coded, *codec, "-f", "h264", parts[-1])
    (tmp_path / "joined.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    path = tmp_path / "joined.mp4"
    ffmpeg("-r", "25", "-i", tmp_path / "joined.h264", "-c", "copy", path)
    decoded = Decoded(path, tmp_path)
    assert decoded.indices == list(range(16))
    assert {frame.image.shape for frame in decoded.frames} == {(64, 64, 3)}
    assert np.allclose(decoded.greys, [20 + math.floor(25 * k / 4) for k in range(16)], atol=8)


def test_decoder_audio_changing_format_is_not_filled_twice(tmp_path: Path) -> None:
    plain = ["-write_xing", "0", "-id3v2_version", "0"]
    first = make_audio(tmp_path / "first.mp3", 3, 440, 22_050, 1, options=plain)
    second = make_audio(tmp_path / "second.mp3", 3, 880, 44_100, 2, options=plain)
    path = tmp_path / "joined.mp3"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    decoded = Decoded(path, tmp_path)
    assert decoded.duration == pytest.approx(6.1, abs=0.1)
    assert tone_frequency(decoded.pcm[SAMPLE_RATE // 2 : SAMPLE_RATE * 5 // 2]) == pytest.approx(440, abs=2)


def test_decoder_amr_gives_samples(tmp_path: Path) -> None:
    decoded = Decoded(make_amr(tmp_path / "call.amr"), tmp_path)
    assert len(decoded.pcm) == pytest.approx(32_000, abs=200) and np.abs(decoded.pcm).max() > 100


@pytest.mark.parametrize("declared", [1.0, 0.0])
def test_decoder_wav_with_a_stale_length_is_read_to_its_end(tmp_path: Path, declared: float) -> None:
    path = make_audio(tmp_path / "a.wav", seconds=3.0, rate=16_000)
    content = path.read_bytes()
    start = content.index(b"data") + 4
    path.write_bytes(content[:start] + struct.pack("<I", round(declared * 32_000)) + content[start + 4 :])
    decoded = Decoded(path, tmp_path)
    assert len(decoded.pcm) == 48_000 and decoded.duration == pytest.approx(3.0) and not decoded.damaged


@pytest.mark.parametrize("trailer", [b"LIST\x08\0\0\0adtltext", b"abcd\x04\0\0\0text", b"LIST\xff\xff\0\0cut", b"TAG"])
def test_decoder_wav_with_chunks_after_the_sound_ends_before_them(tmp_path: Path, trailer: bytes) -> None:
    path = make_audio(tmp_path / "a.wav", seconds=1.0, rate=16_000)
    path.write_bytes(path.read_bytes() + trailer)
    assert len(Decoded(path, tmp_path).pcm) == 16_000


def test_decoder_gaps_in_audio_become_silence(tmp_path: Path) -> None:
    path = tmp_path / "gap.mkv"
    shift = "asetpts='PTS+gt(T,2)*3/TB'"
    ffmpeg("-f", "lavfi", "-i", "sine=frequency=440:duration=4", "-af", shift, "-c:a", "pcm_s16le", path)
    decoded = Decoded(path, tmp_path)
    assert decoded.duration == pytest.approx(7, abs=0.05)
    assert not decoded.pcm[int(2.2 * SAMPLE_RATE) : int(4.8 * SAMPLE_RATE)].any()
    assert tone_frequency(decoded.pcm[int(5.2 * SAMPLE_RATE) : int(6.8 * SAMPLE_RATE)]) == pytest.approx(440, abs=2)


def test_decoder_time_stamp_far_beyond_end_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "far.mkv"
    sources = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=4", "-f", "lavfi", "-i", "sine=duration=4"]
    shift = ["-af", "asetpts='PTS+gt(T,2)*50000/TB'"]
    ffmpeg(*sources, *shift, "-c:v", "libx264", "-c:a", "pcm_s16le", path)
    info = replace(probe(path, replace(LIMITS, max_seconds=2e6)), duration=None)
    decoded = Decoded(path, tmp_path, info)
    assert decoded.duration == pytest.approx(4, abs=0.3)
    assert len(decoded.pcm) / SAMPLE_RATE == pytest.approx(2, abs=0.3)


def test_decoder_missing_or_unrequested_stream_is_empty(media: Path, tmp_path: Path) -> None:
    silent = make_video(tmp_path / "silent.mp4", 2.0, audio=False)
    decoded = Decoded(silent, tmp_path)
    assert (len(decoded.frames), decoded.pcm.shape, decoded.duration) == (8, (0,), 2.0)
    decoded = Decoded(media / "video.mp4", tmp_path, audio=False)
    assert (len(decoded.frames), decoded.pcm.shape, decoded.duration) == (12, (0,), 3.0)
    decoded = Decoded(media / "video.mp4", tmp_path, frame_rate=None)
    assert (len(decoded.frames), decoded.duration) == (0, 3.0)
    assert len(decoded.pcm) / SAMPLE_RATE == pytest.approx(3, abs=0.06)
    decoded = Decoded(silent, tmp_path, frame_rate=None)
    assert (decoded.frames, decoded.pcm.shape, decoded.duration) == ([], (0,), 2.0)


def test_decoder_undecoded_longer_video_keeps_duration(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    sources = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=4", "-f", "lavfi", "-i", "sine=duration=1"]
    ffmpeg(*sources, "-c:v", "libx264", "-c:a", "aac", path)
    assert Decoded(path, tmp_path, frame_rate=None).duration == pytest.approx(4, abs=0.05)


@pytest.mark.parametrize("channels", [1, 6, 8, 12])
def test_decoder_many_channels_are_mixed(tmp_path: Path, channels: int) -> None:
    path = make_audio(tmp_path / "many.wav", 1.0, frequency=300, channels=channels)
    decoded = Decoded(path, tmp_path)
    assert decoded.pcm.shape == (SAMPLE_RATE,)
    assert np.abs(decoded.pcm).max() > 500


def test_decoder_large_frames_are_shrunk_with_scale(tmp_path: Path) -> None:
    path = make_video(tmp_path / "wide.mp4", 0.5, size=(320, 180), audio=False, rotation=90)
    decoded = Decoded(path, tmp_path, max_side=160)
    assert decoded.frames[0].image.shape == (160, 90, 3)
    assert decoded.scale == 2.0
    assert Decoded(path, tmp_path).scale == 1.0


@pytest.mark.parametrize(("aspect", "size"), [("4/3", (96, 64)), ("3/4", (72, 85)), ("1/1", (72, 64))])
@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_decoder_pixel_aspect_is_applied(
    tmp_path: Path, aspect: str, size: tuple[int, int], rotation: int, suffix: str
) -> None:
    if rotation and suffix == ".mkv":
        return
    path = make_video(tmp_path / f"film{suffix}", 0.3, size=(72, 64), audio=False)
    shaped = tmp_path / f"shaped{suffix}"
    ffmpeg("-i", path, "-vf", f"setsar={aspect}", "-c:v", "libx264", shaped)
    if rotation:
        shaped = turn_video(shaped, tmp_path / f"turned{suffix}", rotation)
    decoded = Decoded(shaped, tmp_path)
    shown = size[::-1] if rotation else size
    assert (decoded.info.width, decoded.info.height) == shown
    assert decoded.frames[0].image.shape == (shown[1], shown[0], 3)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mov", ("-c:v", "qtrle")),
        ("a.mov", ("-c:v", "prores_ks", "-pix_fmt", "yuva444p10le")),
        ("a.mkv", ("-c:v", "ffv1", "-pix_fmt", "bgra")),
        ("a.webm", ("-c:v", "libvpx", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0")),
        ("a.webm", ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p")),
        ("a.mov", ("-c:v", "png")),
    ],
)
@pytest.mark.parametrize("max_side", [1280, 16])
def test_decoder_transparent_pixels_are_white(tmp_path: Path, name: str, codec: tuple[str, ...], max_side: int) -> None:
    decoded = Decoded(make_hidden(tmp_path / name, *codec, seconds=1.0), tmp_path, max_side=max_side)
    assert decoded.info.has_alpha and not decoded.damaged
    for frame in decoded.frames:
        middle = frame.image.shape[1] // 2
        assert frame.image[:, : middle - 1].min() > 245
        assert frame.image[:, middle + 1 :, 0].max() < 120


def test_decoder_rotation_is_applied(tmp_path: Path) -> None:
    """The test card's top left corner, where it is brightest on one side, moves with the rotation."""
    upright = Decoded(make_video(tmp_path / "upright.mp4", 0.3, size=(96, 64), audio=False), tmp_path).frames[0].image
    for rotation, turns in ((90, 3), (180, 2), (270, 1)):
        path = make_video(tmp_path / f"turned{rotation}.mp4", 0.3, size=(96, 64), audio=False, rotation=rotation)
        image = Decoded(path, tmp_path).frames[0].image
        assert np.array_equal(image, np.rot90(upright, turns)), rotation


def test_decoder_same_input_gives_same_output(media: Path, tmp_path: Path) -> None:
    for name in ("video.mp4", "video.webm", "audio.mp3", "audio.opus"):
        one, two = Decoded(media / name, tmp_path), Decoded(media / name, tmp_path)
        assert one.indices == two.indices
        assert all(np.array_equal(a.image, b.image) for a, b in zip(one.frames, two.frames, strict=True))
        assert np.array_equal(one.pcm, two.pcm)


def test_decoder_position_grows_while_decoding(media: Path, tmp_path: Path) -> None:
    info = probe(media / "video.mp4", LIMITS)
    request = DecodeRequest(4.0, audio=True)
    with Decoder(media / "video.mp4", info, request, limits=LIMITS, scratch=tmp_path) as decoder:
        frames = decoder.frames()
        assert decoder.duration == info.duration
        positions = []
        for _ in frames:
            positions.append(decoder.position)
        assert positions == sorted(positions) and 0 < positions[0] <= positions[-1] <= 3.1


def test_decoder_untaken_frames_do_not_block_audio(media: Path, tmp_path: Path) -> None:
    info = probe(media / "video.mp4", LIMITS)
    request = DecodeRequest(25.0, audio=True)
    with Decoder(media / "video.mp4", info, request, limits=LIMITS, scratch=tmp_path) as decoder:
        frames = decoder.frames()
        next(frames)
        assert len(decoder.pcm()) / SAMPLE_RATE == pytest.approx(3, abs=0.06)
        assert list(frames) == []


def test_decoder_too_long_as_decoded_raises(media: Path, tmp_path: Path) -> None:
    """The container claims a second; decoding does not believe it."""
    short = replace(LIMITS, max_seconds=1.5)
    for name in ("video.mp4", "audio.opus", "audio.wav"):
        info = replace(probe(media / name, LIMITS), duration=1.0)
        with pytest.raises(MediaTooLong) as caught:
            Decoded(media / name, tmp_path, info, limits=short)
        assert caught.value.stage == "decode"


def test_decoder_too_large_frames_raise(media: Path, tmp_path: Path) -> None:
    info = probe(media / "video.mp4", LIMITS)
    with pytest.raises(FrameTooLarge) as caught:
        Decoded(media / "video.mp4", tmp_path, info, limits=replace(LIMITS, max_pixels=1000), audio=False)
    assert caught.value.stage == "decode"


def test_decoder_overstated_duration_is_corrected(media: Path, tmp_path: Path) -> None:
    info = replace(probe(media / "video.mp4", LIMITS), duration=1000.0)
    decoded = Decoded(media / "video.mp4", tmp_path, info)
    assert decoded.duration == pytest.approx(3, abs=0.06)
    assert decoded.damaged


@pytest.mark.parametrize("name", ["video.mkv", "video.webm", "audio.mp3", "audio.flac"])
def test_decoder_truncated_media_is_decoded_as_far_as_possible(media: Path, tmp_path: Path, name: str) -> None:
    content = (media / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: len(content) * 6 // 10])
    decoded = Decoded(path, tmp_path)
    assert decoded.duration is not None and 1 < decoded.duration < 2.6
    assert decoded.damaged


def test_decoder_damage_in_middle_is_skipped(tmp_path: Path) -> None:
    path = make_video(tmp_path / "film.mp4", 4.0)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(range(256)) * 11 + bytes(184)
    path.write_bytes(content)
    decoded = Decoded(path, tmp_path)
    assert decoded.damaged
    assert decoded.duration == pytest.approx(4, abs=0.1)


def test_decoder_damaged_media_under_one_second_raises(tmp_path: Path) -> None:
    path = make_video(tmp_path / "film.mkv", 3.0, audio=False)
    info = probe(path, LIMITS)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 8])
    with pytest.raises(MediaInvalid) as caught:
        Decoded(path, tmp_path, info)
    assert caught.value.stage == "decode"


def test_decoder_media_of_zero_length_raises(tmp_path: Path) -> None:
    for name in ("nothing.wav", "nothing.flac"):
        path = tmp_path / name
        ffmpeg("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "0", path)
        with pytest.raises(MediaInvalid) as caught:
            Decoded(path, tmp_path)
        assert "no sound" in caught.value.message


@pytest.mark.parametrize("frame_rate", [4.0, None])
def test_decoder_cancelled_kills_ffmpeg_at_once(tmp_path: Path, frame_rate: float | None) -> None:
    """With frames, and while sound alone is decoded."""
    path = make_video(tmp_path / "long.mkv", 20, size=(320, 240), options=["-c:a", "flac"])
    info = probe(path, LIMITS)
    others = _children()
    running: set[int] = set()

    def check() -> None:
        running.update(_children() - others)
        raise Cancelled("not wanted any more")

    with pytest.raises(Cancelled):
        request = DecodeRequest(frame_rate, audio=True)
        with Decoder(path, info, request, limits=LIMITS, scratch=tmp_path, check=check) as decoder:
            began = time.monotonic()
            os.kill(decoder._child._process.pid, signal.SIGSTOP)  # it works for ever
            for _ in decoder.frames():
                pass
    assert time.monotonic() - began < 2
    assert len(running) == 1
    assert _children() <= others
    assert not any(tmp_path.glob("decode-*"))


def test_decoder_error_in_caller_kills_ffmpeg(tmp_path: Path) -> None:
    path = make_video(tmp_path / "long.mp4", 20, size=(320, 240), fps=25)
    info = probe(path, LIMITS)
    others = _children()
    with pytest.raises(RuntimeError, match="elsewhere"):
        with Decoder(path, info, DecodeRequest(4.0, audio=True), limits=LIMITS, scratch=tmp_path) as decoder:
            next(decoder.frames())
            assert len(_children() - others) == 1
            raise RuntimeError("elsewhere")
    assert _children() <= others


def test_decoder_slow_ffmpeg_times_out(media: Path, tmp_path: Path) -> None:
    impatient = replace(LIMITS, decode_grace_seconds=0.0, decode_pace=1e9)
    with pytest.raises(ProcessingTimeout) as caught:
        Decoded(media / "video.mp4", tmp_path, limits=impatient)
    assert caught.value.stage == "decode"


def test_decoder_too_little_memory_raises_coded_error(media: Path, tmp_path: Path) -> None:
    info = probe(media / "video.mp4", LIMITS)
    with pytest.raises(AffectError):
        Decoded(media / "video.mp4", tmp_path, info, limits=replace(LIMITS, child_memory=100 * 2**20))


def test_decoder_full_disk_raises_os_error(media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: io.FileIO("/dev/full", "r+"))
    info = probe(media / "audio.wav", LIMITS)
    with pytest.raises(OSError) as caught:
        Decoded(media / "audio.wav", tmp_path, info)
    assert caught.value.errno == errno.ENOSPC


def test_decoder_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """A frame is 230 kB: holding those of three minutes would take 166 MB."""
    peaks = {}
    for seconds in (10, 180):
        path = make_video(tmp_path / f"{seconds}.mp4", seconds, size=(320, 240), fps=4)
        script = (
            "import resource, sys; from pathlib import Path; from ml.media import *\n"
            "path, limits = Path(sys.argv[1]), MediaLimits()\n"
            "with Decoder(path, probe(path, limits), DecodeRequest(4.0, audio=True), limits=limits,"
            " scratch=path.parent) as decoder:\n"
            "    count = sum(1 for frame in decoder.frames())\n"
            "peak = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]\n"
            "print(count, *peak)\n"
        )
        done = subprocess.run([sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True)
        count, own, child = map(int, done.stdout.split())
        assert count == seconds * 4
        peaks[seconds] = (own, child)
    assert peaks[180][0] - peaks[10][0] < 12_000  # KiB
    assert peaks[180][1] - peaks[10][1] < 12_000


def _children() -> set[int]:
    """Process ids of the living children of this process; servers of other tests may be among them."""
    found = set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            after = (folder / "stat").read_text().rpartition(")")[2]
        except OSError:
            continue
        state, parent = after.split()[:2]
        if state != "Z" and int(parent) == os.getpid():
            found.add(int(folder.name))
    return found
