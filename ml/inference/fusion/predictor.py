"""Fusion model as served: features of each window → the reading of each modality, and the combined one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import nn

from ml.inference.api import EmotionOutputs, FloatArray, ModalityFeatures, Predictor, Role
from ml.inference.face.quality import QUALITIES
from ml.inference.fusion import embeddings, rules
from ml.inference.fusion.arrays import WindowArrays
from ml.inference.fusion.calibration import FusionCalibration, ReadingKind, normalized
from ml.inference.fusion.qualities import frame_qualities
from ml.inference.runtime.batch_metrics import record_batch
from ml.inference.runtime.sessions import open_network
from ml.networks import build, config_to_dict
from ml.networks.fusion import WINDOW_QUALITIES, FusionConfig
from ml.networks.fusion_embeddings import EmbeddingFusion
from ml.registry import Manifest, ModelStore
from ml.results import Prior
from ml.vocabulary import EMOTIONS, MODALITIES, Modality

FUSION_BATCH_SIZE = 64
UNCALIBRATED = FusionCalibration()


@dataclass(frozen=True)
class WindowFeatures:
    """Features of a window. `face` has one entry for each sampled frame, null for a frame without the main face.

    `quality`: the `WINDOW_QUALITIES` that are known, by name.
    """

    face: tuple[ModalityFeatures | None, ...] = ()
    audio: ModalityFeatures | None = None
    text: ModalityFeatures | None = None
    quality: Mapping[str, float] = field(default_factory=dict)

    @property
    def present(self) -> dict[Modality, bool]:
        """Which modalities the window has."""
        has_face = any(frame is not None for frame in self.face)
        return {"face": has_face, "audio": self.audio is not None, "text": self.text is not None}

    def without(self, modality: Modality) -> "WindowFeatures":
        """Return the same window without one modality."""
        empty: dict[str, Any] = {modality: () if modality == "face" else None}
        return replace(self, **empty)


@dataclass(frozen=True)
class WindowReadings:
    """Log-probabilities of windows under one prior: combined [N, C], and of each modality that is present [N, M, C].

    `mask_NM`: presence of each modality. A row without any is uniform.
    """

    combined_NC: FloatArray
    modalities_NMC: FloatArray
    mask_NM: FloatArray

    def modality(self, row: int, modality: Modality) -> FloatArray | None:
        """Return the log-probabilities of a modality in one window; null if it is absent."""
        place = MODALITIES.index(modality)
        return self.modalities_NMC[row, place] if self.mask_NM[row, place] else None


def collate(windows: Sequence[WindowFeatures]) -> WindowArrays:
    """Return the arrays of a batch; absent modalities are zero and masked."""
    batch = WindowArrays.empty(len(windows), max([1, *(len(window.face) for window in windows)]))
    measured_NTQ = np.full((*batch.frame_mask_NT.shape, len(QUALITIES)), np.nan, np.float32)
    for row, window in enumerate(windows):
        for step, frame in enumerate(window.face):
            if frame is None:
                continue
            batch.frames_NTC[row, step], batch.frame_mask_NT[row, step] = frame.log_probabilities, 1
            if frame.quality is not None:
                measured_NTQ[row, step] = frame.quality
        if window.audio is not None:
            batch.audio_NC[row] = window.audio.log_probabilities
        if window.text is not None:
            batch.text_NC[row] = window.text.log_probabilities
        batch.mask_NM[row] = [window.present[modality] for modality in MODALITIES]
        seen = batch.frame_mask_NT[row].sum()
        known = {"coverage": float(seen) / len(window.face)} if seen else {}
        for name, value in (known | dict(window.quality)).items():
            batch.quality_NQ[row, WINDOW_QUALITIES.index(name)] = value
    batch.frame_quality_NTQ[:] = frame_qualities(measured_NTQ)
    return batch


class FusionPredictor(Predictor[WindowFeatures, EmotionOutputs]):
    """Fusion model: features of a window → log-probabilities; uniform for a window without any. It has no embedding."""

    depends: ClassVar[tuple[Role, ...]] = MODALITIES

    def __init__(
        self,
        network: nn.Module,
        temperature: float,
        device: torch.device,
        calibration: FusionCalibration = UNCALIBRATED,
    ) -> None:
        """`network`: a `Fusion`, or an `EmbeddingFusion` as they were published before."""
        super().__init__()
        self.network = network.to(device).eval()
        self._temperature = temperature
        self._device = device
        self.calibration = calibration

    @classmethod
    def _load(cls, store: ModelStore, manifest: Manifest, device: torch.device) -> Self:
        calibration = FusionCalibration.of(manifest)
        return cls(open_network(store, manifest), manifest.temperature, device, calibration)

    @classmethod
    def fallback(cls, upstream: Mapping[Role, Predictor[Any, Any]], device: torch.device) -> Self:
        return cls.addition(device)

    @classmethod
    def addition(cls, device: torch.device) -> Self:
        """Return the plain addition of log-odds, for a bundle that names no fusion."""
        return cls(build("gated_fusion", config_to_dict(FusionConfig(gated=False))), 1.0, device)

    @property
    def embedding_size(self) -> int:
        return 0

    @property
    def batch_size(self) -> int:
        return FUSION_BATCH_SIZE

    def threshold(self, kind: ReadingKind, prior: Prior) -> float | None:
        """Return the sum of probabilities at which `labels_90` is complete; null if the fusion does not know it."""
        return self.calibration.under(prior).label_sums.get(kind)

    def read(self, windows: Sequence[WindowFeatures], prior: Prior) -> WindowReadings:
        """Return the readings of windows under a prior, which applies alike to each modality and the combined one."""
        batches = [windows[first : first + FUSION_BATCH_SIZE] for first in range(0, len(windows), FUSION_BATCH_SIZE)]
        with self._lock:
            parts = [self._read_batch(batch, prior) for batch in batches]
        return _joined(parts)

    @torch.inference_mode()
    def read_arrays(self, arrays: WindowArrays, prior: Prior) -> WindowReadings:
        """Return the readings of windows that are arrays already, as composed clips are."""
        windows = arrays.inputs(self.calibration)
        logits = self.network(type(windows)(*(tensor.to(self._device) for tensor in windows)))
        return self._readings(logits.cpu().numpy(), arrays, prior)

    def _read_batch(self, windows: Sequence[WindowFeatures], prior: Prior) -> WindowReadings:
        record_batch("fusion", len(windows))
        arrays = collate(windows)
        if not isinstance(self.network, EmbeddingFusion):
            return self.read_arrays(arrays, prior)
        with torch.inference_mode():
            inputs = embeddings.collate(windows, arrays, self.network.config)
            logits = self.network(type(inputs)(*(tensor.to(self._device) for tensor in inputs)))
        return self._readings(logits.cpu().numpy(), arrays, prior)

    def _readings(self, logits_NC: FloatArray, arrays: WindowArrays, prior: Prior) -> WindowReadings:
        mask_NM, log_prior_C = arrays.mask_NM, self.calibration.log_prior(prior)
        evidence_NMC = arrays.evidence(self.calibration)
        alone_N1, none_N1 = (mask_NM.sum(1, keepdims=True) == count for count in (1, 0))
        alone_NC = (evidence_NMC * mask_NM[..., None]).sum(1)
        combined_NC = np.where(alone_N1, alone_NC, logits_NC / self._temperature)
        combined_NC = normalized(np.where(none_N1, 0.0, combined_NC + log_prior_C))
        modalities_NMC = normalized(evidence_NMC + log_prior_C)
        combined_NC = rules.support(combined_NC, modalities_NMC, mask_NM)
        sharpening = self.calibration.under(prior).sharpening
        combined_NC = rules.limit_sharpening(combined_NC, modalities_NMC, mask_NM, sharpening)
        return WindowReadings(combined_NC, modalities_NMC, mask_NM)

    def _predict(self, samples: Sequence[WindowFeatures]) -> EmotionOutputs:
        parts = [
            self._read_batch(samples[first : first + FUSION_BATCH_SIZE], "uniform").combined_NC
            for first in range(0, len(samples), FUSION_BATCH_SIZE)
        ]
        logs_NC = np.concatenate([np.zeros((0, len(EMOTIONS)), np.float32), *parts])
        return EmotionOutputs(np.zeros((len(samples), 0), np.float32), logs_NC)

    def _example(self, upstream: Mapping[Role, EmotionOutputs]) -> WindowFeatures:
        features = {role: outputs.features(0) for role, outputs in upstream.items()}
        faces = (features["face"],) if "face" in features else ()
        return WindowFeatures(faces, features.get("audio"), features.get("text"))


def _joined(parts: Sequence[WindowReadings]) -> WindowReadings:
    if not parts:
        classes, count = len(EMOTIONS), len(MODALITIES)
        shapes = ((0, classes), (0, count, classes), (0, count))
        return WindowReadings(*(np.zeros(shape, np.float32) for shape in shapes))
    return WindowReadings(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in WindowReadings.__dataclass_fields__)
    )
