"""Values fitted on the selection clips: priors of the models, the addition, and what clips support."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ml.inference.fusion import rules
from ml.inference.fusion.calibration import (
    FusionCalibration,
    ModelCalibration,
    PriorCalibration,
    ReadingKind,
    by_emotion,
    normalized,
)
from ml.inference.fusion.label_sets import fit_threshold
from ml.inference.fusion.predictor import FusionPredictor, WindowReadings
from ml.networks.fusion import Fusion, FusionConfig, FusionInput
from ml.results import Prior
from ml.training.recipes.fusion.clip_data import EvaluationSide, LabelledLogs
from ml.training.recipes.fusion.synthetic_clips import Clips
from ml.vocabulary import EMOTIONS, MODALITIES, Modality

MIN_AGREEING_CLIPS = 40
"""Minimum number of clips from which a limit of sharpening is fitted."""
MAX_SHARPENING, SHARPENING_STEP = 8.0, 0.05
_PRIOR_PENALTY = 1e-3


def fit_models(singles: Mapping[ReadingKind, LabelledLogs]) -> dict[Modality, ModelCalibration]:
    """Return prior and temperature of each model, so that its readings are calibrated if all emotions are alike
    common."""
    return {modality: fit_model(singles[modality]) for modality in MODALITIES if modality in singles}


def fit_model(readings: LabelledLogs) -> ModelCalibration:
    """Fit log-probabilities / T + bias by cross-entropy, in which each emotion has the same weight."""
    logs_NC, labels_N = torch.from_numpy(readings.logs_NC).double(), torch.from_numpy(readings.labels_N)
    weights_N = torch.from_numpy(class_weights(readings.labels_N, np.full(len(EMOTIONS), 1 / len(EMOTIONS))))
    scale, bias_C = torch.zeros(1).double().requires_grad_(), torch.zeros(len(EMOTIONS)).double().requires_grad_()

    def loss() -> Tensor:
        losses_N = cross_entropy(logs_NC * scale.exp() + bias_C, labels_N, reduction="none")
        return (losses_N * weights_N).mean() + _PRIOR_PENALTY * bias_C.square().sum()

    _minimize(loss, [scale, bias_C])
    temperature = float((-scale.detach()).exp())
    log_prior_C = -bias_C.detach().numpy() * temperature
    return ModelCalibration(temperature=round(temperature, 4), prior=by_emotion(np.exp(normalized(log_prior_C))))


def class_weights(labels_N: NDArray[np.int64], prior_C: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights [N] of mean 1 that give the emotions the shares of a prior."""
    counts_C = np.bincount(labels_N, minlength=len(EMOTIONS))
    weights_N = (prior_C / np.maximum(counts_C, 1))[labels_N]
    return np.asarray(weights_N / weights_N.mean())


def fit_addition(batches: Sequence[tuple[FusionInput, Tensor, Tensor]]) -> Fusion:
    """Return the addition with the weights and biases that fit windows with several modalities best.

    A batch has windows, labels, and log-odds of the emotions among them against the uniform prior.
    """
    network = Fusion(FusionConfig(gated=False))
    windows = FusionInput(*(torch.cat(parts) for parts in zip(*(batch[0] for batch in batches), strict=True)))
    labels_N = torch.cat([labels for _, labels, _ in batches])
    prior_NC = torch.cat([log_prior.expand(len(labels), -1) for _, labels, log_prior in batches])
    several_N = windows.mask_NM.sum(1) > 1
    if several_N.any():
        windows = FusionInput(*(each[several_N] for each in windows))
        labels_N, prior_NC = labels_N[several_N], prior_NC[several_N]
        _minimize(lambda: cross_entropy(network(windows) + prior_NC, labels_N), list(network.parameters()))
    return network.eval()


