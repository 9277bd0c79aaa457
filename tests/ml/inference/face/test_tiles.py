import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.inference.face.tiles import MAX_LEVELS, SEARCH_SIDE, tiles, whole_picture


@given(st.integers(1, 3840), st.integers(1, 3840), st.integers(0, MAX_LEVELS))
def test_tiles_cover_the_picture_in_bounded_number(width: int, height: int, levels: int) -> None:
    parts = tiles(width, height, levels)
    assert len(parts) <= 110
    assert all(0 <= part.left <= width - part.width and 0 <= part.top <= height - part.height for part in parts)
    lost = max(width, height) / SEARCH_SIDE  # rows and columns that halving leaves out
    for side in {part.width for part in parts}:
        level = [part for part in parts if part.width == side]
        assert max(part.left + part.width for part in level) >= width - lost
        assert max(part.top + part.height for part in level) >= height - lost


@pytest.mark.parametrize(
    ("size", "numbers"),
    [((1920, 1080), (8, 36)), ((1280, 720), (8, 8)), ((640, 360), (2, 2)), ((320, 240), (0, 0)), ((3840, 50), (0, 0))],
)
def test_tiles_number_by_size_and_levels(size: tuple[int, int], numbers: tuple[int, int]) -> None:
    assert tuple(len(tiles(*size, levels)) for levels in (1, 2)) == numbers


@pytest.mark.parametrize("size", [(1920, 1080), (563, 480), (5, 3), (385, 1), (3840, 2161)])
def test_tile_cut_is_shrunk_and_boxes_lead_back(size: tuple[int, int]) -> None:
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    image = np.stack([x, y, x], axis=-1).astype(np.uint8)
    whole = whole_picture(image)
    cut = whole.cut(image)
    assert max(cut.shape[:2]) < 2 * SEARCH_SIDE or max(size) < 2 * SEARCH_SIDE
    assert whole.to_image((0.25, 0.5, 0.5, 0.25)) == pytest.approx(
        (width / 4, height / 2, width / 2, height / 4), rel=0.02, abs=1
    )
    if min(size) > 100:
        row, column = cut.shape[0] // 2, cut.shape[1] // 4
        left, top, _, _ = whole.to_image((column / cut.shape[1], row / cut.shape[0], 0, 0))
        assert cut[row, column, 0] == pytest.approx(float(x[0, int(left)]), abs=3)
        assert cut[row, column, 1] == pytest.approx(float(y[int(top), 0]), abs=3)


@pytest.mark.parametrize("side", [400, 700])
def test_smooth_tiles_have_no_detail_and_small_spots_have(side: int) -> None:
    wall = np.linspace(60, 160, side).astype(np.uint8)[None, :, None].repeat(side, 0).repeat(3, 2)
    noisy = wall + np.random.default_rng(0).integers(0, 6, (side, side, 1), np.uint8)
    spotted = noisy.copy()
    spotted[200:212, 150:162] -= 40
    assert [whole_picture(image).has_detail(image) for image in (wall, noisy, spotted)] == [False, False, True]
