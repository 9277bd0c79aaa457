from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from ml.inference.face.shots import SIGNATURE_SIZE, begins_shot, shot_starts, signature

Picture = NDArray[np.uint8]


def scene(number: int, colour: bool = True) -> Picture:
    """Return a picture with a few large shapes; each number has its own."""
    chooser = np.random.default_rng(number)
    picture = np.full((180, 320, 3), chooser.integers(40, 200, 3), np.uint8)
    for _ in range(9):
        x, y = (int(chooser.integers(0, side)) for side in (320, 180))
        shade = tuple(map(int, chooser.integers(0, 255, 3)))
        cv2.ellipse(picture, (x, y), tuple(map(int, chooser.integers(20, 90, 2))), 0, 0, 360, shade, -1)
    if colour:
        return picture
    return np.asarray(cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def starts(pictures: Sequence[Picture]) -> list[float]:
    times = [number / 4 for number in range(len(pictures))]
    return shot_starts(times, np.stack([signature(picture) for picture in pictures]))


def moved(picture: Picture, right: int) -> Picture:
    matrix = np.array([[1, 0, right], [0, 1, 0]], np.float64)
    return np.asarray(cv2.warpAffine(picture, matrix, (320, 180), borderMode=cv2.BORDER_REFLECT), np.uint8)


def faded(picture: Picture, share: float) -> Picture:
    return np.asarray(picture * share, np.uint8)


@pytest.mark.parametrize("colour", [True, False])
def test_shot_starts_are_the_first_frames_of_other_scenes(colour: bool) -> None:
    pictures = [scene(number, colour) for number in (1, 1, 1, 2, 2, 3, 3, 3, 1)]
    assert starts(pictures) == [0.75, 1.25, 2.0]


def test_shot_starts_a_camera_that_moves_or_zooms_is_no_cut() -> None:
    wide = cv2.resize(scene(4), (640, 360))
    panned = [np.asarray(wide[90:270, 12 * step : 12 * step + 320], np.uint8) for step in range(12)]
    zoomed = [cv2.resize(scene(4)[s : 180 - s, 2 * s : 320 - 2 * s], (320, 180)) for s in range(0, 24, 3)]
    assert starts(panned) == []
    assert starts([np.asarray(each, np.uint8) for each in zoomed]) == []


def test_shot_starts_a_person_who_moves_is_no_cut() -> None:
    pictures = []
    for step in range(10):
        picture = scene(5).copy()
        cv2.circle(picture, (80 + 15 * step, 90), 45, (220, 180, 150), -1)
        pictures.append(picture)
    assert starts(pictures) == []


def test_shot_starts_a_flash_is_no_cut() -> None:
    flash = np.full((180, 320, 3), 250, np.uint8)
    bright = np.clip(scene(6).astype(int) + 120, 0, 255).astype(np.uint8)
    assert starts([scene(6), scene(6), flash, scene(6), bright, scene(6)]) == []


def test_shot_starts_a_foreign_frame_between_equal_ones_is_no_cut() -> None:
    assert starts([scene(6), scene(6), scene(7), scene(6), scene(6)]) == []


def test_shot_starts_a_fade_into_the_same_scene_is_no_cut_and_one_into_another_is() -> None:
    out = [faded(scene(8), share) for share in (1, 0.7, 0.4, 0.1, 0)]
    same = [faded(scene(8), share) for share in (0.1, 0.4, 0.7, 1)]
    other = [faded(scene(9), share) for share in (0.1, 0.4, 0.7, 1)]
    assert starts([*out, *same]) == []
    assert len(starts([*out, *other])) == 1


def test_shot_starts_a_long_black_stretch_ends_a_shot() -> None:
    black = [np.zeros((180, 320, 3), np.uint8)] * 12
    assert starts([scene(1), *black, scene(1)]) == [3.25]


def test_begins_shot_compares_two_frames() -> None:
    assert begins_shot(signature(scene(1)), signature(scene(2)))
    assert not begins_shot(signature(scene(1)), signature(moved(scene(1), 10)))


@given(arrays.arrays(np.uint8, st.tuples(st.integers(0, 12), st.just(SIGNATURE_SIZE))))
def test_shot_starts_of_any_signatures_are_times_of_later_frames(signatures: NDArray[np.uint8]) -> None:
    times = [number / 4 for number in range(len(signatures))]
    found = shot_starts(times, signatures)
    assert found == sorted(set(found))
    assert set(found) <= set(times[1:])
