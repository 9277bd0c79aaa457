"""The temperature that makes confidences true (Guo et al. 2017), and the figure that says how true they are."""

import argparse
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.errors import InvalidManifest
from ml.training.loop import HISTORY
from ml.training.metrics import fit_temperature, measure, softmax
from ml.training.recipes.recipe import HeldOut
from ml.vocabulary import EMOTIONS

FILE = "calibration.json"
NAMED = ("beside", "soup", "soup_share", "models", "whisper", "store", "served", "crops")
"""Arguments of the recipes that change what a run answers, or on what it is asked."""
FIT = 2
"""Of the way of fitting: what an older one found is not used again."""
_HALVES = 2


@dataclass(frozen=True)
class Calibration:
    """`ece_after` is cross-fitted: each half of the examples is measured with the temperature of the other half."""

    temperature: float
    n: int
    ece_before: float
    ece_after: float

    def write(self, run: Path, fitted_on: str) -> None:
        """`fitted_on`: a `fingerprint`."""
        (run / FILE).write_text(json.dumps({"fitted_on": fitted_on, **asdict(self)}, indent=2) + "\n")

    @classmethod
    def read(cls, run: Path, fitted_on: str) -> "Calibration | None":
        """Null where there is none that was fitted on the same."""
        path = run / FILE
        told = json.loads(path.read_text()) if path.exists() else {}
        return cls(**told) if told.pop("fitted_on", None) == fitted_on else None


def fingerprint(args: argparse.Namespace) -> str:
    """Of all that a temperature depends on: the run as it stands, the nets beside it, and the data."""
    named = {name: str(getattr(args, name, None)) for name in NAMED}
    digest = hashlib.sha256(json.dumps({"fit": FIT, "data": str(args.data.resolve()), **named}).encode())
    lists = [args.data] if args.data.is_file() else []
    for path in [*sorted(args.out.rglob(HISTORY)), *lists]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def calibrate(held_out: HeldOut) -> Calibration:
    """Fitted on the validation part alone. Raises InvalidManifest when there is none."""
    rows = [row for row, example in enumerate(held_out.examples) if example.split == "valid"]
    if not rows:
        raise InvalidManifest("there is no validation part to calibrate on")
    part = held_out.only(rows)
    labels = part.labels_N
    return Calibration(
        temperature=_temperature(part),
        n=len(rows),
        ece_before=_ece(softmax(part.logits_NC), labels),
        ece_after=_ece(_cross_fitted(part), labels),
    )


def _temperature(part: HeldOut) -> float:
    """Each data set counts the same, the largest is not all there is; those that lack labels only where all do: nothing
    is taken there for what is lacking."""
    labels: dict[str, list[int]] = {}
    for example in part.examples:
        labels.setdefault(example.dataset, []).append(example.index)
    known = {dataset: len(set(own)) for dataset, own in labels.items()}
    weight = {dataset: (known[dataset] == max(known.values())) / len(own) for dataset, own in labels.items()}
    weights_N = torch.tensor([weight[example.dataset] for example in part.examples])
    return fit_temperature(part.logits_NC, part.labels_N, weights_N)


def _cross_fitted(part: HeldOut) -> NDArray[np.float64]:
    half = np.random.default_rng(0).permutation(len(part.examples)) % _HALVES
    probabilities = np.zeros(part.logits_NC.shape)
    for own in range(_HALVES):
        others, rows = (np.flatnonzero(chosen).tolist() for chosen in (half != own, half == own))
        if others and rows:
            probabilities[rows] = softmax(part.logits_NC[rows], _temperature(part.only(others)))
    return probabilities


def _ece(probabilities_NC: NDArray[np.float64], labels_N: Tensor) -> float:
    return measure(probabilities_NC, labels_N.numpy(), EMOTIONS, resamples=1).ece
