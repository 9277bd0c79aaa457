from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.errors import AffectError, FrameTooLarge, MediaInvalid
from ml.media import Decoder, DecodeRequest, MediaLimits, load_image, probe
from ml.media.gif import is_animated_gif
from tests.media_files import ffmpeg, make_gif_film, make_image

HEAD = b"GIF89a\x08\0\x08\0\x80\0\0" + bytes(3) + b"\xff\xff\xff"
PICTURE = b",\0\0\0\0\x08\0\x08\0\0\x02\x04\x84\x8f\xa9\x05\0"
DELAY = b"!\xf9\x04\0\x0a\0\0\0"


def animated(tmp_path: Path, data: bytes) -> bool:
    path = tmp_path / "some.gif"
    path.write_bytes(data)
    return is_animated_gif(path)


def test_is_animated_gif_counts_pictures(tmp_path: Path) -> None:
    assert not animated(tmp_path, HEAD + PICTURE + b";")
    assert not animated(tmp_path, HEAD + DELAY + PICTURE + b"!\xfe\x03abc\0;")
    assert animated(tmp_path, HEAD + DELAY + PICTURE + DELAY + PICTURE + b";")
    assert not animated(tmp_path, HEAD + PICTURE + b";" + PICTURE)
    assert not animated(tmp_path, HEAD[:9])


def test_is_animated_gif_of_endless_blocks_takes_bounded_time(tmp_path: Path) -> None:
    assert animated(tmp_path, HEAD + PICTURE[:-1] + b"\1\0" * 2**20)


@given(data=st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_is_animated_gif_any_bytes_give_answer(tmp_path: Path, data: bytes) -> None:
    assert animated(tmp_path, HEAD + data) in (True, False)


def test_gif_of_one_picture_is_photo(media: Path, limits: MediaLimits) -> None:
    info = probe(media / "image.gif", limits)
    assert (info.kind, info.format, info.duration, info.width, info.height) == ("image", "gif", None, 160, 120)
    assert load_image(media / "image.gif", info, limits).image.shape == (120, 160, 3)


def test_gif_of_many_pictures_is_film(tmp_path: Path, limits: MediaLimits) -> None:
    path = make_gif_film(tmp_path / "film.gif", 2.0)
    info = probe(path, limits)
    assert (info.kind, info.format, info.has_audio, info.duration) == ("video", "gif", False, pytest.approx(2.0))
    with Decoder(path, info, DecodeRequest(4.0, audio=True), limits=limits, scratch=tmp_path) as decoder:
        frames = list(decoder.frames())
    assert [frame.index for frame in frames] == list(range(8))
    assert not np.array_equal(frames[0].image, frames[-1].image)
    assert not decoder.damaged


def test_gif_film_transparent_pixels_are_white(tmp_path: Path, limits: MediaLimits) -> None:
    colours = "r='if(lt(X,32),255,0)':g='if(lt(X,32),0,200)':b=0:a='if(lt(X,32),0,255)'"
    path = tmp_path / "erased.gif"
    source = f"color=s=64x48:r=5:d=1,format=rgba,geq={colours},split[a][b];[a]palettegen[p];[b][p]paletteuse"
    ffmpeg("-f", "lavfi", "-i", source, path)
    info = probe(path, limits)
    request = DecodeRequest(4.0, audio=False)
    with Decoder(path, info, request, limits=limits, scratch=tmp_path) as decoder:
        image = next(decoder.frames()).image
    assert (image[:, :31] == 255).all() and image[:, 33:, 0].max() < 60


def test_gif_cut_in_its_only_picture_gives_image_or_error(media: Path, tmp_path: Path, limits: MediaLimits) -> None:
    content = (media / "image.gif").read_bytes()
    path = tmp_path / "cut.gif"
    for end in (11, 20, 800, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:end])
        try:
            load_image(path, probe(path, limits), limits)
        except AffectError as error:
            assert error.code == "media_invalid"


def test_gif_cut_film_is_damaged_or_shorter(tmp_path: Path, limits: MediaLimits) -> None:
    content = make_gif_film(tmp_path / "film.gif", 4.0).read_bytes()
    path = tmp_path / "cut.gif"
    path.write_bytes(content[: len(content) // 2])
    info = probe(path, limits)
    with Decoder(path, info, DecodeRequest(4.0, audio=False), limits=limits, scratch=tmp_path) as decoder:
        assert 4 <= len(list(decoder.frames())) <= 12


@pytest.mark.parametrize("film", [False, True])
def test_gif_huge_size_is_refused(tmp_path: Path, limits: MediaLimits, film: bool) -> None:
    path = tmp_path / "huge.gif"
    content = bytearray((make_gif_film if film else make_image)(path).read_bytes())
    content[6:10] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    with pytest.raises(FrameTooLarge) as caught:
        probe(path, limits)
    assert caught.value.stage == "probe"


def test_gif_without_size_raises(tmp_path: Path, limits: MediaLimits) -> None:
    path = tmp_path / "empty.gif"
    path.write_bytes(b"GIF89a" + bytes(7) + b";")
    with pytest.raises(MediaInvalid):
        probe(path, limits)
