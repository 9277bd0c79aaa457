import numpy as np
import pytest
import torch
from faster_whisper.feature_extractor import FeatureExtractor

from ml.networks.mel import MEL_BANDS, TARGET_RMS, deltas, log_mel, normalize_level, trim_silence


def _tone(seconds: float, hertz: float = 220.0, level: float = 0.1) -> torch.Tensor:
    time = torch.arange(round(seconds * 16_000)) / 16_000
    return level * torch.sin(2 * torch.pi * hertz * time)


def test_log_mel_equals_whispers_features() -> None:
    torch.manual_seed(0)
    sound = torch.randn(32_000) * 0.05
    ours = log_mel([sound]).maps_NMT[0, :, :198].numpy()
    theirs = FeatureExtractor(feature_size=MEL_BANDS)(normalize_level(sound).numpy())[:, :198]
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_log_mel_does_not_depend_on_loudness() -> None:
    quiet, loud = (log_mel([_tone(1.0, level=level)]).maps_NMT for level in (0.002, 0.9))
    assert torch.allclose(quiet, loud, atol=1e-3)
    assert float(normalize_level(_tone(1.0)).square().mean().sqrt()) == pytest.approx(TARGET_RMS, rel=1e-4)


def test_log_mel_does_not_depend_on_other_sounds() -> None:
    short, long = _tone(0.73), _tone(2.9, hertz=500)
    alone, together = log_mel([short]), log_mel([short, long])
    length = alone.maps_NMT.shape[-1]
    assert torch.equal(alone.mask_NT[0], together.mask_NT[0, :length])
    assert not together.mask_NT[0, length:].any()
    assert torch.allclose(alone.maps_NMT[0], together.maps_NMT[0, :, :length], atol=1e-5)


def test_trim_silence_cuts_the_ends_and_keeps_silence_alone() -> None:
    silence = torch.zeros(16_000)
    sound = torch.cat([silence, _tone(0.5), silence])
    assert abs(len(trim_silence(sound)) - 8_000) <= 640
    assert len(trim_silence(silence)) == 16_000
    assert torch.isfinite(log_mel([silence]).maps_NMT).all()


def test_log_mel_of_any_length() -> None:
    batch = log_mel([torch.zeros(0), _tone(9.0)])
    assert batch.mask_NT.sum(1).tolist() == [10, 500]
    assert batch.maps_NMT.shape == (2, MEL_BANDS, 512)
    assert log_mel([_tone(1.0)], frames=500).maps_NMT.shape == (1, MEL_BANDS, 500)


def test_log_mel_maps_have_few_lengths() -> None:
    lengths = {log_mel([_tone(tenths / 10)]).maps_NMT.shape[-1] for tenths in range(1, 51)}
    assert lengths == set(range(64, 513, 64))


def test_deltas_of_a_steady_rise_are_constant() -> None:
    ramp = torch.arange(20.0).expand(1, MEL_BANDS, 20)
    stacked = deltas(ramp)
    assert stacked.shape == (1, 3, MEL_BANDS, 20)
    assert torch.allclose(stacked[0, 1, :, 5:15], torch.ones(MEL_BANDS, 10))
    assert torch.allclose(stacked[0, 2, :, 8:12], torch.zeros(MEL_BANDS, 4), atol=1e-5)
