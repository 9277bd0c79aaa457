"""What people send who mean harm, or whose disk failed: always a result or an error with a code, in bounded time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.errors import AffectError, UnsupportedMedia
from ml.media import Decoder, DecodeRequest, MediaLimits, probe
from tests.damaged_files import check, make_seeds, read_all, survey
from tests.media_files import (
    ffmpeg,
    make_audio,
    make_external_reference_mov,
    make_ffconcat_script,
    make_hls_playlist,
    make_video,
    tone_frequency,
)

LIMITS = MediaLimits(
    probe_seconds=20, decode_grace_seconds=20, max_seconds=60, child_cpu_seconds=30, child_memory=2 * 2**30
)
SECRET = b"root:the-secret-of-this-machine"
MUTATIONS = 240


def read(path: Path, scratch: Path) -> np.ndarray:
    return read_all(path, LIMITS, scratch)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A local file that no upload may read: playable, so that following a reference to it would show."""
    return make_audio(tmp_path / "target.wav", 3.0, frequency=2000, rate=16_000)


@pytest.mark.parametrize("maker", [make_hls_playlist, make_ffconcat_script])
@pytest.mark.parametrize("name", ["film.mp4", "film.m3u8", "film.ffconcat", "photo.jpg"])
def test_hostile_script_naming_other_files_is_unsupported(tmp_path: Path, target: Path, maker, name: str) -> None:
    path = maker(tmp_path / name, target)
    with pytest.raises(UnsupportedMedia) as caught:
        probe(path, LIMITS)
    assert str(target) not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        b'<?xml version="1.0"?><MPD><BaseURL>file:///etc/passwd</BaseURL></MPD>',
        b"%PDF-1.7\n1 0 obj<</Type/Catalog>>",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0",
        b"[playlist]\nFile1=/etc/passwd\n",
        b"P6 16 16 255\n" + bytes(768),
        b"push graphic-context\nimage over 0,0 0,0 'msl:/etc/passwd'",
    ],
)
def test_hostile_other_documents_are_unsupported(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(UnsupportedMedia):
        probe(path, LIMITS)


@pytest.mark.parametrize(
    "head", ["ftyp", "matroska", "riff", "ogg", "id3", "asf", "flv", "mpeg", "mpegts", "caf", "gif", "heif", "tiff"]
)
def test_hostile_script_behind_media_signature_opens_nothing(tmp_path: Path, target: Path, head: str) -> None:
    """Our own sniffing passes these on; ffprobe's whitelist of the one format then holds."""
    heads = {
        "ftyp": b"\0\0\0\x18ftypisom\0\0\0\0isomiso2\n",
        "matroska": b"\x1a\x45\xdf\xa3\n",
        "riff": b"RIFF\x10\0\0\0WAVE\n",
        "ogg": b"OggS\n",
        "id3": b"ID3\x03\0\0\0\0\0\0",
        "asf": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + b"\n",
        "flv": b"FLV\x01\n",
        "mpeg": b"\0\0\x01\xba\n",
        "mpegts": (b"\x47\x40\x11\x10\xf0" + bytes(183)) * 5 + b"\n",
        "caf": b"caff\0\x01\0\0\n",
        "gif": b"GIF89a\x01\0\x01\0\0\0\0\n",
        "heif": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\n",
        "tiff": b"II*\0\x08\0\0\0\n",
    }
    for script in (make_hls_playlist, make_ffconcat_script):
        path = script(tmp_path / "film.mp4", target)
        path.write_bytes(heads[head] + path.read_bytes())
        with pytest.raises(AffectError) as caught:
            read(path, tmp_path)
        assert caught.value.code in ("media_invalid", "unsupported_media", "no_streams")


def test_hostile_reference_to_other_file_is_not_followed(tmp_path: Path, target: Path) -> None:
    path = make_external_reference_mov(tmp_path / "outside.mov", target)
    followed = tmp_path / "followed.wav"  # ffmpeg would follow the reference if allowed to
    ffmpeg("-enable_drefs", "1", "-i", path, followed)
    assert tone_frequency(read(followed, tmp_path)) == pytest.approx(2000, abs=5)
    with pytest.raises(AffectError) as caught:
        read(path, tmp_path)
    assert caught.value.code == "media_invalid"


def test_hostile_attached_playlist_is_not_opened(tmp_path: Path, target: Path) -> None:
    playlist = make_hls_playlist(tmp_path / "list.m3u8", target)
    sound = make_audio(tmp_path / "sound.wav", 2.0, frequency=440)
    path = tmp_path / "film.mkv"
    ffmpeg("-i", sound, "-attach", playlist, "-metadata:s:t", "mimetype=application/x-mpegurl", "-c:a", "flac", path)
    assert tone_frequency(read(path, tmp_path)) == pytest.approx(440, abs=2)


def test_hostile_dash_manifest_is_unsupported(tmp_path: Path, target: Path) -> None:
    """One that ffmpeg itself wrote, behind each signature that may hold text."""
    manifest = tmp_path / "film.mpd"
    ffmpeg("-i", target, "-c:a", "aac", "-f", "dash", manifest)
    for head in (b"", b"\0\0\0\x18ftypisom\0\0\0\0isomiso2\n", b"ID3\x03\0\0\0\0\0\0"):
        path = tmp_path / "copy.mp4"
        path.write_bytes(head + manifest.read_bytes())
        with pytest.raises(AffectError) as caught:
            read(path, tmp_path)
        assert caught.value.code in ("media_invalid", "unsupported_media", "no_streams")


def test_hostile_attached_font_is_not_read(tmp_path: Path) -> None:
    """Fonts and subtitles belong to programs that draw text, which nothing here does."""
    font, subtitles, path = tmp_path / "evil.ttf", tmp_path / "words.ass", tmp_path / "film.mkv"
    font.write_bytes(b"\0\1\0\0" + b"\xff" * 100_000)
    subtitles.write_text("[Script Info]\n[Events]\nDialogue: 0,0:00:00.00,0:00:01.00,,,0,0,0,,{\\fnevil}words\n")
    film = make_video(tmp_path / "film.mp4", 1.0)
    attached = ["-attach", font, "-metadata:s:t", "mimetype=application/x-truetype-font"]
    ffmpeg("-i", film, "-i", subtitles, *attached, "-map", "0", "-map", "1", "-c", "copy", "-c:s", "ass", path)
    info = probe(path, LIMITS)
    assert info.has_video and read(path, tmp_path).size == pytest.approx(read(film, tmp_path).size, abs=1000)
    (tmp_path / "font.mkv").write_bytes(font.read_bytes())
    with pytest.raises(UnsupportedMedia):
        probe(tmp_path / "font.mkv", LIMITS)


def test_hostile_error_message_contains_no_path_and_no_content(tmp_path: Path) -> None:
    (tmp_path / "secret-place").mkdir()
    path = tmp_path / "secret-place" / "secret-name.mp4"
    film = make_video(tmp_path / "film.mp4", 1.0).read_bytes()
    for content in (SECRET, film[: len(film) // 2], film[:48] + SECRET * 20):
        path.write_bytes(content)
        with pytest.raises(AffectError) as caught:
            read(path, tmp_path)
        assert "secret" not in repr(caught.value)


def test_hostile_ten_hours_in_small_file_stop_at_limit(tmp_path: Path) -> None:
    """Where the container tells a length that is not true."""
    path = make_audio(tmp_path / "minutes.opus", 180, options=["-b:a", "6k", "-frame_duration", "60"])
    info = replace(probe(path, replace(LIMITS, max_seconds=1000)), duration=1.0)
    with pytest.raises(AffectError) as caught:
        with Decoder(path, info, DecodeRequest(None, audio=True), limits=LIMITS, scratch=tmp_path) as decoder:
            decoder.pcm()
    assert (caught.value.code, caught.value.stage) == ("media_too_long", "decode")


@pytest.mark.parametrize("rate", [1, 2_113_959_296])
def test_hostile_absurd_sample_rate_is_not_resampled(tmp_path: Path, rate: int) -> None:
    path = make_audio(tmp_path / "absurd.wav", 1.0, rate=16_000)
    content = bytearray(path.read_bytes())
    content[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(AffectError) as caught:
        read(path, tmp_path)
    assert (caught.value.code, caught.value.stage) == ("media_invalid", "probe")


@pytest.fixture(scope="session")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_seeds(tmp_path_factory.mktemp("seeds"))


def test_hostile_any_damage_gives_result_or_coded_error(seeds: list[Path], tmp_path: Path) -> None:
    check(survey(seeds, tmp_path, MUTATIONS, LIMITS))


def test_hostile_undamaged_seeds_are_decoded(seeds: list[Path], tmp_path: Path) -> None:
    for seed in seeds:
        assert read(seed, tmp_path).size > 0 or seed.name == "film.gif", seed.name


@pytest.fixture
def growing_video(tmp_path: Path) -> Path:
    """A valid WebM file: four seconds of 64x48 pixels, then two of 640x480; its header names the first size."""
    parts = [
        make_video(tmp_path / f"{size[0]}.webm", seconds, size, audio=False)
        for size, seconds in (((64, 48), 4.0), ((640, 480), 2.0))
    ]
    script = tmp_path / "parts.txt"
    script.write_text("".join(f"file {part.name}\n" for part in parts))
    ffmpeg("-f", "concat", "-i", script, "-c", "copy", tmp_path / "growing.webm")
    return tmp_path / "growing.webm"


def test_hostile_size_change_in_mid_stream_is_scaled_to_first_size(growing_video: Path, tmp_path: Path) -> None:
    info = probe(growing_video, LIMITS)
    assert (info.width, info.height) == (64, 48)
    request = DecodeRequest(audio=False, frame_rate=2)
    with Decoder(growing_video, info, request, limits=LIMITS, scratch=tmp_path) as decoder:
        shapes = [frame.image.shape for frame in decoder.frames()]
    assert set(shapes) == {(48, 64, 3)} and 11 <= len(shapes) <= 13


def test_hostile_size_change_beyond_limit_ends_decoding(growing_video: Path, tmp_path: Path) -> None:
    limits = replace(LIMITS, max_pixels=200 * 200)
    info = probe(growing_video, limits)
    request = DecodeRequest(audio=False, frame_rate=2)
    with Decoder(growing_video, info, request, limits=limits, scratch=tmp_path) as decoder:
        count = sum(1 for _ in decoder.frames())
        assert count <= 9 and decoder.damaged