def _minimize(loss: Callable[[], Tensor], parameters: list[Tensor]) -> None:
    optimizer = torch.optim.LBFGS(parameters, max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return float(value.detach())

    optimizer.step(closure)


def calibrated(
    network: nn.Module, temperature: float, calibration: FusionCalibration, selection: EvaluationSide
) -> FusionPredictor:
    """Return the predictor of a network with what the selection clips support under each prior."""
    device = torch.device("cpu")
    priors: dict[Prior, PriorCalibration] = {}
    for prior in selection.rows:
        plain, clips = FusionPredictor(network, temperature, device, calibration), selection.to_calibrate(prior)
        sharpening = fit_sharpening(plain.read_arrays(clips.windows, prior), clips.labels_N)
        priors[prior] = PriorCalibration(sharpening=sharpening)
    limited = FusionPredictor(network, temperature, device, calibration.model_copy(update={"priors": priors}))
    for prior in selection.rows:
        thresholds = _thresholds(limited, prior, selection.to_calibrate(prior), selection.singles)
        priors[prior] = priors[prior].model_copy(update={"label_sums": thresholds})
    return FusionPredictor(network, temperature, device, calibration.model_copy(update={"priors": priors}))


def _thresholds(
    predictor: FusionPredictor, prior: Prior, clips: Clips, singles: Mapping[ReadingKind, LabelledLogs]
) -> dict[ReadingKind, float]:
    combined_NC = np.exp(predictor.read_arrays(clips.windows, prior).combined_NC)
    fitted: dict[ReadingKind, float] = {"combined": fit_threshold(combined_NC, clips.labels_N, np.ones(len(clips)))}
    for kind, readings in singles.items():
        probabilities_NC, weights_N = single_probabilities(predictor.calibration, prior, kind, readings)
        fitted[kind] = fit_threshold(probabilities_NC, readings.labels_N, weights_N)
    return fitted


def single_probabilities(
    calibration: FusionCalibration, prior: Prior, kind: ReadingKind, readings: LabelledLogs
) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
    """Return probabilities [N, C] of one modality as served under a prior, and weights [N] that give it to the labels.

    Pictures are read as the face model answers, under its own prior.
    """
    if kind == "picture":
        return np.exp(readings.logs_NC), class_weights(readings.labels_N, calibration.prior_of("face"))
    assert kind != "combined"
    log_prior_C = calibration.log_prior(prior)
    logs_NC = normalized(calibration.evidence(kind, readings.logs_NC) + log_prior_C)
    return np.exp(logs_NC), class_weights(readings.labels_N, np.exp(log_prior_C) / len(EMOTIONS))


def fit_sharpening(readings: WindowReadings, labels_N: NDArray[np.int64]) -> tuple[float, ...]:
    """Return the log-odds that agreement may add, by the number of modalities that put the emotion first.

    It is the least limit at which the mean confidence of these clips is as high as their accuracy, or what they gain at
    most if it is not.
    """
    combined_NC, mask_NM = readings.combined_NC, readings.mask_NM
    own_N, agreeing_N = rules.surest(combined_NC, readings.modalities_NMC, mask_NM)
    confidence_N, right_N = np.exp(combined_NC.max(1)), combined_NC.argmax(1) == labels_N
    return tuple(
        _limit(own_N[rows], confidence_N[rows], float(right_N[rows].mean()))
        if (rows := (agreeing_N == count) & (mask_NM.sum(1) > 1)).sum() >= MIN_AGREEING_CLIPS
        else 0.0
        for count in range(len(MODALITIES) + 1)
    )


def _limit(own_N: NDArray[np.float64], confidence_N: NDArray[np.floating], accuracy: float) -> float:
    for limit in np.arange(0, MAX_SHARPENING, SHARPENING_STEP):
        allowed_N = rules.sigmoid(rules.log_odds(own_N) + limit)
        if np.minimum(confidence_N, allowed_N).mean() >= accuracy:
            return round(float(limit), 3)
    gained_N = rules.log_odds(confidence_N.astype(np.float64)) - rules.log_odds(own_N)
    return round(max(float(np.percentile(gained_N, 99)), 0.0), 3)
