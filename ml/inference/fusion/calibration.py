"""Calibration of a fusion: the priors of its models, the prior of ordinary talk, and what held-out clips support.

It is the part `calibration` of the preprocessing in a fusion's manifest. A fusion without it (published before, or the
plain addition) reads its models as they answer, knows one prior only, and gives no sets of labels.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml.inference.api import FloatArray
from ml.registry import Manifest
from ml.results import FrozenModel, Prior, Probabilities, Probability
from ml.vocabulary import EMOTIONS, Modality

ReadingKind = Literal["picture", "face", "audio", "text", "combined"]
"""Subject of a reading: a face in one picture or frame, a modality of a window, or all modalities of a window."""
KEY = "calibration"


class ModelCalibration(FrozenModel):
    """Prior that a model answers under, and temperature of its log-probabilities without it."""

    temperature: float = Field(1.0, gt=0)
    prior: Probabilities | None = None


class PriorCalibration(FrozenModel, extra="ignore"):
    """Figures that held-out clips support under one prior. Those of earlier fusions that are read no more are ignored.

    `label_sums`: sum of probabilities at which `labels_90` is complete, by kind of reading. `sharpening`: log-odds that
    the combined reading may gain over the most certain modality, by how many modalities put its emotion first.
    """

    label_sums: dict[ReadingKind, Probability] = Field({})
    sharpening: tuple[float, ...] = ()


class FusionCalibration(FrozenModel):
    """Calibration of a fusion, as its manifest has it."""

    models: dict[Modality, ModelCalibration] = Field({})
    natural_prior: Probabilities | None = None
    priors: dict[Prior, PriorCalibration] = Field({})

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Return the calibration of a published fusion; an empty one if it has none."""
        return cls.model_validate(manifest.preprocessing.get(KEY, {}))

    def under(self, prior: Prior) -> PriorCalibration:
        return self.priors.get(prior, PriorCalibration())

    def log_prior(self, prior: Prior) -> FloatArray:
        """Return the log-odds of a prior against the uniform one: [C]; zeros if the fusion does not know it."""
        if prior == "uniform" or self.natural_prior is None:
            return np.zeros(len(EMOTIONS), np.float32)
        return np.log(_in_order(self.natural_prior) * len(EMOTIONS)).astype(np.float32)

    def prior_of(self, modality: Modality) -> NDArray[np.float64]:
        """Return the prior that a model answers under: [C]; uniform if it is unknown."""
        model = self.models.get(modality)
        if model is None or model.prior is None:
            return np.full(len(EMOTIONS), 1 / len(EMOTIONS))
        return _in_order(model.prior)

    def evidence(self, modality: Modality, log_probabilities: FloatArray) -> FloatArray:
        """Return calibrated log-probabilities [..., C] under a uniform prior, from those that the model answers."""
        model = self.models.get(modality)
        if model is None:
            return normalized(log_probabilities)
        prior = 0.0 if model.prior is None else np.log(_in_order(model.prior))
        return normalized((log_probabilities - prior) / model.temperature)


def normalized(log_values: NDArray[np.floating]) -> FloatArray:
    """Return log-probabilities that sum to 1: [..., C]."""
    top = log_values.max(axis=-1, keepdims=True)
    return np.asarray(log_values - top - np.log(np.exp(log_values - top).sum(-1, keepdims=True)), np.float32)


def by_emotion(values: Sequence[float] | NDArray[np.floating]) -> Probabilities:
    """Return values [C] by the names of the emotions, rounded for a manifest."""
    return {name: round(float(value), 5) for name, value in zip(EMOTIONS, values, strict=True)}


def _in_order(probabilities: Mapping[str, float]) -> NDArray[np.float64]:
    return np.array([probabilities[name] for name in EMOTIONS])
