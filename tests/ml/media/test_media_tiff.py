import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ml.errors import FrameTooLarge, MediaInvalid, UnsupportedMedia
from ml.media import MediaLimits, load_image, probe
from ml.media.image_headers import read_image_header
from ml.media.tiff import read_first_directory
from tests.media_files import ffmpeg, make_image, save_image


def directory(tags: dict[int, int], order: str = "<") -> bytes:
    """A TIFF structure with these tags, each a LONG."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return magic + struct.pack(order + "IH", 8, len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("order", "<>")
def test_read_first_directory_has_integers(order: str) -> None:
    assert read_first_directory(directory({256: 70, 257: 50, 274: 6}, order)) == {256: 70, 257: 50, 274: 6}
    assert read_first_directory(directory({256: 70, 257: 50}, order)[:25]) == {256: 70}
    assert read_first_directory(b"no TIFF") == {}


@given(data=st.binary(max_size=120))
def test_read_first_directory_any_bytes_give_tags(data: bytes) -> None:
    assert all(isinstance(value, int) for value in read_first_directory(b"II*\0" + data).values())


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"])
def test_tiff_of_each_compression_is_read(media: Path, tmp_path: Path, limits: MediaLimits, compression: str) -> None:
    reference = load_image(media / "image.png", probe(media / "image.png", limits), limits).image.astype(int)
    path = save_image(Image.fromarray(reference.astype(np.uint8)), tmp_path / "card.tiff", compression=compression)
    picture = load_image(path, probe(path, limits), limits)
    assert np.abs(picture.image - reference).mean() < 12 and not picture.damaged


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "LA", "RGBA"])
def test_tiff_of_each_colour_model_is_read(tmp_path: Path, limits: MediaLimits, mode: str) -> None:
    picture = Image.linear_gradient("L").convert(mode if mode != "P" else "L")
    path = save_image(picture.convert(mode), tmp_path / "grey.tiff", compression="raw")
    image = load_image(path, probe(path, limits), limits).image
    assert image.shape == (256, 256, 3)
    assert image[:20].mean() < 60 and image[-20:].mean() > 195


def test_tiff_sixteen_bits_are_read(tmp_path: Path, limits: MediaLimits) -> None:
    path = save_image(Image.fromarray(np.full((48, 64), 40_000, np.uint16)), tmp_path / "deep.tiff")
    assert load_image(path, probe(path, limits), limits).image.mean() == pytest.approx(40_000 / 256, abs=2)
    ffmpeg("-f", "lavfi", "-i", "color=0x804020:s=64x48", "-frames:v", "1", "-pix_fmt", "rgb48le", tmp_path / "48.tiff")
    image = load_image(tmp_path / "48.tiff", probe(tmp_path / "48.tiff", limits), limits).image
    assert np.abs(image.reshape(-1, 3).mean(axis=0) - (0x80, 0x40, 0x20)).max() < 6


def test_tiff_of_several_pages_gives_first(tmp_path: Path, limits: MediaLimits) -> None:
    red, blue = Image.new("RGB", (64, 48), (255, 0, 0)), Image.new("RGB", (80, 60), (0, 0, 255))
    path = save_image(red, tmp_path / "pages.tiff", save_all=True, append_images=[blue])
    image = load_image(path, probe(path, limits), limits).image
    assert image.shape == (48, 64, 3) and image[..., 0].min() == 255


@pytest.mark.parametrize("tags", [{254: 1}, {50706: 1}, {262: 32803}])
def test_tiff_of_a_camera_is_refused_as_raw_photo(tmp_path: Path, limits: MediaLimits, tags: dict[int, int]) -> None:
    path = tmp_path / "raw.nef"
    path.write_bytes(directory({256: 160, 257: 120, **tags}))
    with pytest.raises(UnsupportedMedia, match="raw photo"):
        probe(path, limits)


def test_tiff_cut_anywhere_raises(media: Path, tmp_path: Path, limits: MediaLimits) -> None:
    content = (media / "image.tiff").read_bytes()
    path = tmp_path / "cut.tiff"
    for end in (8, 20, len(content) // 2, len(content) - 30):
        path.write_bytes(content[:end])
        with pytest.raises(MediaInvalid):
            load_image(path, probe(path, limits), limits)


def test_tiff_huge_size_is_refused(tmp_path: Path, limits: MediaLimits) -> None:
    path = tmp_path / "huge.tiff"
    path.write_bytes(directory({256: 2**31, 257: 2**31}))
    with pytest.raises(FrameTooLarge) as caught:
        probe(path, limits)
    assert caught.value.stage == "probe"


def test_tiff_that_promises_more_pixels_than_it_has_raises(tmp_path: Path, limits: MediaLimits) -> None:
    path = tmp_path / "empty.tiff"
    tags = {256: 5000, 257: 5000, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 5000, 279: 25_000_000}
    path.write_bytes(directory(tags))
    with pytest.raises(MediaInvalid):
        load_image(path, probe(path, limits), limits)


def test_tiff_directories_in_a_circle_end(tmp_path: Path, limits: MediaLimits) -> None:
    path = make_image(tmp_path / "circle.tiff", (64, 48))
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    struct.pack_into("<I", content, start + 2 + 12 * count, start)
    path.write_bytes(content)
    assert load_image(path, probe(path, limits), limits).image.shape == (48, 64, 3)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=120))
def test_tiff_any_directory_gives_header_or_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "some.tiff"
    path.write_bytes(b"MM\0*\0\0\0\x08" + data)
    try:
        header = read_image_header(path, "tiff")
    except (MediaInvalid, UnsupportedMedia):
        return
    assert header.width > 0 and header.height > 0


@pytest.mark.parametrize(
    "options",
    [("-pix_fmt", "bgr24"), ("-pix_fmt", "rgb565le"), ("-pix_fmt", "pal8"), ("-pix_fmt", "bgra"), ("-pix_fmt", "gray")],
)
def test_bmp_of_each_depth_is_read(tmp_path: Path, limits: MediaLimits, options: tuple[str, str]) -> None:
    path = tmp_path / "card.bmp"
    ffmpeg("-f", "lavfi", "-i", "color=gray:s=64x48", "-frames:v", "1", *options, path)
    picture = load_image(path, probe(path, limits), limits)
    assert picture.image.shape == (48, 64, 3)
    assert abs(picture.image.mean() - 128) < 16


def test_bmp_rows_from_the_top_are_upright(media: Path, tmp_path: Path, limits: MediaLimits) -> None:
    content = bytearray((media / "image.bmp").read_bytes())
    upright = load_image(media / "image.bmp", probe(media / "image.bmp", limits), limits).image
    struct.pack_into("<i", content, 22, -120)
    path = tmp_path / "top.bmp"
    path.write_bytes(content)
    assert np.array_equal(load_image(path, probe(path, limits), limits).image, upright[::-1])


@pytest.mark.parametrize(("width", "height"), [(2**31 - 1, 2**31 - 1), (40_000, -40_000)])
def test_bmp_huge_size_is_refused(media: Path, tmp_path: Path, limits: MediaLimits, width: int, height: int) -> None:
    content = bytearray((media / "image.bmp").read_bytes())
    struct.pack_into("<ii", content, 18, width, height)
    path = tmp_path / "huge.bmp"
    path.write_bytes(content)
    with pytest.raises(FrameTooLarge):
        probe(path, limits)


def test_bmp_cut_or_without_size_raises(media: Path, tmp_path: Path, limits: MediaLimits) -> None:
    content = (media / "image.bmp").read_bytes()
    path = tmp_path / "cut.bmp"
    for broken in (content[:20], content[:60], content[: len(content) // 2], content[:18] + bytes(8) + content[26:]):
        path.write_bytes(broken)
        with pytest.raises(MediaInvalid):
            load_image(path, probe(path, limits), limits)
