"""`python -m tests.bench gpu`: what one GPU makes of a long clip. Says so where there is none."""

import math
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ml.cpu import cpu_count
from ml.inference.face.backends.base import mediapipe_nets
from ml.inference.face.detector import FaceDetector
from ml.inference.face.predictor import FacePredictor, FaceSample
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.bundle import LoadedBundle, published
from ml.inference.speech.whisper_files import find_whisper
from ml.media import Decoder, DecodeRequest, MediaLimits, probe
from ml.paths import MODEL_STORE
from ml.registry import ModelStore
from ml.results import Options
from tests.bench.in_flight import Readers, by_threads
from tests.bench.media import make_clip
from tests.bench.pipeline import BATCHES, faces_a_second, read_once
from tests.bench.timing import Figure, alternate, seconds

WHISPER = "small"
"""Where it has been fetched (`python -m ml fetch whisper small`); else that of the bundle, which figures name."""
MODELS = ("face net", "audio", "transcribe", "text")
"""Of the stages, those that the models take; decoding, detection and mesh use the CPU."""
MINUTE = 60
IN_FLIGHT = (2, 4)
"""Clips at once."""


@dataclass(frozen=True)
class GpuBench:
    """`device` may be a CPU. `seconds`, `height`: of the clip; `sizes`: of batches of faces;
    `in_flight`: how many clips at once."""

    folder: Path
    rounds: int
    device: str = "cuda"
    seconds: int = 600
    height: int = 720
    sizes: Sequence[int] = BATCHES
    in_flight: Sequence[int] = IN_FLIGHT

    def gpu(self) -> Iterator[Figure]:
        """Times faster than the clip lasts, as served and of the models alone; seconds of each stage, one after the
        other; faces a second."""
        models = self._models()
        assert models.face and models.whisper
        clip = make_clip(self.folder, self.seconds, self.height)
        read_once(clip)
        served, in_turn = Analyzer(models), Analyzer(replace(models, threads=1))
        served.warm_up()
        served.analyze(clip)
        taken: list[float] = []
        stages: dict[str, list[float]] = defaultdict(list)
        for _ in range(self.rounds):
            taken.append(seconds(lambda: served.analyze(clip)))
            timings = in_turn.analyze(clip).timings
            for stage, each in (timings | seen(clip, models.face)).items():
                stages[stage].append(each)
        del stages["faces"]  # `seen` has its parts
        name = f"{self.height}p30, {self.seconds} s, Whisper {models.whisper.name}, {cpu_count()} cores"
        yield self._figure(f"real-time factor, {name}", "×", [self.seconds / each for each in taken], aim=300.0)
        alone = [sum(each) for each in zip(*(stages[stage] for stage in MODELS), strict=True)]
        yield self._figure(
            f"real-time factor of the models alone, {name}", "×", [self.seconds / each for each in alone]
        )
        for stage, spent in stages.items():
            yield self._figure(f"{stage}, {name}", "s", spent)
        for count in self.in_flight:
            yield from self._at_once(served, clip, count, name)
        for size, rates in faces_a_second(models.face, self.rounds * 3, self.sizes):
            yield self._figure(f"faces a second, batch of {size}", "1/s", rates)

    def _at_once(self, analyzer: Analyzer, clip: Path, count: int, name: str) -> Iterator[Figure]:
        """Of `count` clips at once, by threads and by processes."""
        whisper = analyzer.models.whisper
        assert whisper
        with Readers(clip, self.device, count, ["--whisper", whisper.name]) as readers:
            taken = alternate(
                {"threads": lambda: by_threads(analyzer, clip, count), "processes": readers.read}, self.rounds
            )
        for way, each in taken.items():
            factors = [count * self.seconds / spent for spent in each.seconds]
            yield self._figure(f"real-time factor, {count} at once by {way}, {name}", "×", factors)

    def _models(self) -> LoadedBundle:
        if self.device == "cuda" and not torch.cuda.is_available():
            sys.exit("There is no CUDA device here: nothing was measured.")
        whisper = WHISPER if find_whisper(WHISPER, MODEL_STORE) else None
        bundle = published(ModelStore(MODEL_STORE), "default", whisper)
        return Analyzer.load(MODEL_STORE, bundle, device=self.device).models

    def _figure(self, name: str, unit: str, values: list[float], aim: float | None = None) -> Figure:
        return Figure(f"{self.device}: {name}", unit, values, aim=aim, rising=aim is not None)


def seen(clip: Path, face: FacePredictor) -> dict[str, float]:
    """Seconds in which the pictures of a clip are decoded, searched and read: a minute of them after the other, so that
    none is done beside another."""
    limits, options, info = MediaLimits(), Options(), probe(clip, MediaLimits())
    assert info.duration
    spent: dict[str, float] = defaultdict(float)
    with (
        tempfile.TemporaryDirectory() as scratch,
        FaceDetector(face.crop_size) as detector,
        FaceDetector(face.crop_size, mediapipe_nets(face.device)) as on_device,
    ):
        for minute in range(math.ceil(info.duration / MINUTE)):
            for name, bounds in {
                "pictures decoded by the GPU": replace(limits, video_decoder="cuda"),
                "pictures decoded": limits,
            }.items():
                decoder = Decoder(
                    clip,
                    info,
                    DecodeRequest(
                        options.frame_rate,
                        audio=False,
                        start=float(minute * MINUTE),
                        end=float((minute + 1) * MINUTE),
                        validate=False,
                    ),
                    limits=bounds,
                    scratch=Path(scratch),
                )
                with timed(spent, name), decoder:
                    images = [frame.image for frame in decoder.frames()]
            with timed(spent, "detection and mesh"):
                faces = [found for image in images for found in detector.detect_batch([image], options.max_faces)[0]]
            with timed(spent, "detection and mesh by the same nets on the device"):
                for first in range(0, len(images), on_device.batch_size):
                    on_device.detect_batch(images[first : first + on_device.batch_size], options.max_faces)
            with timed(spent, "face net"):
                face.predict([FaceSample(each.crop, each.landmarks) for each in faces])
    return spent


@contextmanager
def timed(spent: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    spent[name] += time.perf_counter() - began
