"""Input of fusions over embeddings, as they were published until fusion@6."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from ml.inference.api import ModalityFeatures
from ml.inference.fusion.arrays import WindowArrays
from ml.networks.fusion_embeddings import EmbeddingFusionConfig, EmbeddingFusionInput


class _Window(Protocol):
    """Features of a window (`WindowFeatures`)."""

    @property
    def face(self) -> tuple[ModalityFeatures | None, ...]: ...

    @property
    def audio(self) -> ModalityFeatures | None: ...

    @property
    def text(self) -> ModalityFeatures | None: ...


def collate(windows: Sequence[_Window], arrays: WindowArrays, config: EmbeddingFusionConfig) -> EmbeddingFusionInput:
    """Return the tensors of a batch; `arrays`: what the windows have in addition to embeddings."""
    count, steps = arrays.frame_mask_NT.shape
    face_NTF = np.zeros((count, steps, config.face_size), np.float32)
    audio_NA, text_NX = (np.zeros((count, size), np.float32) for size in (config.audio_size, config.text_size))
    for row, window in enumerate(windows):
        for step, frame in enumerate(window.face):
            if frame is not None:
                face_NTF[row, step] = frame.embedding
        if window.audio is not None:
            audio_NA[row] = window.audio.embedding
        if window.text is not None:
            text_NX[row] = window.text.embedding
    values = (
        face_NTF,
        arrays.frames_NTC,
        arrays.frame_mask_NT,
        audio_NA,
        arrays.audio_NC,
        text_NX,
        arrays.text_NC,
        arrays.mask_NM,
    )
    return EmbeddingFusionInput(*map(torch.from_numpy, values))
