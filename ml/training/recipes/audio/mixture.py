"""Training of a SpeechMixture on cached activations of its frozen trunk.

Both readers are trained at once, each by its own loss. Their weights in the mixture, the layers and the stride were
chosen by leaving corpora out (`evaluate audio --leave-corpus-out`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from ml.networks.speech_mixture import Activations, SpeechMixture, SpeechMixtureConfig
from ml.training.loop import LoopConfig, Task, parameter_groups
from ml.training.recipes.audio.activations import CachedActivations
from ml.training.recipes.audio.config import Encoder
from ml.training.recipes.audio.data import Sides, balance
from ml.training.recipes.audio.pretrained import BASE, TINY, Start, load_start
from ml.vocabulary import EMOTIONS

FINETUNE_LR_SCALE = 0.1
"""Learning rate of the upper blocks, as a share of the rate of both heads."""
LABEL_SMOOTHING = 0.1
SHUFFLE_POOL_BATCHES = 8
"""Number of batches that are sorted by length together, to reduce padding."""
MASK_SHARE = 8
"""A masked stretch of time is at most this part of the sound; there are two."""
PERCEPTRON_BATCHES = 4
"""Number of segments that the perceptron learns from, for each one of the tuned reader: they cost next to nothing."""
PREDICT_BATCH_SIZE = 64


@dataclass(frozen=True)
class MixtureBatch:
    """Activations [N, …] for the tuned reader with their targets, and statistics of M other segments with theirs."""

    activations: Activations
    targets_NC: Tensor
    statistics_MS: Tensor
    targets_MC: Tensor


@dataclass(frozen=True)
class MixtureStart:
    """Encoder that a mixture reads, and the shape of the mixture over it."""

    start: Start
    shape: SpeechMixtureConfig


MIXTURE_STARTS: dict[Encoder, MixtureStart] = {
    "base": MixtureStart(BASE, SpeechMixtureConfig()),
    "tiny": MixtureStart(
        TINY, SpeechMixtureConfig(hidden=384, heads=6, intermediate=1536, lower=2, read_layers=(1, 2))
    ),
}


def build_mixture(encoder: Encoder, upper_blocks: int) -> SpeechMixture:
    """Return the network with the weights of a Whisper encoder and a frozen trunk."""
    chosen = MIXTURE_STARTS[encoder]
    network = SpeechMixture(replace(chosen.shape, upper=upper_blocks))
    load_start(network, chosen.start.arrays())
    network.trunk.requires_grad_(False)
    return network


def groups(network: SpeechMixture) -> list[dict[str, Any]]:
    """Return the parameter groups: upper blocks at a low learning rate, both heads at the full one."""
    decay, tuned = LoopConfig.weight_decay, network.tuned
    upper = nn.ModuleList([*tuned.blocks, tuned.norm])
    added = nn.ModuleList([tuned.pool, tuned.head, network.perceptron])
    layer_weights = {"params": [tuned.layer_weights], "weight_decay": 0.0, "scale": 1.0}
    return [*parameter_groups(upper, decay, FINETUNE_LR_SCALE), *parameter_groups(added, decay), layer_weights]


@dataclass(frozen=True)
class MixtureData:
    """Cached activations of both sides, with the label of each utterance."""

    sides: Sides
    cached: CachedActivations

    def batches(self, size: int, steps: int) -> Iterator[MixtureBatch]:
        """Draw segments by weight, each in one of its copies; yield batches of similar length in random order."""
        drawn, copies = self._draw(size * steps)
        lengths = self.cached.lengths(drawn, copies)
        row_groups: list[NDArray[np.int64]] = []
        for first in range(0, len(drawn), size * SHUFFLE_POOL_BATCHES):
            pool = first + np.argsort(lengths[first : first + size * SHUFFLE_POOL_BATCHES], kind="stable")
            row_groups += [pool[begin : begin + size] for begin in range(0, len(pool), size)]
        for place in torch.randperm(len(row_groups)).tolist():
            rows = row_groups[place]
            activations = self.cached.batch(drawn[rows], copies[rows])
            others, other_copies = self._draw(size * PERCEPTRON_BATCHES)
            yield MixtureBatch(
                mask_time(activations),
                self._targets(drawn[rows]),
                self.cached.statistics(others, other_copies),
                self._targets(others),
            )

    def _draw(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return segments drawn by the weight of their utterances, and a copy of each."""
        drawn = torch.multinomial(self._weights, count, replacement=True).numpy()
        return self._segments[drawn], torch.randint(0, len(self.cached.copies), (count,)).numpy()

    @cached_property
    def _segments(self) -> NDArray[np.int64]:
        return self.cached.segments_of(self.sides.training)

    @cached_property
    def _weights(self) -> Tensor:
        weights = torch.zeros(len(self.sides.sounds.examples))
        weights[self.sides.training] = balance([self.sides.sounds.examples[row] for row in self.sides.training])
        return weights[torch.from_numpy(self.cached.utterance_S[self._segments])]

    def _targets(self, segments: NDArray[np.int64]) -> Tensor:
        labels = self.sides.sounds.labels[torch.from_numpy(self.cached.utterance_S[segments])]
        return one_hot(labels, len(EMOTIONS)).float()

    def standardize(self, network: SpeechMixture) -> None:
        """Let the statistics of the training side in all copies standardise the input of the perceptron."""
        copies = range(len(self.cached.copies))
        all_copies = [self.cached.statistics(self._segments, np.full_like(self._segments, copy)) for copy in copies]
        network.perceptron.standardize_by(torch.cat(all_copies))

    def log_probabilities(self, network: SpeechMixture, utterances: Sequence[int], *, bf16: bool) -> Tensor:
        """Return log-probabilities [N, 7] of utterances: of the mean of their segments' probabilities."""
        segments = self.cached.segments_of(utterances)
        segments = segments[np.argsort(self.cached.copies[0].count_S[segments], kind="stable")]
        sums = torch.zeros(len(self.sides.sounds.examples), len(EMOTIONS))
        counts = torch.zeros(len(sums), 1)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            for first in range(0, len(segments), PREDICT_BATCH_SIZE):
                rows = segments[first : first + PREDICT_BATCH_SIZE]
                _, logits_NC = network.mix(self.cached.batch(rows, np.zeros_like(rows)))
                owners = torch.from_numpy(self.cached.utterance_S[rows])
                sums.index_add_(0, owners, logits_NC.float().softmax(-1))
                counts.index_add_(0, owners, torch.ones(len(rows), 1))
        chosen = list(utterances)
        return (sums[chosen] / counts[chosen].clamp_min(1)).clamp_min(1e-9).log()


