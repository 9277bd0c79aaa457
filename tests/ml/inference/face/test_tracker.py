from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.inference.face.tracker import main_track, track_faces
from ml.results import Box


def box(x: float, y: float = 0, width: float = 50) -> Box:
    return Box(x=x, y=y, width=width, height=width)


def test_track_faces_two_faces_in_any_order_are_two_tracks() -> None:
    frames = [[box(0), box(300)], [box(305), box(4)], [box(8), box(310)]]
    assert track_faces(frames, [0, 0.25, 0.5]) == [[1, 2], [2, 1], [1, 2]]


def test_track_faces_bridges_a_short_gap_only() -> None:
    frames = [[box(0)], [], [box(5)], [], [box(5)]]
    assert track_faces(frames, [0, 1, 2, 3, 5]) == [[1], [], [1], [], [2]]


def test_track_faces_after_a_cut_starts_a_new_track() -> None:
    assert track_faces([[box(0)], [box(400)]], [0, 0.25]) == [[1], [2]]


def test_track_faces_end_where_a_shot_does() -> None:
    assert track_faces([[box(0)]] * 4, [0, 0.25, 0.5, 0.75], [0.5]) == [[1], [1], [2], [2]]


def test_track_faces_numbers_the_larger_face_first() -> None:
    assert track_faces([[box(0, width=40), box(300, width=90)]], [0]) == [[2, 1]]


def test_main_track_is_the_largest_and_longest() -> None:
    frames = [[box(0), box(300, width=60)], [box(0)], [box(0)]]
    assert main_track(frames, [[1, 2], [1], [1]], [[1.0, 1.0], [1.0], [1.0]]) == 1
    assert main_track([[], []], [[], []], [[], []]) is None


def test_main_track_prefers_the_face_that_the_detector_is_sure_of() -> None:
    frames = [[box(0, width=60), box(300, width=55)]] * 3
    assert main_track(frames, [[1, 2]] * 3, [[0.9, 0.9]] * 3) == 1
    assert main_track(frames, [[1, 2]] * 3, [[0.4, 0.9]] * 3) == 2


@given(st.lists(st.lists(st.tuples(st.integers(0, 2000), st.integers(20, 200)), max_size=5), max_size=8), st.randoms())
def test_track_faces_does_not_depend_on_the_order_within_a_frame(
    raw: list[list[tuple[int, int]]], random: object
) -> None:
    frames = [[box(x, width=width) for x, width in sorted(set(faces))] for faces in raw]
    times = [index * 0.25 for index in range(len(frames))]
    numbers = track_faces(frames, times)
    for row in numbers:
        assert len(set(row)) == len(row)
    shuffled = [list(reversed(frame)) for frame in frames]
    again = track_faces(shuffled, times)
    assert [sorted(row) for row in again] == [sorted(row) for row in numbers]


@pytest.mark.parametrize("speed", [30, 80, 160])
@pytest.mark.parametrize("hidden", [False, True])
def test_track_faces_two_people_who_cross_keep_their_tracks(speed: int, hidden: bool) -> None:
    """`hidden`: while they overlap, the one behind is not seen."""
    frames, times = [], [0.25 * index for index in range(int(1200 / speed / 0.25))]
    for time in times:
        right, left = box(speed * time), box(1000 - speed * time, width=52)
        frames.append([right] if hidden and abs(right.x - left.x) < 25 else [left, right])
    numbers = track_faces(frames, times)
    assert numbers[-1] == numbers[0] == [1, 2]
    assert {number for row in numbers for number in row} == {1, 2}


def test_track_faces_face_that_stops_or_turns_back_keeps_its_track() -> None:
    places = [0, 20, 40, 60, 60, 60, 40, 20, 0]
    assert track_faces([[box(x)] for x in places], [0.25 * index for index in range(len(places))]) == [[1]] * len(
        places
    )


def test_track_faces_does_not_mix_up_neighbours() -> None:
    left, right = box(0), box(70)
    frames = [[left, right], [left], [right], [right, left], [], [left], [right, left]]
    assert track_faces(frames, [0.25 * index for index in range(7)]) == [[1, 2], [1], [2], [2, 1], [], [1], [2, 1]]


faces_in_frames = st.lists(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400), st.integers(1, 200)), max_size=5, unique=True),
    max_size=8,
)


@given(faces_in_frames, st.randoms(use_true_random=False))
def test_track_faces_gives_every_face_one_track(raw: list[list[tuple[int, int, int]]], random: Random) -> None:
    frames = [[box(*face) for face in faces] for faces in raw]
    times = [index * 0.25 for index in range(len(frames))]
    numbers = track_faces(frames, times)
    assert [len(row) for row in numbers] == [len(frame) for frame in frames]
    assert all(len(set(row)) == len(row) for row in numbers)
    seen = [number for row in numbers for number in sorted(row)]
    assert list(dict.fromkeys(seen)) == list(range(1, len(set(seen)) + 1))
    orders = [random.sample(range(len(frame)), len(frame)) for frame in frames]
    mixed = [[frame[index] for index in order] for frame, order in zip(frames, orders, strict=True)]
    assert track_faces(mixed, times) == [
        [row[index] for index in order] for row, order in zip(numbers, orders, strict=True)
    ]
