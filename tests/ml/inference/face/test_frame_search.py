"""The order of searches: which frames of a film are searched thoroughly, what is followed, and what a cut ends."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml.inference.face.boxes import Rectangle
from ml.inference.face.detector import DetectedFace, FaceDetector, SearchResult
from ml.inference.face.frame_search import FrameSearch, SearchKind

Image = NDArray[np.uint8]
CROP = np.zeros((4, 4), np.uint8)
LARGE, SMALL = 100, 20
"""Sides of faces: those that a frame shows as a whole, and those that only a thorough search finds."""


def frame(grey: int, *sides: int) -> Image:
    """A frame of a grey whose first pixels tell the sides of its faces."""
    image = np.full((90, 160, 3), grey, np.uint8)
    image[0, 0, 0] = len(sides)
    image[0, 1 : len(sides) + 1, 0] = sides
    return image


def face(number: int, side: int, turn: int = 0) -> DetectedFace:
    mesh = np.zeros((468, 3), np.float32)
    x = 200.0 * number
    mesh[0, :2], mesh[1, :2] = (x, 0), (x + side, side)
    return DetectedFace((x, 0, side, side), 0.9, mesh, CROP, turn=turn)


@dataclass
class Detector:
    """Finds the faces that a frame tells, and notes what it was asked."""

    turn: int = 0
    batch_size: int = 4
    missed: tuple[Rectangle, ...] = ((0.0, 0.0, 9.0, 9.0),)
    thorough: list[tuple[int, int | None]] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)
    turns: set[int] = field(default_factory=set)
    followed: int = 0

    def _faces(self, image: Image, max_faces: int, least: int) -> list[DetectedFace]:
        sides = image[0, 1 : int(image[0, 0, 0]) + 1, 0].tolist()
        return [face(number, side, self.turn) for number, side in enumerate(sides) if side >= least][:max_faces]

    def detect_batch(self, images: Sequence[Image], max_faces: int, turn: int = 0) -> list[list[DetectedFace]]:
        self.whole.append(len(images))
        self.turns.add(turn)
        return [self._faces(image, max_faces, LARGE) for image in images]

    def search(self, image: Image, max_faces: int, levels: int | None = None) -> SearchResult:
        self.thorough.append((int(image[1, 0, 0]), levels))
        faces = self._faces(image, max_faces, 1)
        return SearchResult(faces, self.missed, len(faces) - len(self._faces(image, max_faces, LARGE)))

    def follow(self, image: Image, known: Sequence[DetectedFace]) -> list[DetectedFace | None]:
        self.followed += len(known)
        sides = image[0, 1 : int(image[0, 0, 0]) + 1, 0].tolist()
        return [each if int(each.box[2]) in sides else None for each in known]


def search(detector: Detector, kind: SearchKind = "film", max_faces: int = 8) -> FrameSearch:
    return FrameSearch(cast(FaceDetector, detector), max_faces, kind)


def sides(results: Sequence[SearchResult]) -> list[list[float]]:
    return [[each.box[2] for each in result.faces] for result in results]


def test_find_searches_a_film_thoroughly_every_four_seconds() -> None:
    detector = Detector()
    times = [number * 0.5 for number in range(50)]
    search(detector).find([frame(int(4 * time), LARGE) for time in times], times)
    assert detector.thorough == [(0, 2), (16, 1), (32, 1), (48, 1), (64, 1), (80, 2), (96, 1)]
    assert sum(detector.whole) == len(times) - len(detector.thorough)


def test_find_waits_longer_after_thorough_searches_that_add_nothing() -> None:
    detector = Detector(missed=())
    times = [number * 0.5 for number in range(120)]
    sides_at = [(LARGE, SMALL) if time >= 40 else (LARGE,) for time in times]
    search(detector).find([frame(int(4 * time), *of) for time, of in zip(times, sides_at, strict=True)], times)
    assert detector.thorough == [(0, 2), (32, 1), (96, 2), (160, 2), (176, 1), (192, 1), (208, 1), (224, 1)]


def test_find_follows_small_faces_between_thorough_searches() -> None:
    detector = Detector()
    results = search(detector).find([frame(50, LARGE, SMALL)] * 4, [0.0, 0.25, 0.5, 0.75])
    assert sides(results) == [[LARGE, SMALL]] * 4 and detector.followed == 3
    assert [each.rank for each in results[2].faces] == [0, 1]
    assert [len(result.missed) for result in results] == [1, 0, 0, 0]


def test_find_looks_for_a_lost_face_for_a_second() -> None:
    frames = [frame(50, SMALL), frame(50), frame(50, SMALL), *[frame(50)] * 6, frame(50, SMALL)]
    results = search(Detector()).find(frames, [0.25 * number for number in range(10)])
    assert [bool(result.faces) for result in results] == [True, False, True, *[False] * 7]


def test_find_forgets_faces_at_a_cut_and_searches_thoroughly() -> None:
    detector = Detector()
    times = [0.0, 0.5, 1.0, 1.5]
    results = search(detector).find([frame(50, SMALL), frame(50, SMALL), frame(90), frame(90)], times)
    assert detector.thorough == [(50, 2), (90, 1)] and detector.followed == 1
    assert sides(results) == [[SMALL], [SMALL], [], []]


def test_find_bounds_the_thorough_searches_of_a_film_of_cuts() -> None:
    detector = Detector()
    times = [0.25 * number for number in range(16)]
    search(detector).find([frame(40 + 100 * (number % 2)) for number in range(16)], times)
    assert len(detector.thorough) == 4


def test_find_searches_a_photo_thoroughly_and_a_stream_never() -> None:
    photo, stream = Detector(), Detector()
    search(photo, "photo").find([frame(50, SMALL)], [0.0])
    live = search(stream, "live")
    for number in range(40):
        live.find([frame(40 + 100 * (number % 2), LARGE)], [0.25 * number])
    assert photo.thorough == [(50, None)] and stream.thorough == []


def test_find_looks_the_way_round_that_the_faces_of_the_film_have() -> None:
    detector = Detector(turn=2)
    search(detector).find([frame(50, LARGE)] * 3, [0.0, 0.25, 0.5])
    assert detector.turns == {2}


def test_find_keeps_the_largest_faces() -> None:
    results = search(Detector(), max_faces=2).find([frame(50, LARGE, 120, SMALL)] * 2, [0.0, 0.25])
    assert sides(results) == [[120, LARGE]] * 2 or sides(results) == [[LARGE, 120]] * 2


SCENES = st.lists(st.tuples(st.sampled_from([40, 140]), st.lists(st.sampled_from([LARGE, SMALL, 30]), max_size=3)))


@given(SCENES, st.lists(st.integers(1, 5), min_size=1))
def test_find_does_not_depend_on_how_frames_are_batched(
    scenes: list[tuple[int, list[int]]], batches: list[int]
) -> None:
    frames = [frame(grey, *dict.fromkeys(of_frame)) for grey, of_frame in scenes]
    times = [0.25 * number for number in range(len(frames))]
    together = search(Detector()).find(frames, times)
    alone, first, results = search(Detector()), 0, list[SearchResult]()
    while first < len(frames):
        size = batches[len(results) % len(batches)]
        results += alone.find(frames[first : first + size], times[first : first + size])
        first += size
    assert sides(results) == sides(together)


def test_restart_makes_the_next_frame_the_first() -> None:
    detector = Detector()
    film = search(detector)
    film.find([frame(50, SMALL)], [59.75])
    film.restart()
    assert sides(film.find([frame(50), frame(50, SMALL)], [60.0, 60.25])) == [[], []]
    assert detector.thorough == [(50, 2), (50, 2)] and detector.followed == 0
