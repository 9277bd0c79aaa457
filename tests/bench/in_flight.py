"""Several clips read at once on one device: by threads that share the models, and by processes that have their own.

`python -m tests.bench.in_flight CLIP` is such a process: it says when it is ready, and when it has read the clip."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ml import memory
from ml.paths import MODEL_STORE
from tests.bench.timing import seconds

if TYPE_CHECKING:
    from ml.inference.pipeline.analyzer import Analyzer


def by_threads(analyzer: "Analyzer", clip: Path, count: int) -> float:
    """Seconds until each of `count` threads has read the clip."""
    with ThreadPoolExecutor(count) as pool:
        return seconds(lambda: list(pool.map(analyzer.analyze, [clip] * count)))


class Readers:
    """`count` processes with models on `device`, each told `options` besides: a context manager."""

    def __init__(self, clip: Path, device: str, count: int, options: Sequence[str] = ()) -> None:
        self._command = [sys.executable, "-m", "tests.bench.in_flight", str(clip), "--device", device, *options]
        self._count = count

    def __enter__(self) -> "Readers":
        self._stack = ExitStack()
        self._processes = [self._stack.enter_context(self._started()) for _ in range(self._count)]
        self._hear()
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._processes:
            reader.kill()
        self._stack.close()

    def read(self) -> float:
        """Seconds until each has read the clip."""
        return seconds(self._read)

    def _read(self) -> None:
        for reader in self._processes:
            assert reader.stdin
            reader.stdin.write("again\n")
            reader.stdin.flush()
        self._hear()

    def _started(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _hear(self) -> None:
        for reader in self._processes:
            assert reader.stdout
            if not reader.stdout.readline():
                raise subprocess.CalledProcessError(reader.wait(), self._command)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.in_flight", description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--whisper")
    args = parser.parse_args()
    memory.configure_process()
    from ml.inference.pipeline.analyzer import Analyzer
    from ml.inference.pipeline.bundle import published
    from ml.registry import ModelStore

    bundle = published(ModelStore(MODEL_STORE), "default", args.whisper)
    analyzer = Analyzer.load(MODEL_STORE, bundle, device=args.device)
    analyzer.warm_up()
    print("ready", flush=True)
    for _ in sys.stdin:
        analyzer.analyze(args.clip)
        print("read", flush=True)


if __name__ == "__main__":
    main()
