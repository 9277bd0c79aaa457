import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.errors import Cancelled, FrameTooLarge, MediaInvalid, ProcessingTimeout
from ml.media import MediaLimits, load_image, probe, sandbox
from ml.media.image import DecodedImage
from tests.media_files import (
    IMAGE_SUFFIXES,
    ffmpeg,
    make_animated_webp,
    make_hidden,
    make_image,
    make_png_header,
    png_chunk,
    riff,
    riff_chunks,
)

EXIF_TURNS = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: lambda image: np.rot90(image),
}


def load(path: Path, limits: MediaLimits, **options: int) -> DecodedImage:
    return load_image(path, probe(path, limits), limits, **options)


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_load_image_each_format_gives_same_pixels(media: Path, limits: MediaLimits, suffix: str) -> None:
    picture = load(media / f"image{suffix}", limits)
    assert picture.image.shape == (120, 160, 3) and picture.image.dtype == np.uint8
    assert (picture.scale, picture.damaged) == (1.0, False)
    reference = load(media / "image.png", limits).image
    assert np.abs(picture.image.astype(int) - reference).mean() < 12
    red, green, blue = picture.image.reshape(-1, 3).astype(int).max(axis=0)
    assert min(red, green, blue) > 200


def test_load_image_colours_are_rgb(tmp_path: Path, limits: MediaLimits) -> None:
    path = tmp_path / "red.ppm"
    path.write_bytes(b"P6 16 16 255\n" + bytes([250, 10, 20]) * 256)
    for suffix in (".png", ".jpg"):
        ffmpeg("-i", path, tmp_path / f"red{suffix}")
        colour = load(tmp_path / f"red{suffix}", limits).image[8, 8].astype(int)
        assert np.abs(colour - [250, 10, 20]).max() <= 6


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".heic", ".avif", ".tiff"])
def test_load_image_exif_orientation_is_applied(tmp_path: Path, limits: MediaLimits, suffix: str) -> None:
    upright = load(make_image(tmp_path / f"upright{suffix}", (96, 64)), limits).image
    for orientation, turn in EXIF_TURNS.items():
        path = make_image(tmp_path / f"turned{suffix}", (96, 64), exif_orientation=orientation)
        info = probe(path, limits)
        picture = load_image(path, info, limits)
        assert picture.image.shape == (info.height, info.width, 3)
        assert np.array_equal(picture.image, turn(upright)), orientation


def test_load_image_large_image_is_shrunk(tmp_path: Path, limits: MediaLimits) -> None:
    path = make_image(tmp_path / "large.jpg", (2000, 1000), exif_orientation=6)
    picture = load(path, limits, max_side=500)
    assert picture.image.shape == (500, 250, 3)
    assert picture.scale == 4.0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rgba.png", ()),
        ("rgba64.png", ("-pix_fmt", "rgba64be")),
        ("grey.png", ("-pix_fmt", "ya8")),
        ("lossy.webp", ("-c:v", "libwebp", "-lossless", "0", "-pix_fmt", "yuva420p")),
        ("lossless.webp", ("-c:v", "libwebp", "-lossless", "1")),
    ],
)
@pytest.mark.parametrize("max_side", [1280, 16])
def test_load_image_transparent_pixels_are_white(
    tmp_path: Path, limits: MediaLimits, name: str, options: tuple[str, ...], max_side: int
) -> None:
    image = load(make_hidden(tmp_path / name, *options), limits, max_side=max_side).image
    middle = image.shape[1] // 2
    assert (image[:, : middle - 1] == 255).all()
    assert image[:, middle + 1 :].min(axis=2).max() < 160


def test_load_image_first_frame_of_an_animation_keeps_its_transparency(tmp_path: Path, limits: MediaLimits) -> None:
    options = ("-c:v", "libwebp_anim", "-lossless", "0", "-pix_fmt", "yuva420p", "-loop", "0")
    path = make_hidden(tmp_path / "moving.webp", *options, seconds=0.6)
    still = riff_chunks(path.read_bytes())[:1] + _first_frame_of(path)
    path.write_bytes(riff(b"WEBP", still))
    image = load(path, limits).image
    assert (image[:, :31] == 255).all() and image[:, 33:, 1].mean() > 100


def _first_frame_of(path: Path) -> list[tuple[bytes, bytes]]:
    """The chunks of an animation that has one frame, made of a still image if the encoder made no animation."""
    chunks = riff_chunks(path.read_bytes())
    if any(name == b"ANMF" for name, _ in chunks):
        return chunks[1:]
    inner = riff(b"WEBP", [chunk for chunk in chunks if chunk[0] in (b"ALPH", b"VP8 ")])[12:]
    header = bytes(6) + (63).to_bytes(3, "little") + (47).to_bytes(3, "little") + bytes(4)
    return [(b"ANIM", bytes(6)), (b"ANMF", header + inner)]


