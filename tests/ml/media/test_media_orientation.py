import itertools
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.media import MediaLimits, probe
from ml.media.geometry import Geometry
from ml.media.orientation import UPRIGHT, Orientation
from tests.media_files import make_video, turn_video


@pytest.mark.parametrize(
    ("value", "rotation", "mirrored"),
    [(1, 0, False), (2, 0, True), (3, 180, False), (4, 180, True), (6, 90, False), (8, 270, False), (9, 0, False)],
)
def test_from_exif_each_value(value: int, rotation: int, mirrored: bool) -> None:
    assert Orientation.from_exif(value) == Orientation(rotation, mirrored)


@pytest.mark.slow
def test_from_display_matrix_equals_autorotation_of_ffmpeg(tmp_path: Path) -> None:
    """Our filters work after shrinking; ffmpeg's own (`-autorotate`) on each frame. They must agree."""
    source = make_video(tmp_path / "source.mp4", seconds=0.2, size=(96, 64), audio=False)
    for rotation, mirrored in itertools.product((0, 90, 180, 270), (False, True)):
        turned = turn_video(source, tmp_path / f"{rotation}-{mirrored}.mp4", rotation, mirrored=mirrored)
        info = probe(turned, MediaLimits())
        assert (info.rotation, info.mirrored) == (rotation, mirrored)
        assert (info.width, info.height) == ((64, 96) if rotation in (90, 270) else (96, 64))
        theirs = _first_frame(["-i", str(turned)])
        ours = _first_frame(["-noautorotate", "-i", str(turned), "-vf", ",".join((*info.orientation.filters, "null"))])
        assert np.array_equal(np.frombuffer(ours, np.uint8), np.frombuffer(theirs, np.uint8)), (rotation, mirrored)


def _first_frame(arguments: list[str]) -> bytes:
    command = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        *arguments,
        "-frames:v",
        "1",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-",
    ]
    return subprocess.run(command, check=True, capture_output=True).stdout


@given(st.text(max_size=200) | st.lists(st.integers(), min_size=9, max_size=9).map(lambda cells: f"0: {cells}"))
def test_from_display_matrix_any_text_gives_orientation(text: str) -> None:
    assert Orientation.from_display_matrix(text).rotation in (0, 90, 180, 270)


def test_from_display_matrix_degenerate_is_upright() -> None:
    assert Orientation.from_display_matrix("0: 0 0 0\n1: 0 0 0\n2: 0 0 0") == UPRIGHT
    assert Orientation.from_display_matrix("N/A") == UPRIGHT


@given(st.integers(1, 40_000), st.integers(1, 40_000), st.integers(16, 4096), st.sampled_from([0, 90, 180, 270]))
def test_geometry_fits_side_and_never_enlarges(width: int, height: int, side: int, rotation: int) -> None:
    geometry = Geometry.fit(width, height, Orientation(rotation), side)
    assert 1 <= max(geometry.width, geometry.height) <= side
    assert geometry.scale >= 1
    assert abs(geometry.width * geometry.scale - width) <= geometry.scale
    assert abs(geometry.height * geometry.scale - height) <= geometry.scale
