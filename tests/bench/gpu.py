"""`python -m tests.bench gpu`: what one GPU makes of a long clip. Says so where there is none."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ml.inference.pipeline import Analyser
from ml.places import MODEL_STORE
from tests.bench.media import make_clip
from tests.bench.pipeline import BATCHES
from tests.bench.timing import Figure, alternate, seconds

CLIP_SECONDS = 600


def figures(folder: Path, rounds: int) -> list[Figure]:
    """Faces a second, times faster than the clip lasts, and seconds of each stage: decode and detection use the CPU."""
    if not torch.cuda.is_available():
        sys.exit("There is no CUDA device here: nothing was measured.")
    analyser = Analyser.load(MODEL_STORE, device="cuda")
    analyser.warm_up()
    clip = make_clip(folder, CLIP_SECONDS)
    timings: list[dict[str, float]] = []
    taken = [seconds(lambda: timings.append(analyser.analyse(clip).timings)) for _ in range(rounds)]
    found = [
        Figure.of("real-time factor, 720p30, 10 min, speech recognised", "×", [CLIP_SECONDS / one for one in taken])
    ]
    found += [Figure.of(f"seconds of {stage}", "s", [run[stage] for run in timings]) for stage in timings[0]]
    face = analyser.models.face
    assert face is not None
    crops = np.random.default_rng(0).integers(0, 256, (max(BATCHES), face.crop_size, face.crop_size), np.uint8)
    sides = {str(size): partial(face.predict, list(crops[:size])) for size in BATCHES}
    for size, each in alternate(sides, rounds * 3).items():
        found.append(Figure.of(f"faces a second, batch of {size}", "1/s", [int(size) / one for one in each]))
    return found
