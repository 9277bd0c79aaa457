"""What the pipeline costs: against a bare decode of the same video, stage by stage, face by face, and in memory."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from ml.inference.face import predictor as faces_of
from ml.inference.face.backends import mediapipe_cpu
from ml.inference.face.backends.base import mediapipe_nets
from ml.inference.face.detector import FaceDetector
from ml.inference.face.predictor import FacePredictor, FaceSample
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.runtime.background import MIN_CORES_FOR_OVERLAP
from ml.networks.face import predict_with_flip_tta
from ml.paths import MODEL_STORE
from ml.results import Result
from tests.bench import alone, baseline
from tests.bench.alone import NO_SPEECH
from tests.bench.faces_found import FacesFound
from tests.bench.media import PIECE, make_clip, make_meeting, portrait
from tests.bench.timing import Action, Figure, alternate, ratios, seconds
from tests.media_files import VIDEO_CODECS

BATCHES = (1, 4, 16, 32, 64, 128)
SHORT, LONG = (1, 10), (1, 10, 60)
"""Minutes."""
SEARCHES = 20
"""Of the picture, in a round."""
MEETING, FILM = 5, 60
"""Seconds."""
FEW_ROUNDS = 2
"""Rounds of the clips that have no floor, so that `against_decode` takes less than three minutes in all."""
SIDES = {"beside": MIN_CORES_FOR_OVERLAP, "in turn": 1}
"""Threads with which sound is heard beside the pictures, or after them."""


def decode(path: Path) -> None:
    """Pictures and sound, thrown away."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-map", "0:v", "-map", "0:a?", "-f", "null", "-"]
    subprocess.run(command, check=True)


def read_once(path: Path) -> None:
    """So that it lies in the memory of the system, whoever begins."""
    subprocess.run(["cat", str(path)], stdout=subprocess.DEVNULL, check=True)


def against_decode(
    analyzer: Analyzer, clip: Path, name: str, rounds: int, *, warm_up: bool = False, **asked: Any
) -> Iterator[Figure]:
    read_once(clip)
    sides: dict[str, Action] = {
        "pipeline": partial(analyzer.analyze, clip, NO_SPEECH),
        "decode": partial(decode, clip),
    }
    taken = alternate(sides, rounds, warm_up=warm_up)
    pipeline, bare = taken["pipeline"], taken["decode"]
    yield Figure(f"bare decode, {name}", "s", bare.seconds)
    yield Figure(f"pipeline ÷ bare decode, {name}", "×", ratios(pipeline.seconds, bare.seconds), **asked)
    yield Figure(f"the same in CPU seconds, {name}", "×", ratios(pipeline.computing, bare.computing))


def shares(analyse: Callable[[], Result], name: str, rounds: int) -> Iterator[Figure]:
    """Of each stage, in the time of the whole run: what is lacking lies between them. Where sound is heard beside the
    pictures they are more than the whole."""
    runs = list[Result]()
    taken = [seconds(lambda: runs.append(analyse())) for _ in range(rounds)]
    yield Figure(f"whole run, {name}", "s", taken)
    for stage in runs[0].timings:
        parts = [100 * run.timings[stage] / whole for run, whole in zip(runs, taken, strict=True)]
        yield Figure(f"{stage}, share of the run's time, {name}", "%", parts)


def faces_a_second(
    face: FacePredictor, rounds: int, sizes: Sequence[int] = BATCHES
) -> Iterator[tuple[int, list[float]]]:
    """By size of the batch. The predictor cuts batches for a CPU; here each is one forward."""
    crops = np.random.default_rng(0).integers(0, 256, (max(sizes), face.crop_size, face.crop_size), np.uint8)
    sides: dict[str, Action] = {
        str(size): partial(face.predict, [FaceSample(crop) for crop in crops[:size]]) for size in sizes
    }
    with patch.object(faces_of, "CPU_FACE_BATCH_SIZE", max(sizes)):
        for size, taken in alternate(sides, rounds).items():
            yield int(size), [int(size) / one for one in taken.seconds]


