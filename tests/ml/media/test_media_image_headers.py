import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.errors import MediaInvalid
from ml.media.image_headers import ImageHeader, first_webp_frame, read_image_header
from ml.media.orientation import UPRIGHT, Orientation
from tests.media_files import make_animated_webp, make_image, make_png_header, write_exif

SUFFIXES = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}


@pytest.mark.parametrize("name", SUFFIXES)
def test_read_image_header_has_size_and_orientation(tmp_path: Path, name: str) -> None:
    plain = make_image(tmp_path / f"plain{SUFFIXES[name]}", (70, 50))
    assert read_image_header(plain, name) == ImageHeader(70, 50, UPRIGHT)
    for orientation in range(1, 9):
        turned = make_image(tmp_path / f"turned{SUFFIXES[name]}", (70, 50), exif_orientation=orientation)
        assert read_image_header(turned, name) == ImageHeader(70, 50, Orientation.from_exif(orientation))


def test_read_image_header_big_endian_exif(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image.jpg", (70, 50))
    tiff = struct.pack(">4sIHHHIHHI", b"MM\0*", 8, 1, 0x0112, 3, 1, 8, 0, 0)
    block = b"Exif\0\0" + tiff
    data = image.read_bytes()
    image.write_bytes(data[:2] + struct.pack(">HH", 0xFFE1, len(block) + 2) + block + data[2:])
    assert read_image_header(image, "jpeg").orientation == Orientation(270)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("kind", "code"), [(1, "B3x"), (3, "H2x"), (4, "I"), (6, "b3x"), (8, "h2x"), (9, "i")])
@pytest.mark.parametrize("name", SUFFIXES)
def test_read_image_header_orientation_of_any_integer_type(
    tmp_path: Path, name: str, kind: int, code: str, order: str
) -> None:
    magic = b"II*\0" if order == "<" else b"MM\0*"
    tiff = struct.pack(f"{order}4sIHHHI{code}I", magic, 8, 1, 0x0112, kind, 1, 6, 0)
    image = write_exif(make_image(tmp_path / f"image{SUFFIXES[name]}", (70, 50)), tiff)
    assert read_image_header(image, name).orientation == Orientation(90)


def test_read_image_header_orientation_that_is_no_integer_is_upright(tmp_path: Path) -> None:
    tiff = struct.pack("<4sIHHHI4sI", b"II*\0", 8, 1, 0x0112, 2, 1, b"6\0\0\0", 0)
    image = write_exif(make_image(tmp_path / "image.jpg", (70, 50)), tiff)
    assert read_image_header(image, "jpeg").orientation == UPRIGHT


def test_read_image_header_lossless_webp_and_huge_png(tmp_path: Path) -> None:
    # VP8L: signature, then width - 1 and height - 1 in 14 bits each
    payload = b"\x2f" + struct.pack("<I", 299 | 199 << 14) + bytes(8)
    webp = tmp_path / "lossless.webp"
    webp.write_bytes(struct.pack("<4sI4s4sI", b"RIFF", 12 + len(payload), b"WEBP", b"VP8L", len(payload)) + payload)
    assert read_image_header(webp, "webp") == ImageHeader(300, 200)
    png = make_png_header(tmp_path / "huge.png", 30_000, 30_000)
    assert read_image_header(png, "png") == ImageHeader(30_000, 30_000)


def test_first_webp_frame_is_a_still_image(tmp_path: Path) -> None:
    animation = make_animated_webp(tmp_path / "moving.webp", (64, 48))
    still = first_webp_frame(animation)
    assert still is not None
    (tmp_path / "still.webp").write_bytes(still)
    assert read_image_header(tmp_path / "still.webp", "webp") == ImageHeader(64, 48)
    assert first_webp_frame(tmp_path / "still.webp") is None


@pytest.mark.parametrize("name", SUFFIXES)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_read_image_header_any_damage_gives_header_or_coded_error(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    source = tmp_path / f"source{SUFFIXES[name]}"
    if not source.exists():
        make_image(source, (70, 50), exif_orientation=6)
    content = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, min(len(content), 200) - 1))] = data.draw(st.integers(0, 255))
    damaged = tmp_path / "damaged"
    damaged.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        header = read_image_header(damaged, name)
    except MediaInvalid:
        return
    assert header.width > 0 and header.height > 0


def test_read_image_header_endless_header_raises(tmp_path: Path) -> None:
    endless = tmp_path / "endless.jpg"
    endless.write_bytes(b"\xff\xd8" + b"\xff" * 5_000_000)
    with pytest.raises(MediaInvalid):
        read_image_header(endless, "jpeg")
