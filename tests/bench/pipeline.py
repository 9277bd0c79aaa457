"""What the pipeline costs: against a bare decode of the same video, stage by stage, face by face, and in memory."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ml import process
from ml.inference.pipeline import Analyser
from ml.places import MODEL_STORE
from ml.results import Options
from tests.bench import baseline
from tests.bench.media import make_clip
from tests.bench.timing import Figure, alternate, computing, ratios, seconds

NO_SPEECH = Options(modalities=("face", "audio"))
"""Whisper off."""
BATCHES = (1, 4, 16, 32, 64, 128)
SHORT, LONG = (1, 10), (1, 10, 60)
"""Minutes."""


def decode(path: Path) -> None:
    """Pictures and sound, thrown away."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", path, "-map", "0:v", "-map", "0:a", "-f", "null", "-"]
    subprocess.run(command, check=True)


@dataclass(frozen=True)
class Bench:
    """`folder`: where clips are made and kept."""

    folder: Path
    rounds: int
    long: bool = False

    def against_decode(self) -> Iterator[Figure]:
        """Models loaded before, as in a worker."""
        analyser = Analyser.load(MODEL_STORE, device="cpu")
        for length, height, asked in (
            (20, 360, {}),
            (20, 720, {"floor": 6.0, "aim": 3.0}),
            (20, 1080, {}),
            (600, 720, {"floor": 4.0, "aim": 2.5}),
        ):
            clip = make_clip(self.folder, length, height)
            sides = {
                "pipeline": partial(analyser.analyse, clip, NO_SPEECH),
                "decode": partial(decode, clip),
            }
            taken = alternate(sides, self.rounds if length == 20 else 1, warm_up=length == 20)
            name = f"{height}p30, {length} s"
            yield Figure.of(f"bare decode, {name}", "s", taken["decode"])
            yield Figure.of(f"pipeline ÷ bare decode, {name}", "×", ratios(taken["pipeline"], taken["decode"]), **asked)
            if length == 20:
                used = {side: computing(action) for side, action in sides.items()}
                yield Figure.of(f"the same in CPU seconds, {name}", "×", [used["pipeline"] / used["decode"]])

    def against_baseline(self) -> Iterator[Figure]:
        """The plain way, its models loaded for each call as it does, against the pipeline in a worker."""
        analyser = Analyser.load(MODEL_STORE, device="cpu")
        clip = make_clip(self.folder, 20)
        sides = {
            "plain": partial(baseline.read, clip),
            "pipeline": partial(analyser.analyse, clip, NO_SPEECH),
            "decode": partial(decode, clip),
        }
        taken = alternate(sides, self.rounds)
        yield Figure.of("frame by frame ÷ bare decode, 720p30, 20 s", "×", ratios(taken["plain"], taken["decode"]))
        yield Figure.of("frame by frame ÷ pipeline, 720p30, 20 s", "×", ratios(taken["plain"], taken["pipeline"]))

    def stages(self) -> Iterator[Figure]:
        """Shares of each stage, speech recognised too."""
        analyser = Analyser.load(MODEL_STORE, device="cpu")
        clip = make_clip(self.folder, 20)
        analyser.analyse(clip)
        runs = [analyser.analyse(clip).timings for _ in range(self.rounds)]
        for stage in runs[0]:
            shares = [100 * run[stage] / sum(run.values()) for run in runs]
            yield Figure.of(f"share of {stage}, 720p30, 20 s", "%", shares)

    def faces(self) -> Iterator[Figure]:
        """The face net alone."""
        face = Analyser.load(MODEL_STORE, device="cpu").models.face
        assert face is not None
        crops = np.random.default_rng(0).integers(0, 256, (max(BATCHES), face.crop_size, face.crop_size), np.uint8)
        sides = {str(size): partial(face.predict, list(crops[:size])) for size in BATCHES}
        for size, taken in alternate(sides, self.rounds * 3).items():
            yield Figure.of(f"faces a second, batch of {size}", "1/s", [int(size) / one for one in taken])

    def memory(self) -> Iterator[Figure]:
        """The largest resident set of a process that reads one clip, 360p; its decoder's is apart."""
        lengths = LONG if self.long else SHORT
        peaks = {minutes: _peaks(make_clip(self.folder, minutes * 60, 360)) for minutes in lengths}
        for minutes, (own, child) in peaks.items():
            asked = {"floor": 900.0, "aim": 600.0} if minutes == lengths[-1] else {}
            yield Figure.of(f"peak memory, {minutes} min", "MB", [own], **asked)
            yield Figure.of(f"peak memory of the decoder, {minutes} min", "MB", [child])
        growth = 100 * (peaks[lengths[-1]][0] / peaks[lengths[0]][0] - 1)
        yield Figure.of(f"growth of memory from {lengths[0]} to {lengths[-1]} min", "%", [growth], floor=10.0, aim=2.0)

    def start(self) -> Iterator[Figure]:
        """From nothing to a warm bundle, a process each time."""
        code = (
            "from ml import process; process.prepare(); "
            "from ml.inference.pipeline import Analyser; from ml.places import MODEL_STORE; "
            "Analyser.load(MODEL_STORE, device='cpu').warm_up()"
        )
        load = partial(subprocess.run, [sys.executable, "-c", code], check=True)
        yield Figure.of("models loaded after start", "s", [seconds(load) for _ in range(self.rounds)])


def _peaks(clip: Path) -> tuple[float, float]:
    """Megabytes of the reading process and of its largest child."""
    out = subprocess.run([sys.executable, "-m", "tests.bench.pipeline", clip], check=True, capture_output=True)
    own, child = out.stdout.split()
    return float(own), float(child)


def _report_peaks(clip: Path) -> None:
    """Of this process, after reading a clip with speech off."""
    process.prepare()
    Analyser.load(MODEL_STORE, device="cpu").analyse(clip, NO_SPEECH)
    used = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(*used)


if __name__ == "__main__":
    _report_peaks(Path(sys.argv[1]))
