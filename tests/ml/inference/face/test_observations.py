import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ml.inference.api import EmotionOutputs
from ml.inference.face.detector import DetectedFace, FaceDetector, SearchResult
from ml.inference.face.observations import MAX_PENDING_BATCHES, FaceCollector, FaceObservations
from ml.inference.face.predictor import FaceSample
from ml.inference.fusion.predictor import FusionPredictor
from ml.inference.fusion.timeline import image_timeline
from ml.networks.face_identity import IDENTITY_SIZE
from ml.results import Options
from tests.cluster import until


class Finder:
    """Finds as many faces as the first pixel of an image tells."""

    def __init__(self, batch_size: int = 1) -> None:
        self.batch_size = batch_size
        self.searched: list[int] = []

    def detect_batch(
        self, images: Sequence[NDArray[np.uint8]], max_faces: int, turn: int = 0
    ) -> list[list[DetectedFace]]:
        self.searched.append(len(images))
        return [self._detect(image_HWC) for image_HWC in images]

    def search(self, image_HWC: NDArray[np.uint8], max_faces: int, levels: int | None = None) -> SearchResult:
        return SearchResult(self.detect_batch([image_HWC], max_faces)[0])

    def follow(self, image_HWC: NDArray[np.uint8], known: Sequence[DetectedFace]) -> list[DetectedFace | None]:
        return [None] * len(known)

    def _detect(self, image_HWC: NDArray[np.uint8]) -> list[DetectedFace]:
        count = int(image_HWC[0, 0, 0])
        crops = [np.full((4, 4), 10 * count + rank, np.uint8) for rank in range(count)]
        return [DetectedFace((1.0, 2.0, 3.0, 4.0), 0.9, None, crop, rank) for rank, crop in enumerate(crops)]


class Reader:
    """Answers with the first pixel of each crop, when it is let."""

    embedding_size, batch_size = 1, 3

    def __init__(self) -> None:
        self.read: list[int] = []
        self.open = threading.Event()
        self.open.set()

    def predict(self, samples: Sequence[FaceSample]) -> EmotionOutputs:
        assert self.open.wait(30)
        self.read.append(len(samples))
        pixels = np.array([[sample.crop[0, 0]] for sample in samples], np.float32).reshape(-1, 1)
        return EmotionOutputs(pixels, np.zeros((len(samples), 7), np.float32))


def watch(watcher: FaceCollector, counts: Sequence[int]) -> FaceObservations:
    for number, count in enumerate(counts):
        watcher.add(float(number), np.full((2, 2, 3), count, np.uint8), 2.0)
    return watcher.result()


def watcher(reader: Reader, beside: ThreadPoolExecutor | None = None, finder: Finder | None = None) -> FaceCollector:
    return FaceCollector(cast(FaceDetector, finder or Finder()), reader, 9, False, beside)


def test_face_collector_searches_frames_in_batches_of_the_detector() -> None:
    counts, finder, reader = [1, 0, 1, 2, 0, 5, 0, 1], Finder(batch_size=3), Reader()
    together = watch(watcher(reader, finder=finder), counts)
    assert (finder.searched, reader.read) == ([1, 2, 3, 2], [9, 1]), "the first is searched thoroughly"
    alone = watch(watcher(Reader()), counts)
    assert all(np.array_equal(getattr(together, name), getattr(alone, name)) for name in ("starts_G", "embeddings_NE"))


@pytest.mark.parametrize("threaded", [False, True])
def test_face_collector_keeps_faces_with_their_frames(threaded: bool) -> None:
    reader = Reader()
    with ThreadPoolExecutor(1) as pool:
        sight = watch(watcher(reader, pool if threaded else None), [1, 0, 1, 2, 0, 5, 0, 1])
    assert reader.read == [4, 5, 1], "as soon as there are three, and what is left"
    assert sight.starts_G.tolist() == [0, 1, 1, 2, 4, 4, 9, 9, 10]
    assert sight.embeddings_NE.flatten().tolist() == [10, 10, 20, 21, 50, 51, 52, 53, 54, 10]
    assert sight.times_F.tolist() == list(range(8)) and sight.box(0).width == 6.0


