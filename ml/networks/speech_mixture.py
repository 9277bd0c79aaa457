"""Voice network of two readers over the frozen lower blocks of one speech encoder.

One reader has upper blocks that were tuned on emotions. The other is a perceptron on mean and deviation of the frozen
layers: it knows the actors of the training data less well, and other speakers, rooms and languages better.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad

from ml.networks.audio import AttentionPool, Head, sinusoidal_positions
from ml.networks.mel import MEL_BANDS
from ml.networks.registry import register
from ml.vocabulary import EMOTIONS


@dataclass(frozen=True)
class SpeechMixtureConfig:
    """Shape of a SpeechMixture; by default that of Whisper base's encoder.

    `lower`: number of frozen blocks; `upper`: number of tuned ones, which read means of `stride` frames of 20 ms.
    `read_layers`: layers whose statistics the perceptron reads, 0 for the input of the first block. `frozen_share`:
    weight of the perceptron in the mixture. `frames`: length to which maps are padded; 0 for the longest of a batch.
    """

    mels: int = MEL_BANDS
    hidden: int = 512
    lower: int = 3
    upper: int = 2
    stride: int = 4
    heads: int = 8
    intermediate: int = 2048
    read_layers: tuple[int, ...] = (1, 2, 3)
    perceptron: int = 256
    tuned_embedding: int = 128
    dropout: float = 0.3
    frozen_share: float = 0.5
    frames: int = 0

    @property
    def embedding(self) -> int:
        return self.tuned_embedding + self.perceptron

    @property
    def statistics(self) -> int:
        """Number of statistics that the perceptron reads."""
        return 2 * self.hidden * len(self.read_layers)


@dataclass(frozen=True)
class Activations:
    """Inputs of the readers: frames of the last frozen layer, which of them are sound, and statistics."""

    frames_NTH: Tensor
    mask_NT: Tensor
    statistics_NS: Tensor


class SpeechMixture(nn.Module):
    """Log-mel maps [N, mels, T] and mask [N, T] → (embeddings [N, E], logits [N, 7])."""

    def __init__(self, config: SpeechMixtureConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = SpeechTrunk(config)
        self.tuned = TunedReader(config)
        self.perceptron = StatisticsReader(config)

    def forward(self, maps_NMT: Tensor, mask_NT: Tensor) -> tuple[Tensor, Tensor]:
        return self.mix(self.trunk(maps_NMT, mask_NT))

    def mix(self, activations: Activations) -> tuple[Tensor, Tensor]:
        """Return embeddings and logits: the weighted mean of both readers' log-probabilities."""
        (tuned_NE, tuned_NC), (statistics_NE, statistics_NC) = self.readings(activations)
        share = self.config.frozen_share
        logits_NC = (1 - share) * tuned_NC.float().log_softmax(-1) + share * statistics_NC.float().log_softmax(-1)
        return torch.cat([tuned_NE, statistics_NE], dim=1), logits_NC

    def readings(self, activations: Activations) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return embeddings and logits of the tuned reader, and of the perceptron."""
        return (
            self.tuned(activations.frames_NTH, activations.mask_NT),
            self.perceptron(activations.statistics_NS),
        )


class SpeechTrunk(nn.Module):
    """Stem and lower blocks of the encoder: log-mel maps [N, mels, T] and mask [N, T] → activations."""

    def __init__(self, config: SpeechMixtureConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv1d(config.mels, config.hidden, 3, padding=1)
        self.conv2 = nn.Conv1d(config.hidden, config.hidden, 3, stride=2, padding=1)
        self.blocks = _blocks(config, config.lower)

    def forward(self, maps_NMT: Tensor, mask_NT: Tensor) -> Activations:
        x_NHT = gelu(self.conv2(gelu(self.conv1(maps_NMT))))
        x_NTH = x_NHT.transpose(1, 2)
        x_NTH = x_NTH + sinusoidal_positions(x_NTH.shape[1], self.config.hidden).to(x_NTH)
        kept_NT = mask_NT[:, ::2]
        layers = [x_NTH]
        for block in self.blocks:
            layers.append(block(layers[-1], src_key_padding_mask=~kept_NT))
        read = [mean_and_deviation(layers[layer], kept_NT) for layer in self.config.read_layers]
        return Activations(layers[-1], kept_NT, torch.cat(read, dim=1))


class TunedReader(nn.Module):
    """Upper blocks, a learned mix of their layers, and attention pooling: frames → (embeddings, logits)."""

    def __init__(self, config: SpeechMixtureConfig) -> None:
        super().__init__()
        self.stride = config.stride
        self.blocks = _blocks(config, config.upper)
        self.norm = nn.LayerNorm(config.hidden)
        self.layer_weights = nn.Parameter(torch.zeros(config.upper + 1))
        self.pool = AttentionPool(config.hidden)
        self.head = Head(2 * config.hidden, config.tuned_embedding, config.dropout)

    def forward(self, frames_NTH: Tensor, mask_NT: Tensor) -> tuple[Tensor, Tensor]:
        x_NTH, mask_NT = mean_of_neighbours(frames_NTH, mask_NT, self.stride)
        layers = [x_NTH]
        for block in self.blocks:
            layers.append(block(layers[-1], src_key_padding_mask=~mask_NT))
        weights = self.layer_weights.softmax(0)
        mixed_NTH = sum(weight * self.norm(layer).float() for weight, layer in zip(weights, layers, strict=True))
        assert isinstance(mixed_NTH, Tensor)
        embeddings_NE, logits_NC = self.head(self.pool(mixed_NTH, mask_NT))
        return embeddings_NE, logits_NC


class StatisticsReader(nn.Module):
    """Perceptron on standardised statistics [N, S] → (embeddings, logits)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: SpeechMixtureConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(config.statistics))
        self.register_buffer("deviation", torch.ones(config.statistics))
        self.embed = nn.Sequential(
            nn.Dropout(config.dropout), nn.Linear(config.statistics, config.perceptron), nn.GELU(), nn.Dropout(0.5)
        )
        self.classify = nn.Linear(config.perceptron, len(EMOTIONS))

    def standardize_by(self, statistics_NS: Tensor) -> None:
        """Standardise inputs to mean 0 and deviation 1 over these statistics [N, S] from now on."""
        self.mean.copy_(statistics_NS.mean(dim=0))
        self.deviation.copy_(statistics_NS.std(dim=0).clamp_min(1e-3))

    def forward(self, statistics_NS: Tensor) -> tuple[Tensor, Tensor]:
        embeddings_NE = self.embed((statistics_NS.float() - self.mean) / self.deviation)
        return embeddings_NE, self.classify(embeddings_NE)


