"""Vocal bursts of a sound: probabilities on a grid of 80 ms, and the laughs, sighs and coughs in them."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from ml.errors import ModelStoreError
from ml.inference.api import FloatArray, TimeSpan
from ml.inference.runtime.sessions import open_network
from ml.inference.voice.vad import Pcm, as_float
from ml.networks.bursts import FRAMES_PER_STEP, HOP_SAMPLES, SECONDS_PER_STEP, BurstNet, mel_powers
from ml.registry import ModelStore
from ml.vocabulary import BURSTS, Burst

STEP_SAMPLES = FRAMES_PER_STEP * HOP_SAMPLES
BLOCK_STEPS, CONTEXT_STEPS = 128, 16
"""Steps that are read together, ten seconds, and steps around them that are read with them."""
SILENCE = 1e-3
"""Peak of a block (−60 dBFS) up to which it is silent, and is not read."""
MIN_KEPT = 0.05
"""Probability of the likeliest burst below which a step is not kept."""
OFFSET_SHARE = 0.5
"""Share of a kind's threshold at which a burst ends."""
MIN_STEPS, MAX_GAP_STEPS = 2, 4
"""Steps that a burst lasts at least, and of the longest pause within it."""
MAX_OVERLAP = 0.5
"""Share of a burst that may lie within one of another kind with a higher score."""


@dataclass(frozen=True)
class BurstOutputs:
    """Probabilities [S, 9] of the bursts at steps of the grid, `steps_S`; steps without a burst are left out."""

    steps_S: NDArray[np.int64]
    probabilities_SB: FloatArray

    @classmethod
    def empty(cls) -> Self:
        return cls(np.zeros(0, np.int64), np.zeros((0, len(BURSTS)), np.float32))

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        """Concatenate parts, of which there is at least one, in order of time."""
        steps_S = np.concatenate([part.steps_S for part in parts])
        probabilities_SB = np.concatenate([part.probabilities_SB for part in parts])
        order = np.argsort(steps_S, kind="stable")
        return cls(steps_S[order], probabilities_SB[order])


@dataclass(frozen=True)
class FoundBurst:
    """One burst. `score`: its highest probability."""

    span: TimeSpan
    kind: Burst
    score: float


class BurstPredictor:
    """Model of the bursts. Threads may share it. `thresholds`: probability from which a kind is found."""

    def __init__(self, network: BurstNet, thresholds: Mapping[Burst, float], device: torch.device) -> None:
        self.network, self.thresholds, self.device = network.to(device).eval(), thresholds, device
        self._lock = threading.Lock()

    @classmethod
    def load(cls, store: ModelStore, reference: str, device: torch.device) -> Self:
        """Return the published model. Raises ModelStoreError if it is missing, damaged or of another kind."""
        manifest = store.manifest(reference)
        network, thresholds = open_network(store, manifest), manifest.preprocessing.get("thresholds", {})
        if not isinstance(network, BurstNet) or set(thresholds) != set(BURSTS):
            raise ModelStoreError(f"{reference} is no model of vocal bursts")
        return cls(network, thresholds, device)

    def read(
        self, pcm: Pcm, blocks: Sequence[int], check: Callable[[], None], progress: Callable[[float], None]
    ) -> BurstOutputs:
        """Return the steps of blocks with a burst. `pcm`: 16 kHz mono [samples]. `check` is called before each block,
        `progress` after it with the share that is done."""
        parts = [BurstOutputs.empty()]
        for number, block in enumerate(blocks, 1):
            check()
            first = block * BLOCK_STEPS
            own = slice(first * STEP_SAMPLES, (first + BLOCK_STEPS) * STEP_SAMPLES)
            if np.abs(as_float(pcm[own])).max(initial=0) > SILENCE:
                probabilities_SB = self._read(_with_context(pcm, first))
                kept = np.flatnonzero(probabilities_SB.max(1) >= MIN_KEPT)
                parts.append(BurstOutputs(first + kept, probabilities_SB[kept]))
            progress(number / len(blocks))
        return BurstOutputs.concatenated(parts)

    @torch.inference_mode()
    def _read(self, sound: FloatArray) -> FloatArray:
        powers_TB = mel_powers(torch.from_numpy(sound))
        with self._lock:
            logits_NSB = self.network(powers_TB.unsqueeze(0).to(self.device))
        return np.asarray(logits_NSB[0, CONTEXT_STEPS:-CONTEXT_STEPS].sigmoid().cpu().numpy())


