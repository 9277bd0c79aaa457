"""`python -m tests.bench.alone CLIP`: reads a clip in a process of its own, and tells how much memory that took."""

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from ml import memory
from ml.paths import MODEL_STORE
from ml.results import Options
from tests.bench.processes import peak_memory, watched

NO_SPEECH = Options(modalities=("face", "audio"))
"""Whisper off."""


@dataclass(frozen=True)
class Peaks:
    """Megabytes."""

    own: float
    decoder: float


def peaks(clip: Path, *options: str) -> Peaks:
    """Of a process that reads `clip`, and of the largest decoder that it starts."""
    command = [sys.executable, "-m", "tests.bench.alone", *options, str(clip)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as reader, watched(reader.pid) as seen:
        out, _ = reader.communicate()
    if reader.returncode:
        raise subprocess.CalledProcessError(reader.returncode, command)
    return Peaks(float(out), seen.decoder)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.alone", description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--speech", action="store_true", help="recognise it too")
    parser.add_argument("--threads", type=int, help="as if the models had so many: decides what is read beside what")
    args = parser.parse_args()
    memory.configure_process()
    from ml.inference.pipeline.analyzer import Analyzer

    models = Analyzer.load(MODEL_STORE, device="cpu").models
    if args.threads:
        models = replace(models, threads=args.threads)
    Analyzer(models).analyze(args.clip, None if args.speech else NO_SPEECH)
    print(peak_memory(os.getpid()))


if __name__ == "__main__":
    main()
