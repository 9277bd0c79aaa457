"""An hour of people who are seen and heard, preprocessed with meshes and transcripts under 2 GB of memory."""

import os
import re
import subprocess
import sys
from pathlib import Path

from ml.training.datasets.example import Example
from ml.training.datasets.manifest import write_examples
from tests.long_files import make_long

MINUTES = int(os.environ.get("SOAK_MINUTES", "60"))
PIECE = 10.0
"""Seconds of an utterance, as corpora cut their films."""
MOST_MEGABYTES = 2048


def test_an_hour_is_preprocessed_in_bounded_memory(tmp_path: Path) -> None:
    film = make_long(tmp_path / "film.mp4", MINUTES * 60.0, pause=8.0)
    starts = [place * PIECE for place in range(int(MINUTES * 60 / PIECE))]
    pieces = [Example("happy", "made", "train", path=film, start=start, end=start + PIECE) for start in starts]
    whole = Example("happy", "made", "valid", path=film)
    write_examples(tmp_path / "list.csv", [*pieces, whole])
    command = [sys.executable, "-m", "ml", "preprocess", "--manifest", str(tmp_path / "list.csv")]
    command += ["--out", str(tmp_path / "cache"), "--landmarks", "--whisper", "tiny.en", "--workers", "1"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(f"\n{MINUTES} minutes, in {len(pieces)} pieces and as a whole:\n{done.stdout}")
    told = re.search(r"by all together: at most ([\d,]+) MB", done.stdout)
    assert told and int(told[1].replace(",", "")) < MOST_MEGABYTES
    assert done.stdout.startswith(f"{len(pieces) + 1:,} examples") and "skipped" not in done.stdout
