"""Spoilt pictures, voices and sentences: what bad light, cameras, lines and recognisers make of them.

Each function returns a spoilt copy, of a kind drawn at random.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.inference.api import FloatArray
from ml.media import SAMPLE_RATE

Random = np.random.Generator
Image = NDArray[np.uint8]

TELEPHONE_HZ = (300, 3400)
SHORT_SECONDS = (0.3, 0.8)
"""Seconds that are left of a voice of which little is heard."""


def spoil_face(random: Random, crop_HW: Image) -> tuple[Image, float]:
    """Return a spoilt grey crop, and the side in pixels that it could have had in its frame."""
    size = max(crop_HW.shape)
    kinds: Sequence[Callable[[Random, Image], Image]] = (_few_pixels, _dark, _grainy, _compressed)
    kind = kinds[int(random.integers(len(kinds)))]
    if kind is not _few_pixels:
        return kind(random, crop_HW), float(random.uniform(0.7, 3) * size)
    side = int(random.integers(8, 21))
    small = cv2.resize(crop_HW, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, crop_HW.shape[::-1], interpolation=cv2.INTER_LINEAR), np.uint8), float(side)


def _few_pixels(random: Random, crop_HW: Image) -> Image:
    return crop_HW


def _dark(random: Random, crop_HW: Image) -> Image:
    light = crop_HW.astype(np.float32) * random.uniform(0.06, 0.25) + random.normal(0, 3, crop_HW.shape)
    return np.clip(light, 0, 255).astype(np.uint8)


def _grainy(random: Random, crop_HW: Image) -> Image:
    return np.clip(crop_HW + random.normal(0, random.uniform(20, 50), crop_HW.shape), 0, 255).astype(np.uint8)


def _compressed(random: Random, crop_HW: Image) -> Image:
    """Return the crop after strong JPEG compression of half its pixels."""
    small = cv2.resize(crop_HW, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    _, coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(4, 16))])
    decoded = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
    assert decoded is not None
    return np.asarray(cv2.resize(decoded, crop_HW.shape[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def spoil_voice(random: Random, waveform: FloatArray, others: Sequence[FloatArray]) -> FloatArray:
    """Return a spoilt sound [samples] in −1..1. `others`: sounds that may be heard behind it."""
    kind, spoilt = random.integers(4), np.asarray(waveform, np.float64)
    if kind == 0:
        spoilt = _with_background(random, waveform, random.normal(0, 1, len(waveform)))
    elif kind == 1:
        other = others[int(random.integers(len(others)))]
        spoilt = _with_background(random, waveform, np.resize(other, len(waveform)))
    elif kind == 2:
        spoilt = _telephone(random, waveform)
    else:
        length = min(len(waveform), round(random.uniform(*SHORT_SECONDS) * SAMPLE_RATE))
        first = int(random.integers(0, len(waveform) - length + 1))
        spoilt = spoilt[first : first + length]
    level = 10 ** (-random.uniform(0, 30) / 20)
    return np.clip(spoilt * level, -1, 1).astype(np.float32)


def _with_background(random: Random, waveform: FloatArray, noise: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the sound with noise at −5 to 12 dB."""
    loudness, noise_loudness = (np.sqrt(np.mean(sound.astype(np.float64) ** 2)) + 1e-6 for sound in (waveform, noise))
    return waveform + noise * (loudness / noise_loudness * 10 ** (-random.uniform(-5, 12) / 20))


def _telephone(random: Random, waveform: FloatArray) -> NDArray[np.float64]:
    """Return the band of a telephone, in 8 bits of mu-law, with gaps of lost packets."""
    spectrum = np.fft.rfft(waveform)
    hertz = np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE)
    spectrum[(hertz < TELEPHONE_HZ[0]) | (hertz > TELEPHONE_HZ[1])] = 0
    sound = np.fft.irfft(spectrum, n=len(waveform))
    coded = np.round(np.sign(sound) * np.log1p(255 * np.abs(np.clip(sound, -1, 1))) / np.log(256) * 127) / 127
    decoded = np.sign(coded) * (256 ** np.abs(coded) - 1) / 255
    packets = np.arange(len(decoded)) // (SAMPLE_RATE // 25)
    lost = random.random(packets[-1] + 1 if len(packets) else 0) < random.uniform(0, 0.3)
    return np.where(lost[packets], 0.0, decoded)


def spoil_sentence(random: Random, sentence: str, other: str) -> str:
    """Return a sentence in which a third to all of the words are those of another, as if they were not understood."""
    words, wrong = sentence.split(), other.split()
    share = random.uniform(0.34, 1.0)
    spoilt = [
        wrong[random.integers(len(wrong))] if wrong and random.random() < share else word
        for word in words
        if random.random() > share / 4
    ]
    return " ".join(spoilt) or sentence
