"""Crosstalk: a speaker who is heard faintly in the channel of another one. Only the channel that has the voice itself
counts as speech there.

Level alone does not distinguish a soft speaker from the echo of a loud one, so the sounds must also be alike: the
loudness of their frequency bands must rise and fall together. That holds for a leaking cable and
for a second microphone in a room.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import FloatArray, TimeSpan
from ml.inference.voice.vad import MIN_SPEECH_SECONDS, STEP_SAMPLES, Pcm, as_float
from ml.media import SAMPLE_RATE

STEP_SECONDS = STEP_SAMPLES / SAMPLE_RATE
MIN_LEVEL_DIFFERENCE = 6.0
"""Decibels by which crosstalk is softer than the channel that it comes from."""
MIN_SIMILARITY = 0.5
"""Minimum correlation of the bands of crosstalk with those of its source. Two speakers at once have 0.1 to 0.3."""
SIMILARITY_STEPS = 16
"""Steps over which similarity is measured: half a second."""
LEVEL_STEPS = 5
MIN_CROSSTALK_SECONDS = 0.4
"""Minimum seconds of crosstalk that are cut out of speech: short pauses between words stay."""
MIN_OWN_SECONDS = 0.4
"""Minimum seconds of speech that are left next to a cut: the silent edge of crosstalk is shorter."""
BLOCK_STEPS = 1024
_BAND_EDGES = (100, 200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150, 3700, 4400, 7700)
"""Hertz; critical bands, the upper ones joined."""
_FLOOR = 1e-6
"""Power below which a band counts as silent: what only the louder of two channels has is not compared."""


def own_speech(
    channels: Sequence[Pcm], speech: Sequence[Sequence[TimeSpan]], check: Callable[[], None]
) -> list[tuple[TimeSpan, ...]]:
    """Return the speech of each channel without the stretches that are crosstalk of another one.

    `channels`: sounds on one time axis; `speech`: spans of speech of each. Memory grows by 40 bytes for each second of
    a channel. `check` is called every half minute of sound.
    """
    steps = max((-(-len(pcm) // STEP_SAMPLES) for pcm in channels), default=0)
    speaks_CS = np.stack([_step_mask(spans, steps) for spans in speech]) if channels else np.zeros((0, steps), bool)
    if (speaks_CS.sum(axis=0) < 2).all():
        return [tuple(spans) for spans in speech]
    crosstalk_CS = np.zeros_like(speaks_CS)
    means_CB = _mean_bands(channels, speaks_CS, check)
    margin = SIMILARITY_STEPS
    for first in range(0, steps, BLOCK_STEPS):
        check()
        start, end = max(first - margin, 0), min(first + BLOCK_STEPS + margin, steps)
        if (speaks_CS[:, start:end].sum(axis=0) < 2).all():
            continue
        bands_CSB = np.stack([_bands(pcm, start, end) for pcm in channels])
        found_CS = _crosstalk(bands_CSB, means_CB)
        last = min(first + BLOCK_STEPS, steps)
        crosstalk_CS[:, first:last] = found_CS[:, first - start : last - start]
    return [tuple(_without(spans, mask)) for spans, mask in zip(speech, crosstalk_CS, strict=True)]


def _step_mask(spans: Sequence[TimeSpan], steps: int) -> NDArray[np.bool_]:
    mask = np.zeros(steps, bool)
    for span in spans:
        mask[int(span.start / STEP_SECONDS) : int(np.ceil(span.end / STEP_SECONDS))] = True
    return mask


def _mean_bands(channels: Sequence[Pcm], speaks_CS: NDArray[np.bool_], check: Callable[[], None]) -> FloatArray:
    """Return the mean of each channel's bands over the speech of any channel: [channels, bands]."""
    totals, count = np.zeros((len(channels), len(_BAND_EDGES) - 1), np.float64), 0
    speaks_S = np.asarray(speaks_CS.any(axis=0))
    for first in range(0, len(speaks_S), BLOCK_STEPS):
        check()
        last = min(first + BLOCK_STEPS, len(speaks_S))
        chosen = speaks_S[first:last]
        if not chosen.any():
            continue
        count += int(chosen.sum())
        totals += np.stack([_bands(pcm, first, last)[chosen].sum(axis=0) for pcm in channels])
    return np.asarray(totals / max(count, 1), dtype=np.float32)


