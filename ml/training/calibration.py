"""Temperature scaling (Guo et al. 2017): the temperature of a run, and the calibration error before and after."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.errors import InvalidManifest
from ml.training.config import TrainConfig
from ml.training.loop import HISTORY
from ml.training.metrics import fit_temperature, measure, softmax
from ml.training.recipes.recipe import HeldOut
from ml.vocabulary import EMOTIONS

FILE = "calibration.json"
FINGERPRINT_FIELDS = {
    "beside": "ensemble_with",
    "soup": "soup_with",
    "soup_share": "soup_share",
    "models": "models",
    "whisper": "whisper",
    "store": "store",
    "served": "served",
    "crops": "crops",
}
"""Fields that change the outputs of a run or its inputs, by their keys in the fingerprint of a saved calibration."""
FIT_VERSION = 2
"""Version of the fitting method; temperatures of another version are fitted again."""
_HALVES = 2


@dataclass(frozen=True)
class Calibration:
    """Temperature of a run.

    `ece_after` is cross-fitted: each half of the examples is measured with the temperature of the other half.
    """

    temperature: float
    n: int
    ece_before: float
    ece_after: float

    def write(self, run: Path, fitted_on: str) -> None:
        """Write it into the run's folder. `fitted_on`: a `fingerprint`."""
        (run / FILE).write_text(json.dumps({"fitted_on": fitted_on, **asdict(self)}, indent=2) + "\n")

    @classmethod
    def read(cls, run: Path, fitted_on: str) -> "Calibration | None":
        """Return the saved calibration, or None if it has another fingerprint."""
        path = run / FILE
        document = json.loads(path.read_text()) if path.exists() else {}
        return cls(**document) if document.pop("fitted_on", None) == fitted_on else None


def fingerprint(config: TrainConfig) -> str:
    """Return a digest of everything that a temperature depends on: run, combined models and data."""
    fields = {key: _text(getattr(config, name, None)) for key, name in FINGERPRINT_FIELDS.items()}
    digest = hashlib.sha256(json.dumps({"fit": FIT_VERSION, "data": str(config.data.resolve()), **fields}).encode())
    lists = [config.data] if config.data.is_file() else []
    for path in [*sorted(config.out.rglob(HISTORY)), *lists]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _text(value: Any) -> str:
    """Return a value as text; tuples read as lists, as saved fingerprints have them."""
    return str(list(value) if isinstance(value, tuple) else value)


def calibrate(held_out: HeldOut) -> Calibration:
    """Fit the temperature on the validation part alone. Raises InvalidManifest without one."""
    rows = [row for row, example in enumerate(held_out.examples) if example.split == "valid"]
    if not rows:
        raise InvalidManifest("there is no validation part to calibrate on")
    part = held_out.select(rows)
    labels = part.labels_N
    return Calibration(
        temperature=_temperature(part),
        n=len(rows),
        ece_before=_ece(softmax(part.logits_NC), labels),
        ece_after=_ece(_cross_fitted(part), labels),
    )


def _temperature(part: HeldOut) -> float:
    """Fit the temperature with the same weight for each data set, so that the largest does not dominate.

    Data sets that lack labels count only if all of them do: they are no evidence on confidence in the missing labels.
    """
    labels: dict[str, list[int]] = {}
    for example in part.examples:
        labels.setdefault(example.dataset, []).append(example.index)
    known = {dataset: len(set(own)) for dataset, own in labels.items()}
    weight = {dataset: (known[dataset] == max(known.values())) / len(own) for dataset, own in labels.items()}
    weights_N = torch.tensor([weight[example.dataset] for example in part.examples])
    return fit_temperature(part.logits_NC, part.labels_N, weights_N)


def _cross_fitted(part: HeldOut) -> NDArray[np.float64]:
    """Return probabilities in which each half has the temperature of the other."""
    half = np.random.default_rng(0).permutation(len(part.examples)) % _HALVES
    probabilities = np.zeros(part.logits_NC.shape)
    for own in range(_HALVES):
        others, rows = (np.flatnonzero(chosen).tolist() for chosen in (half != own, half == own))
        if others and rows:
            probabilities[rows] = softmax(part.logits_NC[rows], _temperature(part.select(others)))
    return probabilities


def _ece(probabilities_NC: NDArray[np.float64], labels_N: Tensor) -> float:
    return measure(probabilities_NC, labels_N.numpy(), EMOTIONS, resamples=1).ece