def mask_time(activations: Activations) -> Activations:
    """Hide two stretches of time of each sound from the tuned reader."""
    count, frames = activations.mask_NT.shape
    places, hidden_NT = torch.arange(frames), torch.zeros(count, frames, dtype=torch.bool)
    for _ in range(2):
        widths = torch.randint(0, frames // MASK_SHARE + 1, (count, 1))
        firsts = torch.randint(0, frames, (count, 1))
        hidden_NT |= (places >= firsts) & (places < firsts + widths)
    left_NT = activations.mask_NT & ~hidden_NT
    mask_NT = torch.where(left_NT.any(dim=1, keepdim=True), left_NT, activations.mask_NT)
    return Activations(activations.frames_NTH, mask_NT, activations.statistics_NS)


def loss(model: nn.Module, batch: MixtureBatch) -> Tensor:
    network = cast(SpeechMixture, model)
    _, tuned_NC = network.tuned(batch.activations.frames_NTH, batch.activations.mask_NT)
    _, perceptron_MC = network.perceptron(batch.statistics_MS)
    tuned_loss = cross_entropy(tuned_NC.float(), batch.targets_NC, label_smoothing=LABEL_SMOOTHING)
    return tuned_loss + cross_entropy(perceptron_MC.float(), batch.targets_MC, label_smoothing=LABEL_SMOOTHING)


def task(network: SpeechMixture, data: MixtureData, size: int, steps: int, validate: Any) -> Task[MixtureBatch]:
    """Return the problem of training both readers."""
    data.standardize(network)
    return Task(
        model=network,
        steps=steps,
        batches=lambda epoch: data.batches(size, steps),
        loss=loss,
        validate=validate,
        groups=groups(network),
    )
