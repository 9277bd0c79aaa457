"""`python -m ml train|calibrate|publish|rollback|evaluate`: from data to a served model, and how good it is."""

import argparse
import json
import logging
import os
import shlex
import sys
from pathlib import Path
from typing import get_args

from ml.errors import InvalidManifest
from ml.paths import MODEL_STORE
from ml.registry import Bundle, ModelStore
from ml.training import evaluation
from ml.training.calibration import Calibration, calibrate, fingerprint
from ml.training.cross_validation import FILE as FOLDS_FILE
from ml.training.cross_validation import evaluate_folds
from ml.training.datasets.example import Split
from ml.training.loop import CHECKPOINT, HISTORY, fit
from ml.training.plots import write_confusion, write_reliability
from ml.training.recipes import recipe
from ml.training.recipes.recipe import SUBJECTS, OutOfFold, Recipe

SPLITS: tuple[Split, ...] = get_args(Split)


def parser(verb: str) -> argparse.ArgumentParser:
    """Of one verb; what a recipe needs is told by `python -m ml VERB SUBJECT --help`."""
    parser = argparse.ArgumentParser(prog=f"python -m ml {verb}", description=__doc__)
    if verb == "rollback":
        parser.add_argument("bundle", help="goes back to what it named before it was last written")
        parser.add_argument("--store", type=Path, default=MODEL_STORE)
        parser.set_defaults(run=rollback)
        return parser
    if verb == "evaluate":
        return _evaluate_parser(parser)
    subjects = parser.add_subparsers(required=True)
    for subject in SUBJECTS:
        command = subjects.add_parser(subject)
        recipe.find(subject).add_arguments(command)
        if verb == "publish" and subject != "fusion":
            told = "write this bundle anew, with the model in it (its fusion is then the addition of log-odds)"
            command.add_argument("--bundle", help=told)
            told = "folds.json of `evaluate --folds`: the temperature comes from it, and figures of the card"
            command.add_argument("--folds", type=Path, metavar="FILE", help=told)
            command.add_argument("--base", default="default", help="the bundle that gives the other models")
        command.set_defaults(run={"train": train, "calibrate": fit_calibration, "publish": publish}[verb])
        command.set_defaults(subject=subject)
    return parser


def _evaluate_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("subject", choices=SUBJECTS)
    measured = parser.add_mutually_exclusive_group(required=True)
    measured.add_argument("--manifest", type=Path, help="a CSV with path,label (text: text,label)")
    told = "fusion: clips composed of collected data, as `train fusion --data` takes it"
    measured.add_argument("--composed", type=Path, metavar="DATA", help=told)
    told = "only these rows of the manifest; by default all"
    parser.add_argument("--split", nargs="+", choices=SPLITS, default=[], help=told)
    parser.add_argument("--crops", action="store_true", help="face: the pictures are face crops already")
    parser.add_argument("--bundle", default=os.environ.get("AFFECT_BUNDLE", "default"))
    parser.add_argument("--ablate", action="store_true", help="fusion: also each modality alone, and taken away")
    told = "train and measure as many unpublished nets of the same recipe, split by the speakers of the manifest"
    parser.add_argument("--folds", type=int, metavar="K", help=told)
    parser.add_argument("--out", type=Path, help="folds: folder of their runs, to be gone on with")
    told = "folds: change the recipe (epochs=2 'sets=goemotions meld' served=)"
    parser.add_argument("--set", nargs="*", default=[], metavar="WORD", help=told)
    parser.add_argument("--json", metavar="PATH", help="write the figures (- is standard output)")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="write confusion.png and reliability.png")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="composed: what its pieces were read as")
    parser.add_argument("--store", type=Path, default=MODEL_STORE)
    parser.set_defaults(run=evaluate)
    return parser


def evaluate(args: argparse.Namespace) -> None:
    """Figures of the served model, or of K nets like it, on a manifest; of a fusion also on composed clips."""
    report = _report(args)
    document = json.dumps(report.json(), indent=2)
    print(document if args.json == "-" else evaluation.readable(report))
    if args.json not in (None, "-"):
        Path(args.json).write_text(document + "\n")
    if args.plots:
        write_confusion(report.whole, args.plots / "confusion.png")
        write_reliability(report.whole, args.plots / "reliability.png")


