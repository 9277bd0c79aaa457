import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.inference.face.boxes import FoundBox, Rectangle, containment, distinct_boxes, iou, is_same_face

RECTANGLES = st.tuples(st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 99), st.integers(1, 99))


def test_is_same_face_of_a_box_inside_a_larger_one() -> None:
    """The near detector frames a face half as wide again as the far one."""
    inner, outer = (20.0, 30.0, 40.0, 40.0), (10.0, 10.0, 70.0, 70.0)
    assert iou(inner, outer) < 0.4 and containment(inner, outer) == 1 and is_same_face(inner, outer)


def test_is_same_face_not_of_neighbours() -> None:
    assert not is_same_face((0, 0, 50, 50), (40, 10, 50, 50))


def test_distinct_boxes_keeps_the_best_of_each_face_largest_first() -> None:
    sure, inside, other = (
        FoundBox(box, score, is_sure=True)
        for box, score in (((0.0, 0, 60, 60), 0.7), ((10.0, 10, 40, 40), 0.9), ((200.0, 0, 50, 50), 0.6))
    )
    assert distinct_boxes([sure, inside, other], 8) == [other, inside]
    assert distinct_boxes([sure, inside, other], 45) == [sure, other]


@given(RECTANGLES, RECTANGLES)
def test_containment_is_symmetric_and_not_below_iou(a: Rectangle, b: Rectangle) -> None:
    assert containment(a, b) == pytest.approx(containment(b, a))
    assert 0 <= iou(a, b) <= containment(a, b) + 1e-12 <= 1 + 2e-12


@given(st.lists(st.tuples(RECTANGLES, st.floats(0.3, 1)), max_size=12))
def test_distinct_boxes_overlap_no_more(found: list[tuple[Rectangle, float]]) -> None:
    kept = distinct_boxes([FoundBox(box, score, is_sure=True) for box, score in found], 1)
    pairs = [(a.box, b.box) for n, a in enumerate(kept) for b in kept[n + 1 :]]
    assert not any(is_same_face(*pair) for pair in pairs) and bool(kept) == bool(found)
