"""Mixing of channels into one without cancelling sound.

In stereo out of phase one channel is the other turned upside down: their sum is silence. The correlation of each
channel with the loudest one is measured stretch by stretch, and channels that oppose it are turned over.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ml.media.ffmpeg import SAMPLE_RATE

STRETCH_SAMPLES = SAMPLE_RATE // 2
"""Samples of a stretch, over which the correlation is measured."""
MAX_CORRELATION = -0.6
"""Correlation with the loudest channel up to which a channel opposes it. The mix of two then loses 7 dB or more."""
MIN_RELATIVE_ENERGY = 0.01
"""Minimum energy of a channel, relative to the loudest, that counts."""
MAX_MIX_LOSS = 0.25
"""Energy of a mix, relative to that with channels turned over, below which it has cancelled sound."""
FADE_SAMPLES = SAMPLE_RATE // 100
"""Samples over which one way of mixing fades into the other."""

Samples = NDArray[np.int16]


class Mixer:
    """Mixes a sound stretch by stretch. It remembers how the last one was mixed, for the fade to the next."""

    def __init__(self) -> None:
        self._signs: NDArray[np.float32] | None = None

    def mix(self, channels_NC: Samples, plain_N: Samples | None = None) -> Samples:
        """Return the mix [samples] of the next samples of all channels.

        `plain_N`: the usual mix, which is returned unchanged where no sound cancels; null for the mean.
        """
        mixed = [self._mix_stretch(channels, plain) for channels, plain in _stretches(channels_NC, plain_N)]
        return np.concatenate(mixed) if mixed else np.zeros(0, np.int16)

    def _mix_stretch(self, channels_NC: Samples, plain_N: Samples | None) -> Samples:
        sound = channels_NC.astype(np.float32)
        plain = sound.mean(axis=1) if plain_N is None else plain_N.astype(np.float32)
        former, self._signs = self._signs, _signs(sound, plain)
        if former is None and self._signs is None:
            return _to_samples(plain) if plain_N is None else plain_N
        mixed = _mixed(sound, plain, self._signs)
        if not np.array_equal(former if former is not None else 1, self._signs if self._signs is not None else 1):
            count = min(FADE_SAMPLES, len(mixed))
            rising = np.linspace(0, 1, count, dtype=np.float32)
            mixed[:count] = mixed[:count] * rising + _mixed(sound, plain, former)[:count] * (1 - rising)
        return _to_samples(mixed)


def _stretches(channels_NC: Samples, plain_N: Samples | None) -> Iterator[tuple[Samples, Samples | None]]:
    for first in range(0, len(channels_NC), STRETCH_SAMPLES):
        part = slice(first, first + STRETCH_SAMPLES)
        yield channels_NC[part], None if plain_N is None else plain_N[part]


def _signs(sound: NDArray[np.float32], plain: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return 1 or -1 for each channel, 0 for one that is nearly silent; null if the plain mix cancels no sound."""
    products = sound.T @ sound
    energies = np.diag(products)
    loudest = int(energies.argmax())
    counts = energies > MIN_RELATIVE_ENERGY * energies[loudest]
    if counts.sum() < 2:
        return None
    correlations = products[loudest] / np.sqrt(np.maximum(energies * energies[loudest], 1e-9))
    signs = np.where(correlations < MAX_CORRELATION, -1, 1) * counts
    if signs.min() >= 0:
        return None
    signs = signs.astype(np.float32)
    turned = _mixed(sound, plain, signs)
    return signs if np.dot(plain, plain) < MAX_MIX_LOSS * np.dot(turned, turned) else None


def _mixed(
    sound: NDArray[np.float32], plain: NDArray[np.float32], signs: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    return plain.copy() if signs is None else sound @ signs / np.abs(signs).sum()


def _to_samples(sound: NDArray[np.float32]) -> Samples:
    return np.clip(np.rint(sound), -32768, 32767).astype(np.int16)
