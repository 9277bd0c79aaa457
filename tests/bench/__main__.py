"""`make bench`: figures of speed and memory, as ratios measured in one run. Names choose some of them."""

import argparse
import sys
from pathlib import Path

from ml import process

process.prepare()  # before torch is imported

from tests.bench import golden, gpu, report  # noqa: E402
from tests.bench.pipeline import Bench  # noqa: E402
from tests.bench.service import ServiceBench  # noqa: E402
from tests.bench.timing import Figure  # noqa: E402

PIPELINE = ["against_decode", "against_baseline", "stages", "faces", "memory"]
SERVICE = ["start", "ready", "load", "upload", "jobs", "images"]


def main() -> None:
    if sys.argv[1:2] == ["golden"]:
        sys.exit(golden.main(sys.argv[2:]))
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = PIPELINE + SERVICE
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; default all; or gpu, alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clips", type=Path, default=Path(".cache/bench"), help="where clips are made and kept")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="folder of bench.json and bench.png")
    parser.add_argument("--long", action="store_true", help="memory over an hour too: minutes more")
    args = parser.parse_args()
    if args.names != ["gpu"] and (unknown := set(args.names) - set(names)):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    args.clips.mkdir(parents=True, exist_ok=True)
    if args.names == ["gpu"]:
        print(report.table(gpu.figures(args.clips, args.rounds)))
        return
    benches = Bench(args.clips, args.rounds, args.long), ServiceBench(args.clips, args.rounds)
    figures, machine = list[Figure](), report.machine()
    for name in args.names or names:
        print(f"{name} …", file=sys.stderr, flush=True)
        figures += next(getattr(bench, name) for bench in benches if hasattr(bench, name))()
        report.write(args.out, figures, machine)
    print(report.table(figures))


if __name__ == "__main__":
    main()
