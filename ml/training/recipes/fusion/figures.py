"""Figures of a fusion on the rows of its table: how often it is right, how sure it is, and who supports it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from ml.inference.fusion import rules
from ml.inference.fusion.calibration import FusionCalibration, ReadingKind
from ml.inference.fusion.label_sets import fit_threshold
from ml.inference.fusion.predictor import FusionPredictor, WindowReadings
from ml.results import Prior
from ml.training.metrics import RESAMPLES, ClassificationMetrics, measure
from ml.training.recipes.fusion.clip_data import EvaluationSide, LabelledLogs
from ml.training.recipes.fusion.fitting import fit_model, single_probabilities
from ml.training.recipes.fusion.synthetic_clips import Clips
from ml.training.set_figures import SetFigures
from ml.vocabulary import EMOTIONS, MODALITIES, Modality

NATURAL_SUFFIX = ", natural"


@dataclass(frozen=True)
class RowFigures:
    """Figures of one row of clips.

    `sets`: of `labels_90`, null without thresholds. `first_in_none`: share of clips whose emotion no modality puts
    first.
    """

    metrics: ClassificationMetrics
    first_in_none: float
    sets: SetFigures | None = None

    def json(self) -> dict[str, Any]:
        sets = {"labels_90": self.sets.json()} if self.sets else {}
        return {**self.metrics.json(), "first_in_no_modality": self.first_in_none, **sets}


def measure_row(predictor: FusionPredictor, clips: Clips, prior: Prior, resamples: int = RESAMPLES) -> RowFigures:
    """Return the figures of the combined reading of clips under a prior."""
    readings = predictor.read_arrays(clips.windows, prior)
    probabilities_NC = np.exp(readings.combined_NC)
    _, agreeing_N = rules.surest(readings.combined_NC, readings.modalities_NMC, readings.mask_NM)
    metrics = measure(probabilities_NC, clips.labels_N, EMOTIONS, resamples=resamples)
    first_in_none = float((agreeing_N == 0).mean())
    thresholds_N = _thresholds(predictor, prior, readings)
    sets = None if thresholds_N is None else SetFigures.of(probabilities_NC, clips.labels_N, thresholds_N)
    return RowFigures(metrics, first_in_none, sets)


def _thresholds(predictor: FusionPredictor, prior: Prior, readings: WindowReadings) -> NDArray[np.float64] | None:
    """Return the threshold of each combined reading as served: with one modality, that of the modality."""
    combined = predictor.threshold("combined", prior)
    alone = [predictor.threshold(modality, prior) for modality in MODALITIES]
    if combined is None:
        return None
    own_M = np.array([combined if threshold is None else threshold for threshold in alone])
    is_alone_N = readings.mask_NM.sum(1) == 1
    return np.where(is_alone_N, own_M[readings.mask_NM.argmax(1)], combined)


def measure_rows(predictor: FusionPredictor, side: EvaluationSide, resamples: int = RESAMPLES) -> dict[str, RowFigures]:
    """Return the figures of all rows of a side, those under the natural prior by names that say so."""
    return {
        name + (NATURAL_SUFFIX if prior == "natural" else ""): measure_row(predictor, clips, prior, resamples)
        for prior, rows in side.rows.items()
        for name, clips in rows.items()
    }


def measure_single(
    predictor: FusionPredictor, kind: ReadingKind, readings: LabelledLogs, prior: Prior, resamples: int = RESAMPLES
) -> RowFigures:
    """Return the figures of readings of one modality under a prior, as often as it gives their label.

    Those with parts of the people are calibrated for each part by the other parts.
    """
    calibration, count = predictor.calibration, len(readings.labels_N)
    probabilities_NC, weights_N = single_probabilities(calibration, prior, kind, readings)
    threshold: float | NDArray[np.float64] | None = predictor.threshold(kind, prior)
    if readings.folds_N is not None:
        threshold = np.zeros(count)
        for fold in np.unique(readings.folds_N):
            own = readings.folds_N == fold
            probabilities_NC[own], threshold[own] = _left_out(calibration, prior, kind, readings, own)
    drawn = np.searchsorted(np.cumsum(weights_N) / weights_N.sum(), (np.arange(count) + 0.5) / count)
    probabilities_NC, labels_N = probabilities_NC[drawn], readings.labels_N[drawn]
    sets = None
    if threshold is not None:
        sets = SetFigures.of(probabilities_NC, labels_N, np.broadcast_to(threshold, count)[drawn])
    return RowFigures(measure(probabilities_NC, labels_N, EMOTIONS, resamples=resamples), 0.0, sets)


def _left_out(
    calibration: FusionCalibration,
    prior: Prior,
    kind: ReadingKind,
    readings: LabelledLogs,
    own: NDArray[np.bool_],
) -> tuple[NDArray[np.floating], float]:
    """Return the probabilities of the people `own` as the others calibrate them, and the threshold of their sets."""
    others = readings.select(~own)
    modality: Modality = "face" if kind == "picture" else cast(Modality, kind)
    refitted = calibration.model_copy(update={"models": {modality: fit_model(others)}})
    fitted_NC, weights_N = single_probabilities(refitted, prior, kind, others)
    threshold = fit_threshold(fitted_NC, others.labels_N, weights_N)
    return single_probabilities(refitted, prior, kind, readings.select(own))[0], threshold


def measure_singles(
    predictor: FusionPredictor, side: EvaluationSide, resamples: int = RESAMPLES
) -> dict[str, RowFigures]:
    """Return the figures of each kind of single reading and prior. Pictures have the uniform prior alone."""
    return {
        f"{kind} reading" + (NATURAL_SUFFIX if prior == "natural" else ""): measure_single(
            predictor, kind, readings, prior, resamples
        )
        for prior in side.rows
        for kind, readings in side.singles.items()
        if prior == "uniform" or kind != "picture"
    }


@dataclass(frozen=True)
class FusionFigures:
    """Figures of a fusion on one side: rows of clips, and single readings."""

    rows: dict[str, RowFigures]

    @classmethod
    def of(cls, predictor: FusionPredictor, side: EvaluationSide, resamples: int = RESAMPLES) -> Self:
        rows = measure_rows(predictor, side, resamples)
        return cls(rows | measure_singles(predictor, side, resamples))

    def json(self) -> dict[str, Any]:
        """Return the figures by the names that a manifest has."""
        return {name: row.json() for name, row in self.rows.items()}

    def lines(self) -> list[str]:
        """Return the table as text."""
        lines = [_line("composed clips", ("n", "accuracy", "ece", "coverage", "labels", "uncertain", "first in none"))]
        for name, row in self.rows.items():
            sets = row.sets.json().values() if row.sets else (None,) * 3
            values = (row.metrics.accuracy, row.metrics.ece, *sets, row.first_in_none)
            lines.append(_line(f"  {name}", (f"{row.metrics.n:,}", *map(_number, values))))
        return lines


def _line(name: str, cells: Sequence[str]) -> str:
    return f"{name:26}" + "".join(f"{cell:>14}" for cell in cells)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def worse_rows(gated: Mapping[str, RowFigures], addition: Mapping[str, RowFigures], margin: float) -> list[str]:
    """Return the rows in which the gated fusion is right less often than the addition, by more than the margin."""
    return [name for name, own in gated.items() if own.metrics.accuracy < addition[name].metrics.accuracy - margin]
