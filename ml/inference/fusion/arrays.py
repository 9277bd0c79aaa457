"""Windows as arrays, before calibration: how served windows and composed clips reach the fusion."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch

from ml.inference.api import FloatArray
from ml.inference.fusion.calibration import FusionCalibration, normalized
from ml.inference.fusion.qualities import frame_weights
from ml.networks.fusion import FRAME_QUALITIES, WINDOW_QUALITIES, FusionInput
from ml.vocabulary import EMOTIONS, MODALITIES


@dataclass(frozen=True)
class WindowArrays:
    """Log-probabilities as the models answer them, masks and qualities. Values with a mask of 0 are not read.

    N windows, T frames, C emotions, M modalities, Q qualities (`FRAME_QUALITIES`, `WINDOW_QUALITIES`; NaN if unknown).
    """

    frames_NTC: FloatArray
    frame_mask_NT: FloatArray
    frame_quality_NTQ: FloatArray
    audio_NC: FloatArray
    text_NC: FloatArray
    mask_NM: FloatArray
    quality_NQ: FloatArray

    @classmethod
    def empty(cls, count: int, steps: int) -> Self:
        """Return windows without any modality."""
        classes = len(EMOTIONS)
        return cls(
            frames_NTC=np.zeros((count, steps, classes), np.float32),
            frame_mask_NT=np.zeros((count, steps), np.float32),
            frame_quality_NTQ=np.full((count, steps, len(FRAME_QUALITIES)), np.nan, np.float32),
            audio_NC=np.zeros((count, classes), np.float32),
            text_NC=np.zeros((count, classes), np.float32),
            mask_NM=np.zeros((count, len(MODALITIES)), np.float32),
            quality_NQ=np.full((count, len(WINDOW_QUALITIES)), np.nan, np.float32),
        )

    def __len__(self) -> int:
        return len(self.mask_NM)

    def select(self, rows: "np.ndarray[tuple[int], np.dtype[np.int64]] | slice") -> Self:
        """Return some of the windows."""
        return type(self)(*(getattr(self, each.name)[rows] for each in fields(self)))

    def raw(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the log-probabilities of face, voice and words over the whole window [N, C], as the models answer
        them; of a face those of the mean of its frames, weighted by their quality."""
        speech_N = self.quality_NQ[:, WINDOW_QUALITIES.index("speech")]
        weights_NT1 = (self.frame_mask_NT * frame_weights(self.frame_quality_NTQ, speech_N))[..., None]
        face_NC = (np.exp(self.frames_NTC) * weights_NT1).sum(1) / np.maximum(weights_NT1.sum(1), 1e-6)
        absent_N1 = self.mask_NM[:, :1] == 0
        face_NC = np.log(np.maximum(np.where(absent_N1, 1 / len(EMOTIONS), face_NC), 1e-12)).astype(np.float32)
        return face_NC, self.audio_NC, self.text_NC

    def evidence(self, calibration: FusionCalibration) -> FloatArray:
        """Return calibrated log-probabilities of each modality over the whole window [N, M, C]."""
        by_modality = zip(MODALITIES, self.raw(), strict=True)
        return np.stack([calibration.evidence(modality, each) for modality, each in by_modality], axis=1)

    def inputs(self, calibration: FusionCalibration) -> FusionInput:
        """Return the input of the network."""
        frames_NTC = calibration.evidence("face", normalized(self.frames_NTC))
        arrays = (
            self.evidence(calibration),
            self.mask_NM,
            frames_NTC,
            self.frame_mask_NT,
            self.frame_quality_NTQ,
            self.quality_NQ,
        )
        return FusionInput(*(torch.from_numpy(np.asarray(array, np.float32)) for array in arrays))
