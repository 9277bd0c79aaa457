"""Augmentation of voices: other recordings of the same sound, and spectrograms with masked parts."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ml.networks.mel import MAX_SECONDS, SAMPLE_RATE

MIN_CROP_SECONDS = 1.5
"""Minimum seconds of a random cut."""
MIN_BANDWIDTH_HZ = 3_000
"""Minimum bandwidth (hertz) that narrowing leaves, as a telephone does."""


def augment(waveform: Tensor) -> Tensor:
    """Change speed by up to a tenth, cut at random, limit the bandwidth and add noise at 5 to 40 dB: [samples]."""
    speed = float(torch.empty(()).uniform_(0.9, 1.1))
    sound = interpolate(waveform.view(1, 1, -1), scale_factor=1 / speed, mode="linear", align_corners=False).flatten()
    length = min(len(sound), round(MAX_SECONDS * SAMPLE_RATE))
    if torch.rand(()) < 0.5:
        length = max(
            int(length * torch.empty(()).uniform_(0.5, 1.0)), min(length, round(MIN_CROP_SECONDS * SAMPLE_RATE))
        )
    first = int(torch.randint(0, len(sound) - length + 1, ()))
    sound = sound[first : first + length]
    if torch.rand(()) < 0.3:
        sound = _limit_bandwidth(sound)
    if torch.rand(()) < 0.5:
        sound = sound + _noise(sound)
    return sound


def _limit_bandwidth(sound: Tensor) -> Tensor:
    """Remove everything above a random frequency, as telephones and codecs do."""
    spectrum = torch.fft.rfft(sound)
    share = torch.empty(()).uniform_(MIN_BANDWIDTH_HZ / (SAMPLE_RATE / 2), 1)
    spectrum[int(share * len(spectrum)) :] = 0
    return torch.fft.irfft(spectrum, n=len(sound))


def _noise(sound: Tensor) -> Tensor:
    """Return white to brown noise, 5 to 40 dB below the sound."""
    spectrum = torch.fft.rfft(torch.randn(len(sound)))
    slope = torch.empty(()).uniform_(0, 1)
    noise = torch.fft.irfft(spectrum / torch.arange(1, len(spectrum) + 1) ** slope, n=len(sound))
    decibels = torch.empty(()).uniform_(5, 40)
    return noise * (sound.square().mean() / noise.square().mean()).sqrt() * 10 ** (-decibels / 20)


def mask_maps(maps_NMT: Tensor) -> Tensor:
    """Replace two ranges of bands and two of frames of each map by its mean (SpecAugment, Park et al. 2019)."""
    count, bands, frames = maps_NMT.shape
    hidden = torch.zeros(count, bands, frames, dtype=torch.bool)
    for size, max_width, shape in ((bands, 12, (-1, bands, 1)), (frames, frames // 8, (-1, 1, frames))):
        for _ in range(2):
            width, first = torch.randint(0, max_width + 1, (count, 1)), torch.randint(0, size, (count, 1))
            place = torch.arange(size)
            hidden |= ((place >= first) & (place < first + width)).view(shape)
    return torch.where(hidden, maps_NMT.mean(dim=(1, 2), keepdim=True), maps_NMT)
