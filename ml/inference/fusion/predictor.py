"""Fusion model as served: features of each window → one distribution."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch

from ml.inference.api import EmotionOutputs, FloatArray, ModalityFeatures, Predictor, Role
from ml.inference.runtime.batch_metrics import record_batch
from ml.inference.runtime.sessions import open_network
from ml.networks import build, config_to_dict
from ml.networks.fusion import Fusion, FusionConfig, FusionInput
from ml.registry import Manifest, ModelStore
from ml.vocabulary import EMOTIONS, MODALITIES, Modality

FUSION_BATCH_SIZE = 64


@dataclass(frozen=True)
class WindowFeatures:
    """Features of a window. `face` has one entry for each sampled frame, null for a frame without the main face."""

    face: tuple[ModalityFeatures | None, ...] = ()
    audio: ModalityFeatures | None = None
    text: ModalityFeatures | None = None

    @property
    def present(self) -> dict[Modality, bool]:
        """Which modalities the window has."""
        has_face = any(frame is not None for frame in self.face)
        return {"face": has_face, "audio": self.audio is not None, "text": self.text is not None}

    def without(self, modality: Modality) -> "WindowFeatures":
        """Return the same window without one modality."""
        empty: dict[str, Any] = {modality: () if modality == "face" else None}
        return replace(self, **empty)


def collate(windows: Sequence[WindowFeatures], config: FusionConfig) -> FusionInput:
    """Return the tensors of a batch; absent modalities are zero and masked."""
    steps = max(1, *(len(window.face) for window in windows))
    classes = len(EMOTIONS)

    def zeros(*shape: int) -> FloatArray:
        return np.zeros((len(windows), *shape), np.float32)

    face, face_log, frames = zeros(steps, config.face_size), zeros(steps, classes), zeros(steps)
    audio, audio_log = zeros(config.audio_size), zeros(classes)
    text, text_log, mask = zeros(config.text_size), zeros(classes), zeros(len(config.modalities))
    for row, window in enumerate(windows):
        for step, frame in enumerate(window.face):
            if frame is not None:
                face[row, step], face_log[row, step], frames[row, step] = frame.embedding, frame.log_probabilities, 1
        if window.audio is not None:
            audio[row], audio_log[row] = window.audio.embedding, window.audio.log_probabilities
        if window.text is not None:
            text[row], text_log[row] = window.text.embedding, window.text.log_probabilities
        mask[row] = [window.present[modality] for modality in config.modalities]
    arrays = (face, face_log, frames, audio, audio_log, text, text_log, mask)
    return FusionInput(*(torch.from_numpy(array) for array in arrays))


class FusionPredictor(Predictor[WindowFeatures, EmotionOutputs]):
    """Fusion model: features of a window → log-probabilities; uniform for a window without any. It has no embedding."""

    depends: ClassVar[tuple[Role, ...]] = MODALITIES

    def __init__(self, network: Fusion, temperature: float, device: torch.device) -> None:
        super().__init__()
        self._network = network.to(device).eval()
        self._temperature = temperature
        self._device = device

    @classmethod
    def _load(cls, store: ModelStore, manifest: Manifest, device: torch.device) -> Self:
        return cls(open_network(store, manifest), manifest.temperature, device)

    @classmethod
    def fallback(cls, upstream: Mapping[Role, Predictor[Any, Any]], device: torch.device) -> Self:
        face, audio, text = (upstream[role].embedding_size if role in upstream else 1 for role in cls.depends)
        return cls.addition(face, audio, text, device)

    @classmethod
    def addition(cls, face_size: int, audio_size: int, text_size: int, device: torch.device) -> Self:
        """Return the plain addition of log-odds, for a bundle that names no fusion."""
        config = FusionConfig(face_size, audio_size, text_size, residual=False)
        return cls(cast(Fusion, build("fusion", config_to_dict(config))), 1.0, device)

    @property
    def config(self) -> FusionConfig:
        return self._network.config

    @property
    def embedding_size(self) -> int:
        return 0

    @property
    def batch_size(self) -> int:
        return FUSION_BATCH_SIZE

    @torch.inference_mode()
    def _predict(self, samples: Sequence[WindowFeatures]) -> EmotionOutputs:
        parts = [np.zeros((0, len(EMOTIONS)), np.float32)]
        for first in range(0, len(samples), FUSION_BATCH_SIZE):
            batch = collate(samples[first : first + FUSION_BATCH_SIZE], self.config)
            record_batch("fusion", len(batch.mask_NM))
            logits = self._network(FusionInput(*(tensor.to(self._device) for tensor in batch)))
            empty = batch.mask_NM.sum(1, keepdim=True).to(self._device) == 0
            logits = torch.where(empty, 0.0, logits / self._temperature)
            parts.append(logits.log_softmax(dim=-1).cpu().numpy())
        return EmotionOutputs(np.zeros((len(samples), 0), np.float32), np.concatenate(parts))

    def _example(self, upstream: Mapping[Role, EmotionOutputs]) -> WindowFeatures:
        features = {role: outputs.features(0) for role, outputs in upstream.items()}
        faces = (features["face"],) if "face" in features else ()
        return WindowFeatures(faces, features.get("audio"), features.get("text"))