def mean_of_neighbours(frames_NTH: Tensor, mask_NT: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Return the mean of every `stride` frames, over those that are sound, and which means have such a frame."""
    missing = -frames_NTH.shape[1] % stride
    mask_NTS = pad(mask_NT, (0, missing)).unflatten(1, (-1, stride))
    frames_NTSH = pad(frames_NTH, (0, 0, 0, missing)).unflatten(1, (-1, stride))
    weights_NTS1 = mask_NTS.unsqueeze(-1).to(frames_NTH)
    return (frames_NTSH * weights_NTS1).sum(2) / weights_NTS1.sum(2).clamp_min(1), mask_NTS.any(2)


def mean_and_deviation(frames_NTH: Tensor, mask_NT: Tensor) -> Tensor:
    """Return mean and deviation over the frames that are sound: [N, 2 H]."""
    weights_NT1 = mask_NT.unsqueeze(-1).float()
    count_N1 = weights_NT1.sum(dim=1)
    mean_NH = (frames_NTH.float() * weights_NT1).sum(dim=1) / count_N1
    squares_NTH = (frames_NTH.float() - mean_NH.unsqueeze(1)).square()
    variance_NH = (squares_NTH * weights_NT1).sum(dim=1) / count_N1
    return torch.cat([mean_NH, variance_NH.clamp_min(1e-8).sqrt()], dim=1)


def _blocks(config: SpeechMixtureConfig, count: int) -> nn.ModuleList:
    return nn.ModuleList(
        nn.TransformerEncoderLayer(
            config.hidden, config.heads, config.intermediate, 0.0, "gelu", batch_first=True, norm_first=True
        )
        for _ in range(count)
    )


register("speech_mixture", SpeechMixtureConfig, SpeechMixture)