@torch.inference_mode()
def torch_against_graph(face: FacePredictor, rounds: int, size: int) -> Iterator[Figure]:
    """One forward of so many faces, as torch runs the net and as it is served."""
    crops = np.random.default_rng(0).integers(0, 256, (size, face.crop_size, face.crop_size), np.uint8)
    stacked = torch.from_numpy(crops).unsqueeze(1).float() / 255
    sides: dict[str, Action] = {
        "torch": partial(predict_with_flip_tta, face.network, stacked),
        "graph": partial(face.predict, [FaceSample(crop) for crop in crops]),
    }
    taken = alternate(sides, rounds)
    by_torch, as_graph = taken["torch"], taken["graph"]
    yield Figure(f"face net by torch ÷ as a graph, {size} at once", "×", ratios(by_torch.seconds, as_graph.seconds))


def detection(size: int, rounds: int) -> Iterator[Figure]:
    """Detection and mesh of the portrait, two beside each other: as served, as mediapipe makes its graphs (with a pool
    of threads each), and by their nets, as torch runs them."""
    image = np.ascontiguousarray(portrait()[..., ::-1])
    with ExitStack() as stack:
        detectors = {
            "served": [stack.enter_context(FaceDetector(size)) for _ in range(2)],
            "nets": [stack.enter_context(FaceDetector(size, mediapipe_nets(torch.device("cpu")))) for _ in range(2)],
        }
        with patch.object(mediapipe_cpu, "use_calling_thread", lambda config: None):
            detectors["pools"] = [stack.enter_context(FaceDetector(size)) for _ in range(2)]
        pool = stack.enter_context(ThreadPoolExecutor(2))

        def search(pair: list[FaceDetector]) -> None:
            list(pool.map(lambda detector: [detector.detect_batch([image], 1) for _ in range(SEARCHES)], pair))

        sides: dict[str, Action] = {name: partial(search, pair) for name, pair in detectors.items()}
        taken = {name: each.seconds for name, each in alternate(sides, rounds, warm_up=True).items()}
    each = [1000 * seconds / (2 * SEARCHES) for seconds in taken["served"]]
    yield Figure("detection and mesh of a picture, two beside each other", "ms", each)
    yield Figure("the same with pools of threads ÷ as served", "×", ratios(taken["pools"], taken["served"]))
    yield Figure("the same by nets in torch ÷ as served", "×", ratios(taken["nets"], taken["served"]))