def test_load_image_transparent_colour_of_a_palette_is_white(tmp_path: Path, limits: MediaLimits) -> None:
    pixels = zlib.compress(b"".join(b"\0" + bytes([0] * 8 + [1] * 8) for _ in range(16)))
    header = struct.pack(">IIBBBBB", 16, 16, 8, 3, 0, 0, 0)
    parts = [(b"IHDR", header), (b"PLTE", b"\xff\0\0\0\xc8\0"), (b"tRNS", b"\0"), (b"IDAT", pixels), (b"IEND", b"")]
    path = tmp_path / "palette.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, payload) for name, payload in parts))
    image = load(path, limits).image
    assert (image[:, :8] == 255).all() and np.abs(image[:, 8:].astype(int) - (0, 200, 0)).max() <= 1


def test_load_image_animation_gives_first_frame(tmp_path: Path, limits: MediaLimits, media: Path) -> None:
    picture = load(make_animated_webp(tmp_path / "moving.webp", (160, 120)), limits)
    reference = load(media / "image.png", limits).image
    assert np.abs(picture.image.astype(int) - reference).mean() < 12


def test_load_image_file_name_is_ignored(media: Path, tmp_path: Path, limits: MediaLimits) -> None:
    reference = load(media / "image.png", limits).image
    for name in ("image%03d.png", "*.png", "-i", "pipe:0", "a b\n.mp4"):
        path = tmp_path / name
        path.write_bytes((media / "image.png").read_bytes())
        assert np.array_equal(load(path, limits).image, reference), name


def test_load_image_half_jpeg_is_damaged(media: Path, tmp_path: Path, limits: MediaLimits) -> None:
    path = tmp_path / "half.jpg"
    content = (media / "image.jpg").read_bytes()
    path.write_bytes(content[: len(content) // 2])
    whole, half = load(media / "image.jpg", limits), load(path, limits)
    assert half.damaged
    assert np.array_equal(half.image[:16], whole.image[:16])
    assert not np.array_equal(half.image[-16:], whole.image[-16:])


def test_load_image_jpeg_without_lines_raises(tmp_path: Path, limits: MediaLimits) -> None:
    content = make_image(tmp_path / "turned.jpg", exif_orientation=6).read_bytes()
    scan = content.index(b"\xff\xda")
    for end in (scan, scan + 2, scan + 14):
        path = tmp_path / "header.jpg"
        path.write_bytes(content[:end])
        with pytest.raises(MediaInvalid):
            load(path, limits)


def test_load_image_half_png_or_webp_raises(media: Path, tmp_path: Path, limits: MediaLimits) -> None:
    for suffix in (".png", ".webp"):
        path = tmp_path / f"half{suffix}"
        content = (media / f"image{suffix}").read_bytes()
        path.write_bytes(content[: len(content) // 2])
        info = probe(path, limits)
        with pytest.raises(MediaInvalid) as caught:
            load_image(path, info, limits)
        assert caught.value.stage == "decode"


def test_load_image_wrong_size_in_header_raises(media: Path, tmp_path: Path, limits: MediaLimits) -> None:
    """Small in what we read, larger than allowed in what the decoder meets."""
    info = replace(probe(media / "image.jpg", limits), width=10, height=10)
    with pytest.raises(FrameTooLarge) as caught:
        load_image(media / "image.jpg", info, replace(limits, max_pixels=1000))
    assert caught.value.stage == "decode"


def test_load_image_huge_size_in_header_raises(tmp_path: Path, limits: MediaLimits) -> None:
    with pytest.raises(FrameTooLarge) as caught:
        probe(make_png_header(tmp_path / "huge.png", 30_000, 30_000), limits)
    assert caught.value.stage == "probe"


def test_load_image_cancelled_stops(media: Path, limits: MediaLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> None:
        raise Cancelled("not wanted any more")

    monkeypatch.setattr(sandbox, "POLL_SECONDS", 0.0)
    info = probe(media / "image.jpg", limits)
    with pytest.raises(Cancelled):
        load_image(media / "image.jpg", info, limits, check=check)


def test_load_image_slow_decoder_times_out(media: Path, limits: MediaLimits) -> None:
    info = probe(media / "image.jpg", limits)
    with pytest.raises(ProcessingTimeout) as caught:
        load_image(media / "image.jpg", info, replace(limits, probe_seconds=0.0))
    assert caught.value.stage == "decode"


def test_load_image_of_one_colour_is_accepted(tmp_path: Path, limits: MediaLimits) -> None:
    path = tmp_path / "grey.jpg"
    ffmpeg("-f", "lavfi", "-i", "color=gray:s=64x48", "-frames:v", "1", path)
    picture = load(path, limits)
    assert np.ptp(picture.image) <= 4 and not picture.damaged