def block_count(samples: int) -> int:
    """Return the number of blocks of a sound."""
    return -(-samples // (BLOCK_STEPS * STEP_SAMPLES))


def block_start(block: int) -> float:
    """Return the second at which a block begins."""
    return block * BLOCK_STEPS * SECONDS_PER_STEP


def _with_context(pcm: Pcm, first: int) -> FloatArray:
    """Return a block and what is around it, silence outside the sound."""
    start = (first - CONTEXT_STEPS) * STEP_SAMPLES
    length = (BLOCK_STEPS + 2 * CONTEXT_STEPS) * STEP_SAMPLES
    sound = as_float(pcm[max(start, 0) : start + length])
    before = max(-start, 0)
    return np.pad(sound, (before, length - before - len(sound)))


def find_bursts(outputs: BurstOutputs, thresholds: Mapping[Burst, float], end: float) -> list[FoundBurst]:
    """Return the bursts in order of time. `end`: of the sound, in seconds.

    A kind is found where its probability, averaged over three steps, reaches its threshold, and lasts down to half of
    it. Where two kinds overlap, the one with the higher score stays.
    """
    found = [
        burst
        for kind in BURSTS
        for burst in _of_kind(outputs, BURSTS.index(kind), kind, thresholds[kind])
        if burst.span.start < end
    ]
    kept: list[FoundBurst] = []
    for burst in sorted(found, key=lambda each: -each.score):
        if all(_overlap(burst.span, other.span) <= MAX_OVERLAP for other in kept):
            kept.append(burst)
    return sorted(
        (FoundBurst(TimeSpan(each.span.start, min(each.span.end, end)), each.kind, each.score) for each in kept),
        key=lambda each: (each.span.start, each.kind),
    )


def _of_kind(outputs: BurstOutputs, column: int, kind: Burst, threshold: float) -> Iterator[FoundBurst]:
    for steps, values in _runs(outputs.steps_S, outputs.probabilities_SB[:, column]):
        smooth = np.convolve(values, np.full(3, 1 / 3), "same")
        inside = np.concatenate([[False], smooth >= threshold * OFFSET_SHARE, [False]])
        edges = np.flatnonzero(inside[1:] != inside[:-1]).reshape(-1, 2)
        merged: list[list[int]] = []
        for first, last in edges.tolist():
            if merged and first - merged[-1][1] <= MAX_GAP_STEPS:
                merged[-1][1] = last
            else:
                merged.append([first, last])
        for first, last in merged:
            score = float(smooth[first:last].max())
            if score >= threshold and last - first >= MIN_STEPS:
                start, end = (float(steps[0] + edge) * SECONDS_PER_STEP for edge in (first, last))
                yield FoundBurst(TimeSpan(max(start, 0.0), end), kind, score)


def _runs(steps_S: NDArray[np.int64], values_S: FloatArray) -> Iterator[tuple[NDArray[np.int64], FloatArray]]:
    """Yield stretches of steps with their values, and one more at each end; a step that is missing has the value 0."""
    if not len(steps_S):
        return
    breaks = np.flatnonzero(np.diff(steps_S) > MAX_GAP_STEPS + 1) + 1
    for steps, values in zip(np.split(steps_S, breaks), np.split(values_S, breaks), strict=True):
        whole = np.arange(steps[0] - 1, steps[-1] + 2)
        filled = np.zeros(len(whole), np.float32)
        filled[steps - whole[0]] = values
        yield whole, filled


def _overlap(span: TimeSpan, other: TimeSpan) -> float:
    """Return the share of a span inside another."""
    return max(min(span.end, other.end) - max(span.start, other.start), 0.0) / max(span.length, 1e-9)
