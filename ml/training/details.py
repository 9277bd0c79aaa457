"""Commands for the models of details: movements and identity of faces, vocal bursts."""

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ml.errors import InvalidManifest
from ml.inference.face.identity import IdentityPredictor
from ml.inference.face.movements import MovementPredictor
from ml.inference.face.predictor import FaceSample
from ml.inference.pipeline.bundle import pick_device
from ml.registry import ModelStore
from ml.training.config import TrainConfig
from ml.training.cross_validation import config_of
from ml.training.loop import CHECKPOINT, HISTORY, fit
from ml.training.recipes.bursts.config import BurstTrainConfig
from ml.training.recipes.bursts.recipe import cross_validate
from ml.training.recipes.identity.data import read_identity_faces
from ml.training.recipes.identity.figures import pair_figures
from ml.training.recipes.movements.config import MovementTrainConfig
from ml.training.recipes.movements.data import MESH_FILE, read_meshes
from ml.training.recipes.movements.figures import difference_figures
from ml.training.recipes.movements.recipe import load_data, predict
from ml.training.recipes.recipe import Detail, find_detail

TIMED_FACES = 64
"""Number of faces by which the time that one takes is measured."""


def train_detail(detail: Detail, config: TrainConfig) -> None:
    """Train, or resume the run in `--out`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for plan in find_detail(detail).plans(config):
        fit(plan.settings, plan.task, config.out / plan.folder, plan.extra)


def publish_detail(detail: Detail, config: TrainConfig, bundle: str | None) -> None:
    """Measure the run, write the next version into the store, and name it in `bundle`, which keeps all else."""
    if not all((config.out / name).exists() for name in (HISTORY, CHECKPOINT)):
        raise InvalidManifest(f"{config.out} holds no run with a finished epoch: train first")
    store = ModelStore(config.store)
    base = store.bundle(bundle) if bundle else None
    reference = find_detail(detail).publish(config)
    if base:
        store.write_bundle(base.model_copy(update={detail: reference}))
    print(reference)


def movement_figures(data: Path, teacher: Path | None, cache: Path, store: Path, bundle: str) -> dict[str, Any]:
    """Return how far the served movements are from the teacher's on faces not trained on, of a face and its mirror
    image from each other, and the milliseconds that a face takes.

    `data`: folder of collected faces, or its manifest; of a cache with meshes only those are read. Raises
    InvalidManifest.
    """
    if teacher is None:
        raise InvalidManifest("movements are compared with those of a --teacher")
    reference = ModelStore(store).bundle(bundle).movements
    if reference is None:
        raise InvalidManifest(f"the bundle {bundle} names no model of movements")
    folder = data.parent if data.is_file() else data
    predictor = MovementPredictor.load(ModelStore(store), reference, pick_device("cpu"))
    has_cache = (cache / MESH_FILE).exists()
    config = MovementTrainConfig(data=folder, teacher=teacher, cache=cache, store=store, cached=has_cache)
    views, _, _ = load_data(config)
    held_out = views.select(np.array([face.split != "train" for face in views.faces]))
    answers = predict(predictor.network, held_out)
    faces = list(dict.fromkeys(held_out.faces))[:TIMED_FACES]
    meshes = read_meshes(faces, folder, cache)
    samples = [FaceSample(crop, mesh) for crop, mesh in zip(meshes.crops, meshes.served, strict=True)]
    start = time.perf_counter()
    for sample in samples:
        predictor.read([sample])
    spent = (time.perf_counter() - start) / max(len(samples), 1)
    mirrored = predictor.mirrored_difference(samples)
    return {
        "model": reference,
        "milliseconds": round(spent * 1000, 2),
        "mirror_difference": mirrored,
        "data": difference_figures(*answers, held_out),
    }


def identity_figures(data: Path, cache: Path, store: Path, bundle: str) -> dict[str, Any]:
    """Return how well the served identities distinguish held-out people, and the milliseconds that a face takes.

    `data`: folder of collected faces, or its manifest. Raises InvalidManifest.
    """
    reference = ModelStore(store).bundle(bundle).identity
    if reference is None:
        raise InvalidManifest(f"the bundle {bundle} names no model of identity")
    predictor = IdentityPredictor.load(ModelStore(store), reference, pick_device("cpu"))
    faces = read_identity_faces(data.parent if data.is_file() else data, cache).of_split(held_out=True)
    start = time.process_time()
    vectors = predictor.embed_at([*faces.crops], [*faces.anchors])
    spent = (time.process_time() - start) / max(len(faces.crops), 1)
    return {"model": reference, "milliseconds": round(spent * 1000, 2), **pair_figures(vectors, faces.people)}


def burst_folds(data: Path, out: Path, cache: Path, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Return the figures of the bursts in folds by speaker; the runs and their `folds.json` are in `out`.

    `data`: folder of collected sounds, or its `bursts.csv`. `changes`: command line words of the recipe. Raises
    InvalidManifest.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    folder = data.parent if data.is_file() else data
    words = ["--data", str(folder), "--cache", str(cache), "--out", str(out), *changes]
    return cross_validate(config_of(BurstTrainConfig, words))


def write_figures(figures: dict[str, Any], table: str, path: str | None) -> None:
    """Print a table, or the JSON document with `-`; write it to a file with another path."""
    document = json.dumps(figures, indent=2)
    print(document if path == "-" else table)
    if path not in (None, "-"):
        Path(str(path)).write_text(document + "\n")