class Namer:
    """Answers with the first pixel of each crop as an identity."""

    def embed(self, samples: Sequence[FaceSample]) -> NDArray[np.float32]:
        vectors = np.zeros((len(samples), IDENTITY_SIZE), np.float32)
        vectors[:, 0] = [sample.crop[0, 0] for sample in samples]
        return vectors


def watch_people(counts: Sequence[int], start: float = 0.0, chunk: int | None = None) -> FaceObservations:
    """Return observations of four frames a second. `chunk`: number of frames after which a chunk ends."""
    collector = watcher(Reader())
    collector.identity = Namer()
    for number, count in enumerate(counts):
        if chunk and number and number % chunk == 0:
            collector.end_chunk()
        collector.add(start + number / 4, np.full((2, 2, 3), count, np.uint8), 2.0)
    return collector.result()


def identified_times(faces: FaceObservations) -> list[float]:
    assert faces.is_identified_N is not None
    times = np.repeat(faces.times_F, np.diff(faces.starts_G))[faces.is_identified_N]
    return sorted(set(times.tolist()))


def test_face_collector_identifies_faces_once_a_second_and_when_there_is_one_more() -> None:
    assert identified_times(watch_people([1] * 10)) == [0, 1, 2]
    faces = watch_people([1, 1, 2, 2, 1, 1, 1, 3])
    assert identified_times(faces) == [0, 0.5, 1, 1.75]
    assert faces.identities_IE is not None
    assert faces.identities_IE[:, 0].tolist() == [10, 20, 21, 10, 30, 31, 32]


def test_face_collector_parts_identify_the_same_faces_as_the_whole() -> None:
    counts = [1, 2, 2, 1, 3, 3, 1, 2, 2, 2]
    whole = watch_people(counts, chunk=4)
    parts = FaceObservations.concatenated(
        [watch_people(counts[first : first + 4], first / 4) for first in range(0, len(counts), 4)]
    )
    for name in ("is_identified_N", "identities_IE", "signatures_FS"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))


def test_subsample_keeps_the_identities_of_the_faces_that_stay() -> None:
    faces = watch_people([2, 2, 2, 2, 3, 3]).subsample(4, 4, 1, landmarks=False)
    assert faces.identities_IE is not None and faces.signatures_FS is not None
    assert faces.identities_IE[:, 0].tolist() == [20, 30]
    assert len(faces.signatures_FS) == 2


def test_face_collector_bounds_the_pending_batches() -> None:
    reader = Reader()
    reader.open.clear()
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as searching:
        seen = watcher(reader, pool)
        ended = searching.submit(watch, seen, [3] * (MAX_PENDING_BATCHES + 5))
        until(
            lambda: len(seen._parts) == MAX_PENDING_BATCHES and len(seen._unread) == 0, 30, "a full queue", every=0.05
        )
        assert not ended.done()
        reader.open.set()
        assert len(ended.result(timeout=30).scores_N) == 3 * (MAX_PENDING_BATCHES + 5)


def test_face_collector_raises_errors_of_the_network() -> None:
    class Broken(Reader):
        def predict(self, samples: Sequence[FaceSample]) -> EmotionOutputs:
            raise MemoryError

    with ThreadPoolExecutor(1) as pool, pytest.raises(MemoryError):
        watch(watcher(Broken(), pool), [3, 3])


def test_image_timeline_keeps_every_digit_of_a_mesh_and_null_for_none() -> None:
    mesh = np.random.default_rng(0).normal(200, 90, (468, 3)).astype(np.float32)
    sight = FaceObservations(
        times_F=np.zeros(1),
        starts_G=np.array([0, 2]),
        boxes_N4=np.ones((2, 4)),
        scores_N=np.ones(2, np.float32),
        ranks_N=np.arange(2, dtype=np.uint8),
        embeddings_NE=np.zeros((2, 1), np.float32),
        log_probabilities_NC=np.zeros((2, 7), np.float32),
        landmarks_NP3=np.stack([mesh, np.full_like(mesh, np.nan)]),
    )
    timeline = image_timeline(sight, FusionPredictor.addition(torch.device("cpu")), Options(landmarks=True))
    seen, unseen = (track.frames[0].landmarks for track in timeline.faces)
    assert seen is not None and [list(point) for point in seen.points()] == mesh.tolist() and unseen is None