def _report(args: argparse.Namespace) -> evaluation.Report:
    subjects = evaluation.Subjects(args.store, args.bundle)
    if args.composed and args.subject != "fusion":
        raise InvalidManifest("--composed measures the fusion alone")
    if args.composed:
        return evaluation.evaluate_composed(args.composed, subjects, args.cache)
    if args.folds:
        return _folds(args)
    return evaluation.evaluate(
        args.subject, args.manifest, subjects, crops=args.crops, ablate=args.ablate, splits=args.split
    )


def _folds(args: argparse.Namespace) -> evaluation.Report:
    if args.folds < 2:
        raise InvalidManifest("at least two folds are needed")
    store = ModelStore(args.store)
    reference = store.bundle(args.bundle).models().get(args.subject)
    if reference is None or args.subject == "fusion":
        raise InvalidManifest(f"the bundle {args.bundle} names no {args.subject} model with a recipe for folds")
    out = args.out or Path("runs") / f"folds-{reference.replace('@', '-')}"
    words = ["--store", str(args.store), *(["--crops"] if args.crops else [])]
    for name, _, value in (pair.partition("=") for pair in args.set):
        words += [f"--{name}", *shlex.split(value)]
    found = evaluate_folds(args.subject, store.manifest(reference), args.manifest, args.folds, out, words)
    print(f"temperature over all folds {found.temperature:.3f}; {out / FOLDS_FILE}", file=sys.stderr)
    return found.report


def train(args: argparse.Namespace) -> None:
    """Trains, or goes on where the run in `--out` was stopped."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for plan in recipe.find(args.subject).plans(args):
        fit(plan.settings, plan.task, args.out / plan.folder, plan.extra)


def fit_calibration(args: argparse.Namespace) -> None:
    """The temperature of a run, fitted on its validation part; `publish` uses it."""
    _check_run(args.out)
    found = _calibrated(recipe.find(args.subject), args)
    print(f"temperature {found.temperature:.3f} over {found.n:,} examples: ECE {found.ece_before:.4f}", end="")
    print(f" → {found.ece_after:.4f} (each half with the temperature of the other)")


def _check_run(out: Path) -> None:
    runs = [path.parent for path in out.rglob(HISTORY)]
    if not runs or not all((run / CHECKPOINT).exists() for run in runs):
        raise InvalidManifest(f"{out} holds no run with a finished epoch: train first")


def _calibrated(chosen: Recipe, args: argparse.Namespace) -> Calibration:
    found = calibrate(chosen.held_out(args, ["valid"]))
    found.write(args.out, fingerprint(args))
    return found


def _temperature(chosen: Recipe, args: argparse.Namespace) -> float:
    """Of the folds that are named, else of the run's calibration, fitted now where it is of something else."""
    folds = OutOfFold.of(args)
    return (folds or Calibration.read(args.out, fingerprint(args)) or _calibrated(chosen, args)).temperature


def publish(args: argparse.Namespace) -> None:
    """Measures the run and writes the next version into the store, and a bundle that names it."""
    _check_run(args.out)
    bundled = args.subject != "fusion" and args.bundle
    if bundled:
        _bundle(args, args.name)  # a wrong name is told before anything is written
    chosen = recipe.find(args.subject)
    reference = chosen.publish(args, _temperature(chosen, args))
    if bundled:
        ModelStore(args.store).write_bundle(_bundle(args, reference))
    print(reference)


def _bundle(args: argparse.Namespace, reference: str) -> Bundle:
    return ModelStore(args.store).bundle(args.base).replacing(args.bundle, args.subject, reference)


def rollback(args: argparse.Namespace) -> None:
    """A worker takes the bundle up between jobs."""
    print(ModelStore(args.store).rollback(args.bundle).model_dump_json(indent=2))
