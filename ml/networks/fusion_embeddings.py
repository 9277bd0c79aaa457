"""Fusion over embeddings, as it was published until fusion@6. It is loaded and served, and no longer trained.

Calibrated addition of log-odds (each modality's log-probabilities, weighted and summed; the independent-evidence rule
of Kittler et al., "On combining classifiers", 1998), plus a residual: an LSTM over the face's frames and a dense
network over all embeddings. Without `residual` the addition alone remains. An absent modality adds nothing.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ml.networks.registry import register
from ml.vocabulary import EMOTIONS, MODALITIES, Modality

CLASSES = len(EMOTIONS)


@dataclass(frozen=True)
class EmbeddingFusionConfig:
    """Shape of a fusion. Embedding sizes are those of the bundle's models; `residual` adds LSTM and dense network.

    The size of a modality that is added later is null by default, so that published fusions stay without it.
    """

    face_size: int
    audio_size: int
    text_size: int
    residual: bool = True
    projection: int = 32
    lstm: int = 48
    dense: int = 64
    dropout: float = 0.3

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Modalities that the fusion reads, in the order of its weights and of the mask."""
        return tuple(modality for modality in MODALITIES if getattr(self, f"{modality}_size") is not None)


class EmbeddingFusionInput(NamedTuple):
    """Batch of windows. Values with a mask of 0 are not read.

    N windows, T frames, C emotions, F/A/X embedding sizes.
    """

    face_NTF: Tensor
    face_log_NTC: Tensor
    frame_mask_NT: Tensor
    audio_NA: Tensor
    audio_log_NC: Tensor
    text_NX: Tensor
    text_log_NC: Tensor
    mask_NM: Tensor
    """Presence of each of the config's modalities."""


class EmbeddingFusion(nn.Module):
    """EmbeddingFusionInput → logits [N, C]."""

    def __init__(self, config: EmbeddingFusionConfig) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.ones(len(config.modalities)))
        self.bias = nn.Parameter(torch.zeros(len(config.modalities), CLASSES))
        if config.residual:
            self.residual = Residual(config)

    def forward(self, windows: EmbeddingFusionInput) -> Tensor:
        evidence_NMC = torch.stack([mean_log_probabilities(windows), windows.audio_log_NC, windows.text_log_NC], dim=1)
        present_NM1 = windows.mask_NM.unsqueeze(-1)
        evidence_NMC = torch.where(present_NM1 > 0, evidence_NMC, 0.0)
        logits_NC = ((evidence_NMC * self.weight.unsqueeze(-1) + self.bias) * present_NM1).sum(dim=1)
        return logits_NC + self.residual(windows, evidence_NMC) if self.config.residual else logits_NC


class Residual(nn.Module):
    """Correction of the logits from the embeddings, zero before training."""

    def __init__(self, config: EmbeddingFusionConfig) -> None:
        super().__init__()
        self.face = Projection(config.face_size, config.projection)
        self.audio = Projection(config.audio_size, config.projection)
        self.text = Projection(config.text_size, config.projection)
        self.lstm = nn.LSTM(config.projection + CLASSES + 1, config.lstm, batch_first=True)
        evidence = len(config.modalities) * (CLASSES + 1)
        correction = nn.Linear(config.dense, CLASSES)
        nn.init.zeros_(correction.weight)
        nn.init.zeros_(correction.bias)
        width = config.lstm + 2 * config.projection + evidence
        self.dense = nn.Sequential(nn.Linear(width, config.dense), nn.GELU(), nn.Dropout(config.dropout), correction)

    def forward(self, windows: EmbeddingFusionInput, evidence_NMC: Tensor) -> Tensor:
        frames_NT1 = windows.frame_mask_NT.unsqueeze(-1)
        steps_NTD = torch.cat([self.face(windows.face_NTF), windows.face_log_NTC], dim=-1)
        steps_NTD = torch.cat([torch.where(frames_NT1 > 0, steps_NTD, 0.0), frames_NT1], dim=-1)
        hidden_NTH, _ = self.lstm(steps_NTD)
        face_NH = (hidden_NTH * frames_NT1).sum(1) / frames_NT1.sum(1).clamp(min=1)
        audio_mask_N1, text_mask_N1 = windows.mask_NM[:, 1:2], windows.mask_NM[:, 2:3]
        audio_NP = torch.where(audio_mask_N1 > 0, self.audio(windows.audio_NA), 0.0)
        text_NP = torch.where(text_mask_N1 > 0, self.text(windows.text_NX), 0.0)
        everything = [face_NH, audio_NP, text_NP, evidence_NMC.flatten(1), windows.mask_NM]
        return self.dense(torch.cat(everything, dim=-1))


class Projection(nn.Sequential):
    """Embedding of any scale → `size` values."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__(nn.LayerNorm(width), nn.Linear(width, size), nn.GELU())


def mean_log_probabilities(windows: EmbeddingFusionInput) -> Tensor:
    """Return the mean log-probabilities over the frames that show the face: [N, C]."""
    frames_NT1 = windows.frame_mask_NT.unsqueeze(-1)
    kept_NTC = torch.where(frames_NT1 > 0, windows.face_log_NTC, 0.0)
    return kept_NTC.sum(1) / frames_NT1.sum(1).clamp(min=1)


register("fusion", EmbeddingFusionConfig, EmbeddingFusion)
