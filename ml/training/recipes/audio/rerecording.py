"""Simulated recordings: the same voice, said faster or slower, in another room, through another device, with noise.

Unlike the augmentation of `augment.py`, which is drawn again at every step, a sound has a few fixed copies, because the
answers of the frozen layers of an encoder are cached for each.
"""

import numpy as np
from numpy.typing import NDArray

from ml.networks.mel import SAMPLE_RATE

Sound = NDArray[np.float32]
Random = np.random.Generator

MIN_CUT_SECONDS = 1.5
"""Minimum seconds of a random cut."""
SPEEDS = (0.88, 1.12)
CUT_PROB, ROOM_PROB, EQUALIZE_PROB, CHANNEL_PROB, NOISE_PROB = 0.4, 0.4, 0.6, 0.3, 0.5
NOISE_DECIBELS = (5.0, 35.0)
"""Range of the signal-to-noise ratio."""
REVERBERATION_SECONDS = (0.15, 0.8)
"""Range of the time in which a room's echo falls by 60 dB."""
TELEPHONE_PROB, MU_LAW_PROB, MUSIC_PROB = 0.5, 0.5, 0.3

_EQUALIZER_HZ = (0, 100, 250, 600, 1_500, 3_500, 8_000)
_MU = 255


def rerecord(sound: Sound, random: Random) -> Sound:
    """Return another recording of a sound [samples]."""
    sound = _resample(sound, random.uniform(*SPEEDS))
    for prob, change in (
        (CUT_PROB, _cut),
        (ROOM_PROB, _add_room),
        (EQUALIZE_PROB, _equalize),
        (CHANNEL_PROB, _narrow_channel),
        (NOISE_PROB, _add_background),
    ):
        if random.random() < prob:
            sound = change(sound, random)
    return sound


def _resample(sound: Sound, speed: float) -> Sound:
    places = np.linspace(0, len(sound) - 1, max(int(len(sound) / speed), 1))
    return np.interp(places, np.arange(len(sound)), sound).astype(np.float32)


def _cut(sound: Sound, random: Random) -> Sound:
    shortest = min(len(sound), round(MIN_CUT_SECONDS * SAMPLE_RATE))
    length = max(shortest, int(len(sound) * random.uniform(0.5, 1)))
    first = int(random.integers(0, len(sound) - length + 1))
    return sound[first : first + length]


def _add_room(sound: Sound, random: Random) -> Sound:
    """Convolve with decaying noise, 0 to 12 dB below the direct sound."""
    seconds = random.uniform(*REVERBERATION_SECONDS)
    times = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    echo = random.standard_normal(len(times)) * np.exp(-np.log(1000) * times / seconds)
    echo[: int(random.uniform(0.001, 0.01) * SAMPLE_RATE)] = 0
    echo *= 10 ** (-random.uniform(0, 12) / 20) / np.sqrt((echo**2).sum())
    response = np.concatenate([[1.0], echo])
    size = 1 << (len(sound) + len(response) - 1).bit_length()
    return np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(response, size), size)[: len(sound)].astype(np.float32)


def _equalize(sound: Sound, random: Random) -> Sound:
    """Change the spectrum as microphones and loudspeakers do, smoothly over the bands."""
    decibels = np.cumsum(random.normal(0, 3, len(_EQUALIZER_HZ)))
    frequencies = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    gain = 10 ** (np.interp(frequencies, _EQUALIZER_HZ, decibels - decibels.mean()) / 20)
    return np.fft.irfft(np.fft.rfft(sound) * gain, len(sound)).astype(np.float32)


def _narrow_channel(sound: Sound, random: Random) -> Sound:
    """Limit the bandwidth as a telephone or a codec does, in half of the cases with 8-bit mu-law samples."""
    frequencies, spectrum = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE), np.fft.rfft(sound)
    if random.random() < TELEPHONE_PROB:
        spectrum[(frequencies < random.uniform(200, 350)) | (frequencies > random.uniform(3_000, 3_800))] = 0
    else:
        spectrum[frequencies > random.uniform(3_000, 7_500)] = 0
    narrow = np.fft.irfft(spectrum, len(sound)).astype(np.float32)
    return _mu_law(narrow) if random.random() < MU_LAW_PROB else narrow


def _mu_law(sound: Sound) -> Sound:
    peak = np.abs(sound).max() + 1e-6
    steps = np.round(np.sign(sound) * np.log1p(_MU * np.abs(sound) / peak) / np.log1p(_MU) * 127) / 127
    return np.asarray(np.sign(steps) * np.expm1(np.abs(steps) * np.log1p(_MU)) / _MU * peak, np.float32)


def _add_background(sound: Sound, random: Random) -> Sound:
    """Add noise, or chords of decaying tones, 5 to 35 dB below the sound."""
    background = _music(len(sound), random) if random.random() < MUSIC_PROB else _noise(len(sound), random)
    level = np.sqrt((sound**2).mean() / ((background**2).mean() + 1e-12)) * 10 ** (
        -random.uniform(*NOISE_DECIBELS) / 20
    )
    return np.asarray(sound + background * level, np.float32)


def _noise(length: int, random: Random) -> NDArray[np.float64]:
    """Return white to brown noise, in half of the cases with a level that swells."""
    spectrum = np.fft.rfft(random.standard_normal(length))
    noise = np.fft.irfft(spectrum / np.arange(1, len(spectrum) + 1) ** random.uniform(0, 1), length)
    if random.random() < 0.5:
        times = np.arange(length) / SAMPLE_RATE
        noise = noise * (1 + 0.8 * np.sin(2 * np.pi * random.uniform(0.2, 3) * times + random.uniform(0, 6)))
    return noise


def _music(length: int, random: Random) -> NDArray[np.float64]:
    """Return a row of major and minor chords, each of three decaying tones with overtones."""
    times, music = np.arange(length) / SAMPLE_RATE, np.zeros(length)
    for begin in np.arange(0, length / SAMPLE_RATE, random.uniform(0.25, 0.8)):
        own = times[times >= begin] - begin
        root = 110 * 2 ** (random.integers(0, 24) / 12)
        for interval in (0, int(random.choice([3, 4])), 7):
            tone = sum(
                np.sin(2 * np.pi * root * 2 ** (interval / 12) * overtone * own) / overtone for overtone in range(1, 5)
            )
            music[length - len(own) :] += np.exp(-3 * own) * tone
    return music
