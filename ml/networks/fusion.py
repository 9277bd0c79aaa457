"""Fusion of face, voice and words in one window, over what cannot be learnt by heart.

Calibrated addition of log-odds (each modality's log-probabilities, weighted and summed; the independent-evidence rule
of Kittler et al., "On combining classifiers", 1998). With `gated`, an LSTM over the frames of the face and a small
dense network weigh each modality by a gate and correct the sum. They read log-probabilities, masks and quality, no
embedding. The inputs answer under a uniform prior, and so does the output.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ml.networks.registry import register
from ml.vocabulary import EMOTIONS, MODALITIES

CLASSES, COUNT = len(EMOTIONS), len(MODALITIES)
FRAME_QUALITIES = ("size", "sharpness", "pose", "mouth", "score")
WINDOW_QUALITIES = ("coverage", "speech", "level", "snr", "confidence", "words")
"""Qualities of a frame's face, and of a window: of its faces (coverage), its voice, and its words. Each is about 0 to
1, or NaN if it is unknown."""
RESIDUAL_SCALE = 0.3
_PAIRS = ((0, 1), (0, 2), (1, 2))


@dataclass(frozen=True)
class FusionConfig:
    """Shape of a fusion. Without `gated` it is the addition alone."""

    gated: bool = True
    lstm: int = 8
    dense: int = 32
    dropout: float = 0.3


class FusionInput(NamedTuple):
    """Batch of windows. Values with a mask of 0 are not read.

    N windows, T frames, C emotions, M modalities, Q qualities. `evidence_NMC`: log-probabilities of each modality over
    the whole window; `frames_NTC`: those of the face in each frame.
    """

    evidence_NMC: Tensor
    mask_NM: Tensor
    frames_NTC: Tensor
    frame_mask_NT: Tensor
    frame_quality_NTQ: Tensor
    quality_NQ: Tensor


class Fusion(nn.Module):
    """FusionInput → logits [N, C]. With one modality they are its own log-probabilities."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.ones(COUNT))
        self.bias = nn.Parameter(torch.zeros(COUNT, CLASSES))
        if config.gated:
            self.gate = Gate(config)

    def forward(self, windows: FusionInput) -> Tensor:
        present_NM1 = windows.mask_NM.unsqueeze(-1)
        evidence_NMC = torch.where(present_NM1 > 0, windows.evidence_NMC, 0.0)
        weighed_NMC = (evidence_NMC * self.weight.unsqueeze(-1) + self.bias) * present_NM1
        if self.config.gated:
            gates_NM, correction_NC = self.gate(windows, evidence_NMC)
            logits_NC = (weighed_NMC * gates_NM.unsqueeze(-1)).sum(dim=1) + correction_NC
        else:
            logits_NC = weighed_NMC.sum(dim=1)
        alone_N1 = windows.mask_NM.sum(dim=1, keepdim=True) == 1
        return torch.where(alone_N1, evidence_NMC.sum(dim=1), logits_NC)


class Gate(nn.Module):
    """FusionInput → gate of each modality [N, M], between 1/2 and 2, and correction of the logits [N, C].

    Before training all gates are 1 and the correction is zero.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.lstm = nn.LSTM(CLASSES + 3 + 2 * len(FRAME_QUALITIES), config.lstm, batch_first=True)
        width = config.lstm + COUNT * (CLASSES + 2) + len(_PAIRS) + 2 * len(WINDOW_QUALITIES)
        last = nn.Linear(config.dense, COUNT + CLASSES)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.dense = nn.Sequential(nn.Linear(width, config.dense), nn.GELU(), nn.Dropout(config.dropout), last)

    def forward(self, windows: FusionInput, evidence_NMC: Tensor) -> tuple[Tensor, Tensor]:
        mask_NM, frames_NT1 = windows.mask_NM, windows.frame_mask_NT.unsqueeze(-1)
        frames_NTC = torch.where(frames_NT1 > 0, windows.frames_NTC, 0.0)
        top_NT1 = frames_NTC.exp().amax(dim=-1, keepdim=True)
        known_NTQ = _with_mask(windows.frame_quality_NTQ)
        steps_NTD = torch.cat([frames_NTC, entropy(frames_NTC).unsqueeze(-1), top_NT1, known_NTQ], dim=-1) * frames_NT1
        hidden_NTH, _ = self.lstm(torch.cat([steps_NTD, frames_NT1], dim=-1))
        face_NH = (hidden_NTH * frames_NT1).sum(dim=1) / frames_NT1.sum(dim=1).clamp(min=1)
        described = [
            face_NH,
            evidence_NMC.flatten(1),
            entropy(evidence_NMC) * mask_NM,
            mask_NM,
            _agreement(evidence_NMC, mask_NM),
            _with_mask(windows.quality_NQ),
        ]
        answer_ND = self.dense(torch.cat(described, dim=-1))
        return 2 ** torch.tanh(answer_ND[:, :COUNT]), RESIDUAL_SCALE * answer_ND[:, COUNT:]


def entropy(log_probabilities: Tensor) -> Tensor:
    """Return the entropy of distributions, in nats: [..., C] → [...]."""
    return -(log_probabilities.exp() * log_probabilities).sum(dim=-1)


def _agreement(evidence_NMC: Tensor, mask_NM: Tensor) -> Tensor:
    """Return Bhattacharyya's coefficient of each pair of modalities [N, 3]; 0 if one is absent."""
    half_NMC = (evidence_NMC / 2).exp()
    pairs = [(half_NMC[:, a] * half_NMC[:, b]).sum(dim=-1) * mask_NM[:, a] * mask_NM[:, b] for a, b in _PAIRS]
    return torch.stack(pairs, dim=-1)


def _with_mask(qualities: Tensor) -> Tensor:
    """Return qualities, 0 if unknown, followed by which of them are known: [..., Q] → [..., 2 Q]."""
    known = ~qualities.isnan()
    return torch.cat([torch.where(known, qualities, 0.0), known.to(qualities.dtype)], dim=-1)


register("gated_fusion", FusionConfig, Fusion)