def _bands(pcm: Pcm, first: int, last: int) -> FloatArray:
    """Return the level of each band in steps [first, last), in decibels: [steps, bands]."""
    sound = as_float(pcm[first * STEP_SAMPLES : last * STEP_SAMPLES])
    sound = np.pad(sound, (0, (last - first) * STEP_SAMPLES - len(sound))).reshape(-1, STEP_SAMPLES)
    power = np.square(np.abs(np.fft.rfft(sound * np.hanning(STEP_SAMPLES), axis=1)))
    edges = [round(edge * STEP_SAMPLES / SAMPLE_RATE) for edge in _BAND_EDGES]
    bands = [power[:, low:high].sum(axis=1) for low, high in pairwise(edges)]
    return np.asarray(10 * np.log10(np.stack(bands, axis=1) / STEP_SAMPLES + _FLOOR), dtype=np.float32)


def _crosstalk(bands_CSB: FloatArray, means_CB: FloatArray) -> NDArray[np.bool_]:
    """Return for each channel and step whether it is a faint copy of another channel."""
    levels_CS = 10 * np.log10(_smoothed(np.power(10, bands_CSB / 10).sum(axis=2), LEVEL_STEPS) + _FLOOR)
    contrast_CSB = bands_CSB - means_CB[:, None, :]
    local_CS = _smoothed(contrast_CSB.mean(axis=2), SIMILARITY_STEPS)
    variances_CS = _smoothed(np.square(contrast_CSB).mean(axis=2), SIMILARITY_STEPS) - np.square(local_CS)
    found_CS = np.zeros(levels_CS.shape, bool)
    for soft in range(len(levels_CS)):
        for loud in range(len(levels_CS)):
            is_softer = levels_CS[loud] - levels_CS[soft] >= MIN_LEVEL_DIFFERENCE
            if loud == soft or not is_softer.any():
                continue
            products = _smoothed((contrast_CSB[soft] * contrast_CSB[loud]).mean(axis=1)[None], SIMILARITY_STEPS)[0]
            scales = np.sqrt(np.maximum(variances_CS[soft] * variances_CS[loud], _FLOOR))
            similarity = (products - local_CS[soft] * local_CS[loud]) / scales
            found_CS[soft] |= is_softer & (similarity >= MIN_SIMILARITY)
    return found_CS


def _smoothed(values_CS: FloatArray, steps: int) -> FloatArray:
    """Return the mean over `steps` steps around each one, fewer at the edges."""
    kernel = np.ones(steps)
    counts = np.convolve(np.ones(values_CS.shape[1]), kernel, "same")[: values_CS.shape[1]]
    return np.stack([np.convolve(row, kernel, "same")[: len(row)] / counts for row in values_CS]).astype(np.float32)


def _without(spans: Sequence[TimeSpan], crosstalk_S: NDArray[np.bool_]) -> Iterator[TimeSpan]:
    """Yield the parts of the spans outside of stretches of crosstalk, if they are long enough."""
    changes = np.flatnonzero(np.diff(np.concatenate([[0], crosstalk_S.astype(np.int8), [0]]))).tolist()
    stretches = [
        (first * STEP_SECONDS, last * STEP_SECONDS)
        for first, last in _joined(list(zip(changes[::2], changes[1::2], strict=True)))
        if (last - first) * STEP_SECONDS >= MIN_CROSSTALK_SECONDS
    ]
    for span in spans:
        cuts = [(max(first, span.start), min(last, span.end)) for first, last in stretches]
        edges = [span.start, *(edge for first, last in cuts if first < last for edge in (first, last)), span.end]
        pieces = [TimeSpan(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True)]
        yield from (piece for piece in pieces if len(pieces) == 1 or piece.length >= MIN_OWN_SECONDS)


def _joined(stretches: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the stretches of crosstalk, joined over interruptions that are too short for speech."""
    joined: list[list[int]] = []
    for first, last in stretches:
        if joined and (first - joined[-1][1]) * STEP_SECONDS < MIN_SPEECH_SECONDS:
            joined[-1][1] = last
        else:
            joined.append([first, last])
    yield from ((first, last) for first, last in joined)
