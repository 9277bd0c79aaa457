import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ml.errors import FrameTooLarge, MediaInvalid, UnsupportedMedia
from ml.media import MediaLimits, load_image, probe
from ml.media.geometry import MAX_ANALYSIS_SIDE
from ml.media.image_headers import ImageHeader, read_image_header
from tests.media_files import make_image, save_image


@pytest.fixture(params=["heif", "avif"])
def sample(request: pytest.FixtureRequest, media: Path) -> tuple[str, bytes]:
    """A format and a file of it, of 160x120 pixels."""
    return request.param, (media / f"image.{'heic' if request.param == 'heif' else 'avif'}").read_bytes()


def with_size(data: bytes, width: int, height: int) -> bytes:
    """The file with another size in each of its size boxes."""
    marked = bytearray(data)
    at = 0
    while (at := data.find(b"ispe", at)) >= 0:
        marked[at + 8 : at + 16] = struct.pack(">II", width, height)
        at += 4
    return bytes(marked)


@pytest.mark.parametrize(("suffix", "name"), [(".heic", "heif"), (".avif", "avif")])
@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 8])
def test_heif_size_is_upright(tmp_path: Path, suffix: str, name: str, orientation: int) -> None:
    path = make_image(tmp_path / f"turned{suffix}", (70, 50), exif_orientation=orientation)
    turned = orientation > 4
    assert read_image_header(path, name) == ImageHeader(*((50, 70) if turned else (70, 50)))


def test_heif_of_tiles_is_decoded_whole(tmp_path: Path, limits: MediaLimits) -> None:
    """As phones write it: a grid of tiles, whose last row and column are cut."""
    with Image.open(make_image(tmp_path / "card.png", (300, 200))) as card:
        expected = np.asarray(card.convert("RGB")).astype(int)
        path = save_image(card.convert("RGB"), tmp_path / "tiles.heic", tile_size=128)
    assert path.read_bytes().count(b"hvc1") >= 6
    info = probe(path, limits)
    assert (info.width, info.height) == (300, 200)
    assert np.abs(load_image(path, info, limits).image - expected).mean() < 3


def test_heif_second_picture_is_not_the_primary_one(tmp_path: Path, limits: MediaLimits) -> None:
    red, blue = Image.new("RGB", (64, 48), (255, 0, 0)), Image.new("RGB", (80, 60), (0, 0, 255))
    path = save_image(red, tmp_path / "two.heic", save_all=True, append_images=[blue], primary_index=1)
    info = probe(path, limits)
    assert (info.width, info.height) == (80, 60)
    assert load_image(path, info, limits).image[..., 2].mean() > 200


@pytest.mark.parametrize("suffix", [".heic", ".avif"])
def test_heif_transparent_pixels_are_white(tmp_path: Path, limits: MediaLimits, suffix: str) -> None:
    picture = Image.new("RGBA", (64, 48), (255, 0, 0, 0))
    picture.paste((0, 200, 0, 255), (32, 0, 64, 48))
    path = save_image(picture, tmp_path / f"erased{suffix}")
    image = load_image(path, probe(path, limits), limits).image
    assert (image[:, :30] >= 250).all() and image[:, 34:, 0].max() < 60


def test_heif_ten_bits_are_read(tmp_path: Path, limits: MediaLimits) -> None:
    levels = np.full((48, 64), 40_000, np.uint16)
    path = save_image(Image.fromarray(levels), tmp_path / "deep.heic")
    assert load_image(path, probe(path, limits), limits).image.mean() == pytest.approx(40_000 / 257, abs=3)


def test_avif_film_gives_first_picture(tmp_path: Path, limits: MediaLimits) -> None:
    red, blue = Image.new("RGB", (64, 48), (255, 0, 0)), Image.new("RGB", (64, 48), (0, 0, 255))
    path = save_image(red, tmp_path / "moving.avif", save_all=True, append_images=[blue], duration=200)
    info = probe(path, limits)
    assert (info.kind, info.width, info.height) == ("image", 64, 48)
    assert load_image(path, info, limits).image[..., 0].mean() > 200


