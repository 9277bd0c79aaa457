"""Voice activity detection by Silero VAD, block by block: hours of sound need the memory of minutes."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol, Self

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
NEAR_SECONDS = 1.5
"""Seconds from a segment of speech within which shorter and softer ones belong to it: words between pauses, of which a
telephone leaves little (0.2 s, peak 0.65)."""
MIN_NEAR_STEPS = 3
"""Minimum number of steps of such a segment that reach ONSET_THRESHOLD: notes of music die away sooner."""
PAD_SECONDS = 0.1
"""Seconds added before and after a segment: soft consonants are below the threshold."""

TARGET_LEVEL = 0.1
"""Root mean square to which the louder parts of quiet sound are brought up before detection (−20 dBFS). At −50 dBFS the
detector misses 5 % of speech, and takes notes of music for speech more often."""
MAX_GAIN = 31.6
"""Maximum gain (30 dB): below, there is mostly hiss."""
LEVEL_SHARE = 90
"""Percentile of the level of tenths of a second that counts as the level of a sound: pauses do not lower it."""


def as_float(pcm: NDArray[Any]) -> FloatArray:
    """Return samples as float32 in −1..1; int16 is scaled by 2^−15, exactly."""
    if pcm.dtype == np.int16:
        return np.asarray(pcm, dtype=np.float32) / np.float32(32768)
    return np.asarray(pcm, dtype=np.float32)


def amplified(sound: FloatArray) -> FloatArray:
    """Return a sound [samples] with its level brought up to TARGET_LEVEL if it is below, by MAX_GAIN at most."""
    frame = SAMPLE_RATE // 10
    frames = sound[: len(sound) // frame * frame].reshape(-1, frame)
    if not len(frames):
        return sound
    level = np.percentile(np.sqrt(np.square(frames).mean(axis=1)), LEVEL_SHARE)
    gain = np.float32(np.clip(TARGET_LEVEL / max(float(level), 1e-9), 1.0, MAX_GAIN))
    return np.clip(sound * gain, -1, 1) if gain > 1 else sound


def speech_probabilities(pcm: Pcm, check: Callable[[], None]) -> FloatArray:
    """Return the probability of speech for each 32 ms: [ceil(samples / 512)].

    A block depends on nothing more than a second before it; one of digital silence has 0. `check` is called every 48 s
    of sound.
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
        if not steps.any():  # a gap in the time stamps may last for hours
            continue
        probabilities, _, _ = session.run(None, {"input": steps, "h": fresh_state, "c": fresh_state})
        speech_S[first:last] = probabilities.reshape(-1)[warm_up:]
    return speech_S


def _steps_with_context(pcm: Pcm, first: int, last: int) -> FloatArray:
    """Return steps [first, last): [last - first, CONTEXT_SAMPLES + STEP_SAMPLES]; zeros outside the sound."""
    start, end = first * STEP_SAMPLES - CONTEXT_SAMPLES, last * STEP_SAMPLES
    sound = amplified(as_float(pcm[max(start, 0) : end]))
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
    """Return the segments above the thresholds: joined over short gaps, long enough or close to one that is, padded
    without overlap."""
    step = STEP_SAMPLES / SAMPLE_RATE
    voiced = np.concatenate([[False], probabilities >= OFFSET_THRESHOLD, [False]])
    edges = np.flatnonzero(voiced[1:] != voiced[:-1]).reshape(-1, 2)
    candidates: list[_Candidate] = []
    for first, last in edges:
        own = probabilities[first:last]
        found = _Candidate(
            float(first * step),
            min(float(last * step), duration),
            float(own.max()),
            int((own >= ONSET_THRESHOLD).sum()),
        )
        if found.peak < ONSET_THRESHOLD:
            continue
        if candidates and found.start - candidates[-1].end < MAX_GAP_SECONDS:
            found = candidates.pop().joined(found)
        candidates.append(found)
    certain = [candidate for candidate in candidates if candidate.is_speech]
    ends = [candidate.end for candidate in certain]

    def is_near(candidate: _Candidate) -> bool:
        following = bisect_left(ends, candidate.start - NEAR_SECONDS)
        return following < len(certain) and certain[following].start <= candidate.end + NEAR_SECONDS

    segments = [
        TimeSpan(candidate.start, candidate.end)
        for candidate in candidates
        if candidate.is_speech or (candidate.onset_steps >= MIN_NEAR_STEPS and is_near(candidate))
    ]
    return pad_segments(segments, PAD_SECONDS, duration)


@dataclass(frozen=True)
class _Candidate:
    """Steps above OFFSET_THRESHOLD: seconds, peak, and number of steps that reach ONSET_THRESHOLD."""

    start: float
    end: float
    peak: float
    onset_steps: int

    @property
    def is_speech(self) -> bool:
        """Whether it is speech by itself."""
        seconds = self.end - self.start
        return seconds >= SHORT_SPEECH_SECONDS or (seconds >= MIN_SPEECH_SECONDS and self.peak >= SHORT_ONSET_THRESHOLD)

    def joined(self, following: Self) -> Self:
        """Return both as one."""
        peak, steps = max(self.peak, following.peak), self.onset_steps + following.onset_steps
        return replace(self, end=following.end, peak=peak, onset_steps=steps)


def pad_segments(segments: Sequence[TimeSpan], seconds: float, duration: float) -> list[TimeSpan]:
    """Return each segment with `seconds` more on either side; neighbours share a gap that is too small for both."""
    earliest_starts = [0.0] + [(left.end + right.start) / 2 for left, right in pairwise(segments)]
    latest_ends = [*earliest_starts[1:], duration]
    return [
        TimeSpan(max(segment.start - seconds, earliest), min(segment.end + seconds, latest))
        for segment, earliest, latest in zip(segments, earliest_starts, latest_ends, strict=False)
    ]
