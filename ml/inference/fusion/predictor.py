"""Fusion as served: the evidence of each window → one distribution."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ml.inference.api import ModalityFeatures
from ml.inference.runtime.batch_metrics import record_batch
from ml.networks import build, config_of
from ml.networks.fusion import Fusion, FusionConfig, FusionInput
from ml.registry import ModelStore
from ml.vocabulary import EMOTIONS, Modality

Floats = NDArray[np.float32]
BATCH = 64


@dataclass(frozen=True)
class WindowFeatures:
    """What a window holds. `face` has one entry for each sampled frame, null where the face is not seen."""

    face: tuple[ModalityFeatures | None, ...] = ()
    audio: ModalityFeatures | None = None
    text: ModalityFeatures | None = None

    @property
    def present(self) -> dict[Modality, bool]:
        seen = any(frame is not None for frame in self.face)
        return {"face": seen, "audio": self.audio is not None, "text": self.text is not None}

    def without(self, modality: Modality) -> "WindowFeatures":
        """The same window with one modality taken away."""
        if modality == "face":
            return replace(self, face=())
        return replace(self, audio=None) if modality == "audio" else replace(self, text=None)


def collate(windows: Sequence[WindowFeatures], config: FusionConfig) -> FusionInput:
    """The tensors of a batch; what is absent is zero and masked."""
    steps = max(1, *(len(window.face) for window in windows))
    classes = len(EMOTIONS)

    def zeros(*shape: int) -> Floats:
        return np.zeros((len(windows), *shape), np.float32)

    face, face_log, frames = zeros(steps, config.face_size), zeros(steps, classes), zeros(steps)
    audio, audio_log = zeros(config.audio_size), zeros(classes)
    text, text_log, mask = zeros(config.text_size), zeros(classes), zeros(3)
    for row, window in enumerate(windows):
        for step, seen in enumerate(window.face):
            if seen is not None:
                face[row, step], face_log[row, step], frames[row, step] = seen.embedding, seen.log_probabilities, 1
        if window.audio is not None:
            audio[row], audio_log[row] = window.audio.embedding, window.audio.log_probabilities
        if window.text is not None:
            text[row], text_log[row] = window.text.embedding, window.text.log_probabilities
        mask[row] = list(window.present.values())
    arrays = (face, face_log, frames, audio, audio_log, text, text_log, mask)
    return FusionInput(*(torch.from_numpy(array) for array in arrays))


class FusionPredictor:
    """Windows → calibrated log-probabilities. Deterministic; a window's answer does not depend on its neighbours."""

    def __init__(self, network: Fusion, temperature: float, device: torch.device) -> None:
        self._network = network.to(device).eval()
        self._temperature = temperature
        self._device = device

    @classmethod
    def load(cls, store: ModelStore, reference: str, device: torch.device) -> Self:
        """Raises ModelStoreError when the store has no such model, or its weights do not fit."""
        return cls(cast(Fusion, store.network(reference)), store.manifest(reference).temperature, device)

    @classmethod
    def addition(cls, face_size: int, audio_size: int, text_size: int, device: torch.device) -> Self:
        """Plain addition of log-odds, for a bundle that names no fusion."""
        config = FusionConfig(face_size, audio_size, text_size, residual=False)
        return cls(cast(Fusion, build("fusion", config_of(config))), 1.0, device)

    @property
    def config(self) -> FusionConfig:
        return self._network.config

    @torch.inference_mode()
    def predict(self, windows: Sequence[WindowFeatures]) -> Floats:
        """Log-probabilities [N, C]; uniform where a window holds nothing."""
        parts = [np.zeros((0, len(EMOTIONS)), np.float32)]
        for first in range(0, len(windows), BATCH):
            batch = collate(windows[first : first + BATCH], self.config)
            record_batch("fusion", len(batch.mask_NM))
            logits = self._network(FusionInput(*(tensor.to(self._device) for tensor in batch)))
            empty = batch.mask_NM.sum(1, keepdim=True).to(self._device) == 0
            logits = torch.where(empty, 0.0, logits / self._temperature)
            parts.append(logits.log_softmax(dim=-1).cpu().numpy())
        return np.concatenate(parts)
