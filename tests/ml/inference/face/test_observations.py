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
