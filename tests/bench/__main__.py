"""`make bench`: figures of speed and memory, as ratios measured in one run. Names choose some of them."""

import argparse
import os
import sys
from pathlib import Path

from ml import memory
from tests.bench.timing import ASKED_CORES, Figure

PIPELINE = ["against_decode", "against_baseline", "stages", "faces", "faces_found", "memory", "beside"]
SERVICE = ["start", "ready", "load", "upload", "jobs", "images", "worker"]


def main() -> None:
    if sys.argv[1:2] == ["golden"]:
        memory.configure_process()
        from tests.bench import golden

        sys.exit(golden.main(sys.argv[2:]))
    args = _arguments()
    if args.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    memory.configure_process()
    _run(args)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = PIPELINE + SERVICE
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; default all; or gpu, alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, help="that all of it runs on; 0: all there are. Default 2, for gpu 0")
    parser.add_argument("--clips", type=Path, default=Path(".cache/bench"), help="where clips are made and kept")
    parser.add_argument("--real", type=Path, help="a folder of films for against_decode")
    parser.add_argument("--faces", type=Path, help="a folder of pictures of one face each for faces_found")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="folder of bench.json and bench.png")
    parser.add_argument("--long", action="store_true", help="memory over an hour too: minutes more")
    parser.add_argument("--device", default="cuda", help="of gpu")
    args = parser.parse_args()
    if args.names != ["gpu"] and (unknown := set(args.names) - set(names)):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    args.names = args.names or names
    if args.cores is None:
        args.cores = 0 if args.names == ["gpu"] else ASKED_CORES
    return args


def _run(args: argparse.Namespace) -> None:
    """What it imports brings torch, which takes as many threads as there are cores at that moment."""
    from tests.bench import report
    from tests.bench.gpu import GpuBench
    from tests.bench.pipeline import Bench
    from tests.bench.service import ServiceBench

    args.clips.mkdir(parents=True, exist_ok=True)
    benches = (
        Bench(args.clips, args.rounds, args.long, args.real, args.faces),
        ServiceBench(args.clips, args.rounds, args.long),
        GpuBench(args.clips, args.rounds, args.device),
    )
    every, machine = list[Figure](), report.machine()
    for name in args.names:
        print(f"{name} …", file=sys.stderr, flush=True)
        figures = list(next(getattr(bench, name) for bench in benches if hasattr(bench, name))())
        report.write(args.out, name, figures, machine)
        every += figures
    print(report.table(every))


if __name__ == "__main__":
    main()