@dataclass(frozen=True)
class Bench:
    """`folder`: where clips are made and kept. `real`: a folder of films that are measured too.
    `faces_folder`: of pictures from which those of `faces_found` are composed."""

    folder: Path
    rounds: int
    long: bool = False
    real: Path | None = None
    faces_folder: Path | None = None

    def against_decode(self) -> Iterator[Figure]:
        """Models loaded before, as in a worker; the first clip is read once before."""
        analyzer, few = Analyzer.load(MODEL_STORE, device="cpu"), min(self.rounds, FEW_ROUNDS)
        clip = make_clip(self.folder, PIECE)
        yield from against_decode(analyzer, clip, f"720p30, {PIECE} s", self.rounds, warm_up=True, floor=3.0, aim=2.0)
        clip = make_clip(self.folder, FILM)
        yield from against_decode(analyzer, clip, f"720p30, {FILM} s", few, floor=3.0, aim=2.0)
        for height in (360, 1080):
            clip = make_clip(self.folder, PIECE, height)
            yield from against_decode(analyzer, clip, f"{height}p30, {PIECE} s", few)
        clip = make_meeting(self.folder, MEETING)
        yield from against_decode(analyzer, clip, f"1080p30, {MEETING} s, 16 people", few)
        for clip in self._real_clips():
            yield from against_decode(analyzer, clip, clip.name, self.rounds)

    def _real_clips(self) -> list[Path]:
        return sorted(path for path in self.real.iterdir() if path.suffix.lower() in VIDEO_CODECS) if self.real else []

    def against_baseline(self) -> Iterator[Figure]:
        """The plain way, its models loaded for each call as it does, against the pipeline in a worker."""
        analyzer = Analyzer.load(MODEL_STORE, device="cpu")
        clip = make_clip(self.folder, PIECE)
        sides: dict[str, Action] = {
            "plain": partial(baseline.read, clip),
            "pipeline": partial(analyzer.analyze, clip, NO_SPEECH),
            "decode": partial(decode, clip),
        }
        taken = {side: each.seconds for side, each in alternate(sides, self.rounds).items()}
        yield Figure("frame by frame ÷ bare decode, 720p30, 20 s", "×", ratios(taken["plain"], taken["decode"]))
        yield Figure("frame by frame ÷ pipeline, 720p30, 20 s", "×", ratios(taken["plain"], taken["pipeline"]))

    def stages(self) -> Iterator[Figure]:
        """Speech recognised too."""
        analyse = partial(Analyzer.load(MODEL_STORE, device="cpu").analyze, make_clip(self.folder, PIECE))
        analyse()
        yield from shares(analyse, f"720p30, {PIECE} s, speech recognised", self.rounds)

    def faces(self) -> Iterator[Figure]:
        """The face net alone."""
        face = Analyzer.load(MODEL_STORE, device="cpu").models.face
        assert face is not None
        for size, rates in faces_a_second(face, self.rounds * 3):
            yield Figure(f"faces a second, batch of {size}", "1/s", rates)
        for size in (1, faces_of.CPU_FACE_BATCH_SIZE):
            yield from torch_against_graph(face, self.rounds * 3, size)
        yield from detection(face.crop_size, self.rounds * 3)

    def faces_found(self) -> Iterator[Figure]:
        """Recall by the size of faces."""
        yield from FacesFound(self.faces_folder, self.rounds).figures()

    def memory(self) -> Iterator[Figure]:
        """Most that a process holds which reads one clip, 360p; its decoder's is apart."""
        lengths = LONG if self.long else SHORT
        peaks = {minutes: alone.peaks(make_clip(self.folder, minutes * 60, 360)) for minutes in lengths}
        for minutes, peak in peaks.items():
            asked: dict[str, Any] = {"floor": 900.0, "aim": 600.0} if minutes == lengths[-1] else {}
            yield Figure(f"peak memory, {minutes} min", "MB", [peak.own], **asked)
            yield Figure(f"peak memory of the decoder, {minutes} min", "MB", [peak.decoder])
        growth = 100 * (peaks[lengths[-1]].own / peaks[lengths[0]].own - 1)
        yield Figure(f"growth of memory from {lengths[0]} to {lengths[-1]} min", "%", [growth], floor=10.0, aim=2.0)

    def beside(self) -> Iterator[Figure]:
        """Measure audio concurrent with video, as from `MIN_CORES_FOR_OVERLAP` cores on, and after it; with speech."""
        models = Analyzer.load(MODEL_STORE, device="cpu").models
        clip = make_clip(self.folder, 60)
        sides: dict[str, Action] = {
            name: partial(Analyzer(replace(models, threads=threads)).analyze, clip) for name, threads in SIDES.items()
        }
        taken = {side: each.seconds for side, each in alternate(sides, self.rounds).items()}
        name = "720p30, 60 s, speech recognised"
        yield Figure(f"sound beside the pictures ÷ in turn, {name}", "×", ratios(taken["beside"], taken["in turn"]))
        peaks = [
            {side: alone.peaks(clip, "--speech", f"--threads={threads}").own for side, threads in SIDES.items()}
            for _ in range(max(1, self.rounds // 2))
        ]
        for side in SIDES:
            yield Figure(f"peak memory, sound and pictures {side}, {name}", "MB", [each[side] for each in peaks])

    def start(self) -> Iterator[Figure]:
        """From nothing to a warm bundle, a process each time."""
        code = (
            "from ml import memory; memory.configure_process(); "
            "from ml.inference.pipeline.analyzer import Analyzer; from ml.paths import MODEL_STORE; "
            "Analyzer.load(MODEL_STORE, device='cpu').warm_up()"
        )
        load = partial(subprocess.run, [sys.executable, "-c", code], check=True)
        yield Figure("models loaded after start", "s", [seconds(load) for _ in range(self.rounds)])
