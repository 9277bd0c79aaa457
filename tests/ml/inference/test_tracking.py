from hypothesis import given
from hypothesis import strategies as st

from ml.inference.tracking import main_track, track_faces
from ml.results import Box


def box(x: float, y: float = 0, width: float = 50) -> Box:
    return Box(x=x, y=y, width=width, height=width)


def test_two_faces_are_two_tracks_whatever_their_order() -> None:
    frames = [[box(0), box(300)], [box(305), box(4)], [box(8), box(310)]]
    assert track_faces(frames, [0, 0.25, 0.5]) == [[1, 2], [2, 1], [1, 2]]


def test_a_short_gap_is_bridged_and_a_long_one_is_not() -> None:
    frames = [[box(0)], [], [box(5)], [], [box(5)]]
    assert track_faces(frames, [0, 1, 2, 3, 5]) == [[1], [], [1], [], [2]]


def test_a_cut_starts_a_new_track() -> None:
    assert track_faces([[box(0)], [box(400)]], [0, 0.25]) == [[1], [2]]


def test_the_larger_face_is_numbered_first() -> None:
    assert track_faces([[box(0, width=40), box(300, width=90)]], [0]) == [[2, 1]]


def test_the_main_track_is_the_largest_and_longest() -> None:
    frames = [[box(0), box(300, width=60)], [box(0)], [box(0)]]
    assert main_track(frames, [[1, 2], [1], [1]]) == 1
    assert main_track([[], []], [[], []]) is None


@given(st.lists(st.lists(st.tuples(st.integers(0, 2000), st.integers(20, 200)), max_size=5), max_size=8), st.randoms())
def test_tracks_do_not_depend_on_the_order_within_a_frame(raw: list[list[tuple[int, int]]], random: object) -> None:
    frames = [[box(x, width=width) for x, width in sorted(set(faces))] for faces in raw]
    times = [index * 0.25 for index in range(len(frames))]
    numbers = track_faces(frames, times)
    for row in numbers:
        assert len(set(row)) == len(row)
    shuffled = [list(reversed(frame)) for frame in frames]
    again = track_faces(shuffled, times)
    assert [sorted(row) for row in again] == [sorted(row) for row in numbers]
