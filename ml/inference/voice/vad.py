"""Where speech lies: Silero VAD, block by block, so that hours of sound need the memory of minutes."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from faster_whisper.vad import get_vad_model
from numpy.typing import NDArray

from ml.inference.api import TimeSpan
from ml.media import SAMPLE_RATE


class Pcm(Protocol):
    """16 kHz mono: an array, int16 or float32 [samples], or what gives such an array for a slice of it."""

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> NDArray[Any]: ...


STEP = 512
"""Samples for which the detector gives one probability (32 ms)."""
CONTEXT = 64
"""Samples before each step that the detector sees as well."""
STATE = (1, 1, 128)
BLOCK = 94
LEAD = 31
"""Steps read from a fresh state: three seconds, after one that only warms it up. Silero's recurrent state goes deaf:
after half a minute of noise or music it missed 36 to 55 % of the speech that followed, with fresh states 1 to 4 %."""
BLOCKS_A_CHECK = 16

ONSET = 0.5
"""A stretch is speech when it reaches this probability somewhere…"""
RELEASE = 0.35
"""…and lasts for as long as it stays above this one."""
LONGEST_GAP = 0.3
"""Seconds of silence that do not part two words."""
SHORTEST_SPEECH = 0.2
SHORT_SPEECH = 0.5
SHORT_ONSET = 0.9
"""Seconds: what is shorter than the first is a click or a breath; what is shorter than the second must reach the third.
Single words do (0.93 at the lowest), notes of music do not (0.87 at most)."""
MARGIN = 0.1
"""Seconds added before and after: soft consonants lie below the threshold."""


def as_float(pcm: NDArray[Any]) -> NDArray[np.float32]:
    """Samples in −1..1 as float32; int16 is scaled by 2^−15, exactly."""
    if pcm.dtype == np.int16:
        return np.asarray(pcm, dtype=np.float32) / np.float32(32768)
    return np.asarray(pcm, dtype=np.float32)


def speech_probabilities(pcm: Pcm, check: Callable[[], None]) -> NDArray[np.float32]:
    """The probability of speech for each 32 ms: [ceil(samples / 512)].

    What a block says depends on nothing that
    lies more than a second before it. `check` is called every 48 s of sound.
    Source of the network and its inputs: Silero VAD v6, as packed in faster-whisper.
    """
    session = get_vad_model().session
    count = -(-len(pcm) // STEP)
    found = np.zeros(count, np.float32)
    fresh = np.zeros(STATE, np.float32)
    for number, first in enumerate(range(0, count, BLOCK)):
        if number % BLOCKS_A_CHECK == 0:
            check()
        lead, last = min(first, LEAD), min(first + BLOCK, count)
        steps = _steps(pcm, first - lead, last)
        probabilities, _, _ = session.run(None, {"input": steps, "h": fresh, "c": fresh})
        found[first:last] = probabilities.reshape(-1)[lead:]
    return found


def _steps(pcm: Pcm, first: int, last: int) -> NDArray[np.float32]:
    """Steps [first, last) with their contexts: [last - first, CONTEXT + STEP]; zeros outside the sound."""
    start, end = first * STEP - CONTEXT, last * STEP
    sound = as_float(pcm[max(start, 0) : end])
    padded = np.pad(sound, (max(-start, 0), end - max(start, 0) - len(sound)))
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + STEP)[::STEP])


def speech_segments(pcm: Pcm, check: Callable[[], None]) -> list[TimeSpan]:
    """Stretches of speech in seconds, in order, apart from each other, inside 0..length.

    Deterministic; int16 and the float32 made of it give the same spans. Bounded memory for hours of `pcm`.
    """
    return segments_above_threshold(speech_probabilities(pcm, check), len(pcm) / SAMPLE_RATE)


def segments_above_threshold(probabilities: NDArray[np.float32], duration: float) -> list[TimeSpan]:
    """The stretches above the thresholds, joined over short gaps, without blips, with margins that never overlap."""
    step = STEP / SAMPLE_RATE
    voiced = np.concatenate([[False], probabilities >= RELEASE, [False]])
    edges = np.flatnonzero(voiced[1:] != voiced[:-1]).reshape(-1, 2)
    stretches: list[tuple[float, float, float]] = []
    for first, last in edges:
        start, end, peak = (
            float(first * step),
            min(float(last * step), duration),
            float(probabilities[first:last].max()),
        )
        if peak < ONSET:
            continue
        if stretches and start - stretches[-1][1] < LONGEST_GAP:
            start, _, before = stretches.pop()
            peak = max(peak, before)
        stretches.append((start, end, peak))
    return widen(
        [TimeSpan(start, end) for start, end, peak in stretches if _is_speech(end - start, peak)], MARGIN, duration
    )


def _is_speech(seconds: float, peak: float) -> bool:
    return seconds >= SHORT_SPEECH or (seconds >= SHORTEST_SPEECH and peak >= SHORT_ONSET)


def widen(spans: Sequence[TimeSpan], margin: float, duration: float) -> list[TimeSpan]:
    """Each span with `margin` seconds more on either side; neighbours share a gap that is too small for both."""
    starts = [0.0] + [(left.end + right.start) / 2 for left, right in pairwise(spans)]
    ends = [*starts[1:], duration]
    return [
        TimeSpan(max(span.start - margin, earliest), min(span.end + margin, latest))
        for span, earliest, latest in zip(spans, starts, ends, strict=False)
    ]
