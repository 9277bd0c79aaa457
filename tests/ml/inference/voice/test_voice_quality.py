import numpy as np

from ml.inference.voice.quality import voice_quality
from ml.media import SAMPLE_RATE


def _phrases(background: float, loudness: float = 0.3) -> np.ndarray:
    """Return two seconds of bursts of a tone over noise."""
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 220 * time) * (np.floor(time * 4) % 2)
    noise = np.random.default_rng(0).normal(0, 1, len(time))
    return (loudness * tone + background * noise).astype(np.float32)


def test_voice_quality_noise_lowers_the_ratio_and_not_the_level() -> None:
    clean, noisy = voice_quality(_phrases(0.001)), voice_quality(_phrases(0.1))
    assert clean[1] > noisy[1] + 20 and abs(clean[0] - noisy[0]) < 3


def test_voice_quality_soft_voice_has_a_low_level() -> None:
    loud, soft = voice_quality(_phrases(0.001)), voice_quality(_phrases(0.001, 0.03))
    assert loud[0] - soft[0] > 15


def test_voice_quality_short_or_silent_sound_is_finite() -> None:
    assert np.isfinite(voice_quality(np.zeros(10, np.float32))).all()
    assert voice_quality(np.zeros(SAMPLE_RATE, np.float32))[1] == 0
