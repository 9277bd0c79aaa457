"""`python -m ml train|calibrate|publish|rollback`: from data to a served model."""

import argparse
import logging
from pathlib import Path

from ml.artifacts import ModelStore
from ml.errors import InvalidManifest
from ml.training.calibration import Calibration, calibrate
from ml.training.loop import CHECKPOINT, fit
from ml.training.recipes import recipe
from ml.training.recipes.recipe import SUBJECTS, Recipe


def parser(verb: str) -> argparse.ArgumentParser:
    """Of one verb; what a recipe needs is told by `python -m ml VERB SUBJECT --help`."""
    parser = argparse.ArgumentParser(prog=f"python -m ml {verb}", description=__doc__)
    if verb == "rollback":
        from ml.__main__ import STORE

        parser.add_argument("bundle", help="goes back to what it named before it was last written")
        parser.add_argument("--store", type=Path, default=STORE)
        parser.set_defaults(run=rollback)
        return parser
    subjects = parser.add_subparsers(required=True)
    for subject in SUBJECTS:
        command = subjects.add_parser(subject)
        recipe.find(subject).add_arguments(command)
        if verb == "publish" and subject != "fusion":
            told = "write this bundle anew, with the model in it (its fusion is then the addition of log-odds)"
            command.add_argument("--bundle", help=told)
            command.add_argument("--base", default="default", help="the bundle that gives the other models")
        command.set_defaults(run={"train": train, "calibrate": fit_calibration, "publish": publish}[verb])
        command.set_defaults(subject=subject)
    return parser


def train(args: argparse.Namespace) -> None:
    """Trains, or goes on where the run in `--out` was stopped."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for plan in recipe.find(args.subject).plans(args):
        fit(plan.settings, plan.task, args.out / plan.folder, plan.extra)


def fit_calibration(args: argparse.Namespace) -> None:
    """The temperature of a run, fitted on its validation part; `publish` uses it."""
    found = _calibrated(recipe.find(args.subject), args)
    print(f"temperature {found.temperature:.3f} over {found.n:,} examples: ECE {found.ece_before:.4f}", end="")
    print(f" → {found.ece_after:.4f} (each half with the temperature of the other)")


def _calibrated(chosen: Recipe, args: argparse.Namespace) -> Calibration:
    if not args.out.is_dir() or not list(args.out.rglob(CHECKPOINT)):
        raise InvalidManifest(f"{args.out} holds no run: train first")
    found = calibrate(chosen.held_out(args))
    found.write(args.out)
    return found


def publish(args: argparse.Namespace) -> None:
    """Measures the run and writes the next version into the store, and a bundle that names it."""
    chosen = recipe.find(args.subject)
    calibration = Calibration.read(args.out) or _calibrated(chosen, args)
    reference = chosen.publish(args, calibration.temperature)
    if args.subject != "fusion" and args.bundle:
        store = ModelStore(args.store)
        bundle = store.bundle(args.base).model_copy(update={"name": args.bundle, "fusion": None})
        store.write_bundle(bundle.with_model(args.subject, reference))
    print(reference)


def rollback(args: argparse.Namespace) -> None:
    """A worker takes the bundle up between jobs."""
    print(ModelStore(args.store).rollback(args.bundle).model_dump_json(indent=2))