def test_heif_cut_anywhere_raises(sample: tuple[str, bytes], tmp_path: Path, limits: MediaLimits) -> None:
    _, data = sample
    path = tmp_path / "cut.bin"
    for end in (40, 100, data.index(b"ispe") + 6, data.index(b"mdat") + 4, len(data) // 2, len(data) - 40):
        path.write_bytes(data[:end])
        with pytest.raises((MediaInvalid, UnsupportedMedia)):
            load_image(path, probe(path, limits), limits)


def test_heif_huge_size_is_refused_before_decoding(
    sample: tuple[str, bytes], tmp_path: Path, limits: MediaLimits
) -> None:
    _, data = sample
    path = tmp_path / "huge.bin"
    path.write_bytes(with_size(data, 60_000, 60_000))
    with pytest.raises(FrameTooLarge) as caught:
        probe(path, limits)
    assert caught.value.stage == "probe"


def test_heif_size_that_lies_gives_image_or_error(
    sample: tuple[str, bytes], tmp_path: Path, limits: MediaLimits
) -> None:
    """Smaller or larger than the coded picture, and within the limit."""
    _, data = sample
    path = tmp_path / "lie.bin"
    for width, height in ((8, 8), (1, 4000), (5000, 5000)):
        path.write_bytes(with_size(data, width, height))
        info = probe(path, limits)
        try:
            image = load_image(path, info, limits).image
        except (MediaInvalid, FrameTooLarge):
            continue
        assert max(image.shape) <= MAX_ANALYSIS_SIDE


def test_heif_larger_than_header_says_is_refused_by_decoder(
    sample: tuple[str, bytes], tmp_path: Path, limits: MediaLimits
) -> None:
    _, data = sample
    path = tmp_path / "image.bin"
    path.write_bytes(data)
    info = replace(probe(path, limits), width=10, height=10)
    with pytest.raises(FrameTooLarge) as caught:
        load_image(path, info, replace(limits, max_pixels=1000))
    assert caught.value.stage == "decode"


def test_heif_without_picture_raises(tmp_path: Path, limits: MediaLimits) -> None:
    path = tmp_path / "empty.heic"
    for body in (b"", struct.pack(">I4sI", 12, b"meta", 0), struct.pack(">I4s", 0, b"meta"), bytes(200)):
        path.write_bytes(b"\0\0\0\x14ftypheic\0\0\0\0mif1" + body)
        with pytest.raises(MediaInvalid):
            probe(path, limits)


@pytest.fixture(scope="module")
def heads(media: Path) -> list[bytes]:
    return [(media / f"image{suffix}").read_bytes()[:1500] for suffix in (".heic", ".avif")]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_heif_any_boxes_give_header_or_error(heads: list[bytes], tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(heads)))
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=8)):
        content[at] = value
    path = tmp_path / "image.bin"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    for name in ("heif", "avif"):
        try:
            header = read_image_header(path, name)
        except MediaInvalid:
            continue
        assert header.width > 0 and header.height > 0


def test_heif_boxes_without_end_cost_no_time(tmp_path: Path) -> None:
    """A million empty boxes, and a table that claims four billion entries."""
    path = tmp_path / "boxes.heic"
    path.write_bytes(b"\0\0\0\x14ftypheic\0\0\0\0mif1" + b"\0\0\0\x08free" * 2**20)
    with pytest.raises(MediaInvalid):
        read_image_header(path, "heif")
    pitm, ispe = struct.pack(">I4sIH", 14, b"pitm", 0, 1), struct.pack(">I4sIII", 20, b"ispe", 0, 9, 9)
    ipco = struct.pack(">I4s", 8 + len(ispe), b"ipco") + ispe
    ipma = struct.pack(">I4sII", 16 + 8 * 2**17, b"ipma", 0, 2**32 - 1) + b"\0\2\1\1" * 2**18
    iprp = struct.pack(">I4s", 8 + len(ipco) + len(ipma), b"iprp") + ipco + ipma
    meta = struct.pack(">I4sI", 12 + len(pitm) + len(iprp), b"meta", 0) + pitm + iprp
    path.write_bytes(b"\0\0\0\x14ftypheic\0\0\0\0mif1" + meta)
    with pytest.raises(MediaInvalid):
        read_image_header(path, "heif")
