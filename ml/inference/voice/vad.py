"""Voice activity detection by Silero VAD, block by block: hours of sound need the memory of minutes."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from faster_whisper.vad import get_vad_model
from numpy.typing import NDArray

from ml.inference.api import FloatArray, TimeSpan
from ml.media import SAMPLE_RATE


class Pcm(Protocol):
    """16 kHz mono sound, int16 or float32 [samples]: an array, or an object that returns an array for a slice."""

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> NDArray[Any]: ...


STEP_SAMPLES = 512
"""Samples per probability of the detector (32 ms)."""
CONTEXT_SAMPLES = 64
"""Samples before each step that the detector reads in addition."""
STATE_SHAPE = (1, 1, 128)
BLOCK_STEPS = 94
"""Steps read from one fresh state: three seconds. Silero's recurrent state goes deaf: after half a minute of noise or
music it missed 36 to 55 % of the speech that followed, with fresh states 1 to 4 %."""
WARM_UP_STEPS = 31
"""Steps before a block that only warm up its state: one second."""
BLOCKS_PER_CHECK = 16

ONSET_THRESHOLD = 0.5
"""Minimum peak probability of a segment of speech."""
OFFSET_THRESHOLD = 0.35
"""Probability below which a segment ends."""
MAX_GAP_SECONDS = 0.3
"""Seconds of silence below which two segments are joined."""
MIN_SPEECH_SECONDS = 0.2
"""Minimum seconds of a segment: clicks and breaths are shorter."""
SHORT_SPEECH_SECONDS = 0.5
"""Seconds below which a segment must reach SHORT_ONSET_THRESHOLD."""
SHORT_ONSET_THRESHOLD = 0.9
"""Minimum peak probability of a short segment. Single words reach it (lowest: 0.93), notes of music do not (highest:
0.87)."""
PAD_SECONDS = 0.1
"""Seconds added before and after a segment: soft consonants are below the threshold."""


def as_float(pcm: NDArray[Any]) -> FloatArray:
    """Return samples as float32 in −1..1; int16 is scaled by 2^−15, exactly."""
    if pcm.dtype == np.int16:
        return np.asarray(pcm, dtype=np.float32) / np.float32(32768)
    return np.asarray(pcm, dtype=np.float32)


def speech_probabilities(pcm: Pcm, check: Callable[[], None]) -> FloatArray:
    """Return the probability of speech for each 32 ms: [ceil(samples / 512)].

    A block depends on nothing more than a second before it. `check` is called every 48 s of sound.
    Source of the network and its inputs: Silero VAD v6, as packed in faster-whisper.
    """
    session = get_vad_model().session
    count = -(-len(pcm) // STEP_SAMPLES)
    speech_S = np.zeros(count, np.float32)
    fresh_state = np.zeros(STATE_SHAPE, np.float32)
    for number, first in enumerate(range(0, count, BLOCK_STEPS)):
        if number % BLOCKS_PER_CHECK == 0:
            check()
        warm_up, last = min(first, WARM_UP_STEPS), min(first + BLOCK_STEPS, count)
        steps = _steps_with_context(pcm, first - warm_up, last)
        probabilities, _, _ = session.run(None, {"input": steps, "h": fresh_state, "c": fresh_state})
        speech_S[first:last] = probabilities.reshape(-1)[warm_up:]
    return speech_S


def _steps_with_context(pcm: Pcm, first: int, last: int) -> FloatArray:
    """Return steps [first, last): [last - first, CONTEXT_SAMPLES + STEP_SAMPLES]; zeros outside the sound."""
    start, end = first * STEP_SAMPLES - CONTEXT_SAMPLES, last * STEP_SAMPLES
    sound = as_float(pcm[max(start, 0) : end])
    padded = np.pad(sound, (max(-start, 0), end - max(start, 0) - len(sound)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, CONTEXT_SAMPLES + STEP_SAMPLES)
    return np.ascontiguousarray(windows[::STEP_SAMPLES])


def speech_segments(pcm: Pcm, check: Callable[[], None]) -> list[TimeSpan]:
    """Return the segments of speech in seconds: in order, disjoint, inside 0..length.

    Deterministic; int16 and the float32 made of it give the same segments. Bounded memory for hours of `pcm`. `check`
    is called every 48 s of sound.
    """
    return segments_above_threshold(speech_probabilities(pcm, check), len(pcm) / SAMPLE_RATE)


def segments_above_threshold(probabilities: FloatArray, duration: float) -> list[TimeSpan]:
    """Return the segments above the thresholds: joined over short gaps, long enough, padded without overlap."""
    step = STEP_SAMPLES / SAMPLE_RATE
    voiced = np.concatenate([[False], probabilities >= OFFSET_THRESHOLD, [False]])
    edges = np.flatnonzero(voiced[1:] != voiced[:-1]).reshape(-1, 2)
    candidates: list[tuple[float, float, float]] = []
    for first, last in edges:
        start, end = float(first * step), min(float(last * step), duration)
        peak = float(probabilities[first:last].max())
        if peak < ONSET_THRESHOLD:
            continue
        if candidates and start - candidates[-1][1] < MAX_GAP_SECONDS:
            start, _, former_peak = candidates.pop()
            peak = max(peak, former_peak)
        candidates.append((start, end, peak))
    segments = [TimeSpan(start, end) for start, end, peak in candidates if _is_speech(end - start, peak)]
    return pad_segments(segments, PAD_SECONDS, duration)


def _is_speech(seconds: float, peak: float) -> bool:
    return seconds >= SHORT_SPEECH_SECONDS or (seconds >= MIN_SPEECH_SECONDS and peak >= SHORT_ONSET_THRESHOLD)


def pad_segments(segments: Sequence[TimeSpan], seconds: float, duration: float) -> list[TimeSpan]:
    """Return each segment with `seconds` more on either side; neighbours share a gap that is too small for both."""
    earliest_starts = [0.0] + [(left.end + right.start) / 2 for left, right in pairwise(segments)]
    latest_ends = [*earliest_starts[1:], duration]
    return [
        TimeSpan(max(segment.start - seconds, earliest), min(segment.end + seconds, latest))
        for segment, earliest, latest in zip(segments, earliest_starts, latest_ends, strict=False)
    ]
