import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ml.media import SAMPLE_RATE
from ml.media.mixing import Mixer, Samples


def tone(frequency: float, level: float = 0.3, seconds: float = 2.0) -> Samples:
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return np.rint(32767 * level * np.sin(2 * np.pi * frequency * time)).astype(np.int16)


def level(sound: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(sound.astype(float)))))


def test_mixer_usual_stereo_keeps_the_plain_mix() -> None:
    left, right = tone(300), tone(500, 0.2)
    plain = ((left.astype(int) + right) // 2).astype(np.int16)
    assert np.array_equal(Mixer().mix(np.stack([left, right], 1), plain), plain)


@pytest.mark.parametrize("share", [1.0, 0.8, 0.5])
def test_mixer_opposed_channels_do_not_cancel(share: float) -> None:
    left = tone(300)
    right = np.rint(-share * left).astype(np.int16)
    mixed = Mixer().mix(np.stack([left, right], 1))
    assert level(mixed) == pytest.approx(level(left) * (1 + share) / 2, rel=0.02)


def test_mixer_one_opposed_channel_of_three_does_not_cancel() -> None:
    left = tone(300)
    mixed = Mixer().mix(np.stack([left, -left, np.zeros_like(left)], 1))
    assert level(mixed) == pytest.approx(level(left), rel=0.02)


def test_mixer_change_of_phase_fades_without_a_click() -> None:
    left = tone(100)
    right = np.where(np.arange(len(left)) < SAMPLE_RATE, -left, left).astype(np.int16)
    mixed = Mixer().mix(np.stack([left, right], 1)).astype(int)
    assert np.abs(np.diff(mixed)).max() < 3 * np.abs(np.diff(left.astype(int))).max()


@settings(max_examples=30, deadline=None)
@given(arrays(np.int16, st.tuples(st.integers(0, 20_000), st.integers(1, 4))))
def test_mixer_any_samples_give_one_sample_each(channels: Samples) -> None:
    assert Mixer().mix(channels).shape == (len(channels),)
