"""Voice networks: a speech encoder with attention pooling, and a small CNN for small machines.

The encoder has the shape of Whisper tiny's (Radford et al. 2022), so that its weights can be the start. All of its
layers are mixed by learned weights, and pooled into mean and deviation (Okabe et al. 2018).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, relu

from ml.networks.face import Block, SqueezeExcite
from ml.networks.mel import MEL_BANDS, deltas
from ml.networks.registry import register
from ml.vocabulary import EMOTIONS


class AttentionPool(nn.Module):
    """Weighted mean and deviation over time: [N, T, H] and mask [N, T] → [N, 2 H]."""

    def __init__(self, channels: int, hidden: int = 64) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(channels, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, x_NTH: Tensor, mask_NT: Tensor) -> Tensor:
        scores_NT = self.score(x_NTH).squeeze(-1).float().masked_fill(~mask_NT, -math.inf)
        weights_NT1 = scores_NT.softmax(dim=1).unsqueeze(-1)
        mean_NH = (weights_NT1 * x_NTH).sum(dim=1)
        variance_NH = (weights_NT1 * (x_NTH - mean_NH.unsqueeze(1)).square()).sum(dim=1)
        return torch.cat([mean_NH, variance_NH.clamp_min(1e-5).sqrt()], dim=1)


class Head(nn.Module):
    """Pooled features → (embeddings [N, E], logits [N, 7])."""

    def __init__(self, features: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Sequential(
            nn.LayerNorm(features), nn.Dropout(dropout), nn.Linear(features, embedding), nn.GELU(), nn.Dropout(dropout)
        )
        self.classify = nn.Linear(embedding, len(EMOTIONS))

    def forward(self, pooled_NF: Tensor) -> tuple[Tensor, Tensor]:
        embeddings_NE = self.embed(pooled_NF)
        return embeddings_NE, self.classify(embeddings_NE)


@dataclass(frozen=True)
class SpeechEncoderConfig:
    """Shape of a SpeechEncoder. `frames`: length to which maps are padded; 0 for the longest of a batch."""

    mels: int = MEL_BANDS
    hidden: int = 384
    layers: int = 4
    heads: int = 6
    intermediate: int = 1536
    embedding: int = 128
    dropout: float = 0.3
    frames: int = 0


class SpeechEncoder(nn.Module):
    """Log-mel maps [N, mels, T] and mask [N, T] → (embeddings [N, E], logits [N, 7])."""

    def __init__(self, config: SpeechEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv1d(config.mels, config.hidden, 3, padding=1)
        self.conv2 = nn.Conv1d(config.hidden, config.hidden, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.hidden, config.heads, config.intermediate, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.hidden)
        self.mix = nn.Parameter(torch.zeros(config.layers + 1))
        self.pool = AttentionPool(config.hidden)
        self.head = Head(2 * config.hidden, config.embedding, config.dropout)

    def forward(self, maps_NMT: Tensor, mask_NT: Tensor) -> tuple[Tensor, Tensor]:
        x_NHT = gelu(self.conv2(gelu(self.conv1(maps_NMT))))
        x_NTH = x_NHT.transpose(1, 2)
        x_NTH = x_NTH + sinusoidal_positions(x_NTH.shape[1], self.config.hidden).to(x_NTH)
        kept_NT = mask_NT[:, ::2]
        layers = [x_NTH]
        for block in self.blocks:
            layers.append(block(layers[-1], src_key_padding_mask=~kept_NT))
        weights = self.mix.softmax(0)
        mixed_NTH = sum(weight * self.norm(layer).float() for weight, layer in zip(weights, layers, strict=True))
        assert isinstance(mixed_NTH, Tensor)
        return self.head(self.pool(mixed_NTH, kept_NT))


def sinusoidal_positions(length: int, channels: int) -> Tensor:
    """Return Whisper's positions [length, channels]: sines, then cosines, of time scales from 1 to 10,000."""
    scales = torch.exp(-math.log(10_000) / (channels // 2 - 1) * torch.arange(channels // 2))
    angles = torch.arange(length)[:, None] * scales
    return torch.cat([angles.sin(), angles.cos()], dim=1)


@dataclass(frozen=True)
class AudioCnnConfig:
    """Shape of an AudioCnn.

    `widths`: channels of each stage; each halves bands and frames. `hidden`: channels per time step, over all bands.
    `frames`: length to which maps are padded; 0 for the longest of a batch.
    """

    widths: tuple[int, ...] = (24, 48, 96, 144)
    hidden: int = 256
    embedding: int = 128
    dropout: float = 0.3
    frames: int = 0


class MaskedBlock(Block):
    """Block that ignores the padding after a sound, so that its output does not depend on the length of the padding."""

    def forward(self, x_NCMT: Tensor, mask_N11T: Tensor) -> Tensor:  # type: ignore[override]
        enter, leave, excite = self.body[:3], self.body[3:5], self.body[5]
        assert isinstance(excite, SqueezeExcite)
        inner_NCMT = leave(enter(x_NCMT) * mask_N11T) * mask_N11T
        count_N1 = mask_N11T.sum(dim=(2, 3)) * inner_NCMT.shape[2]
        gate_NC = excite.gate(inner_NCMT.sum(dim=(2, 3)) / count_N1)
        return relu(inner_NCMT * gate_NC[:, :, None, None] + self.shortcut(x_NCMT)) * mask_N11T


class AudioCnn(nn.Module):
    """Log-mel maps [N, mels, T] and mask [N, T] → (embeddings [N, E], logits [N, 7])."""

    def __init__(self, config: AudioCnnConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 5, 2, 2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        )
        pairs = zip(widths[:1] + widths[:-1], widths, strict=True)
        self.stages = nn.ModuleList(MaskedBlock(*pair, 2 if i else 1) for i, pair in enumerate(pairs))
        bands = MEL_BANDS // 2 ** len(widths)
        self.moment = nn.Sequential(
            nn.Dropout(config.dropout / 2), nn.Linear(widths[-1] * bands, config.hidden), nn.GELU()
        )
        self.pool = AttentionPool(config.hidden)
        self.head = Head(2 * config.hidden, config.embedding, config.dropout)

    def forward(self, maps_NMT: Tensor, mask_NT: Tensor) -> tuple[Tensor, Tensor]:
        x_N3MT = deltas(_standardize(maps_NMT, mask_NT)) * mask_NT[:, None, None]
        kept_NT = mask_NT[:, ::2]
        features_NCMT = self.stem(x_N3MT.contiguous(memory_format=torch.channels_last)) * kept_NT[:, None, None]
        for index, stage in enumerate(self.stages):
            kept_NT = kept_NT[:, ::2] if index else kept_NT
            features_NCMT = stage(features_NCMT, kept_NT[:, None, None].to(features_NCMT))
        moments_NTH = self.moment(features_NCMT.flatten(1, 2).transpose(1, 2))
        return self.head(self.pool(moments_NTH.float(), kept_NT))


def _standardize(maps_NMT: Tensor, mask_NT: Tensor) -> Tensor:
    """Return each map with mean 0 and deviation 1 over the frames that are sound, and 0 beyond.

    The ratio of the bands stays: it distinguishes a tense voice from a soft one.
    """
    mask_N1T = mask_NT[:, None].to(maps_NMT)
    count_N11 = mask_N1T.sum(dim=2, keepdim=True) * maps_NMT.shape[1]
    centred = (maps_NMT - (maps_NMT * mask_N1T).sum(dim=(1, 2), keepdim=True) / count_N11) * mask_N1T
    deviation = (centred.square().sum(dim=(1, 2), keepdim=True) / count_N11).sqrt()
    return centred / (deviation + 0.05)


register("speech_encoder", SpeechEncoderConfig, SpeechEncoder)
register("audio_cnn", AudioCnnConfig, AudioCnn)
