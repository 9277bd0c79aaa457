"""Sounds as they might have been recorded elsewhere, and their maps with parts hidden."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ml.networks.mel import MAX_SECONDS, RATE

MIN_CROP_SECONDS = 1.5
"""Seconds that a random cut leaves at least."""
MIN_BANDWIDTH_HZ = 3_000
"""Hertz that a telephone leaves at least."""


def augment(waveform: Tensor) -> Tensor:
    """A sound [samples] sped up or down by a tenth, cut at random, narrowed, over noise at 5 to 40 dB."""
    speed = float(torch.empty(()).uniform_(0.9, 1.1))
    sound = interpolate(waveform.view(1, 1, -1), scale_factor=1 / speed, mode="linear", align_corners=False).flatten()
    longest = min(len(sound), round(MAX_SECONDS * RATE))
    if torch.rand(()) < 0.5:
        longest = max(int(longest * torch.empty(()).uniform_(0.5, 1.0)), min(longest, round(MIN_CROP_SECONDS * RATE)))
    first = int(torch.randint(0, len(sound) - longest + 1, ()))
    sound = sound[first : first + longest]
    if torch.rand(()) < 0.3:
        sound = _narrowed(sound)
    if torch.rand(()) < 0.5:
        sound = sound + _noise(sound)
    return sound


def _narrowed(sound: Tensor) -> Tensor:
    """Nothing above a random frequency, as telephones and codecs leave it."""
    spectrum = torch.fft.rfft(sound)
    share = torch.empty(()).uniform_(MIN_BANDWIDTH_HZ / (RATE / 2), 1)
    spectrum[int(share * len(spectrum)) :] = 0
    return torch.fft.irfft(spectrum, n=len(sound))


def _noise(sound: Tensor) -> Tensor:
    """White to brown noise, 5 to 40 dB below the sound."""
    spectrum = torch.fft.rfft(torch.randn(len(sound)))
    slope = torch.empty(()).uniform_(0, 1)
    noise = torch.fft.irfft(spectrum / torch.arange(1, len(spectrum) + 1) ** slope, n=len(sound))
    decibels = torch.empty(()).uniform_(5, 40)
    return noise * (sound.square().mean() / noise.square().mean()).sqrt() * 10 ** (-decibels / 20)


def mask_maps(maps_NMT: Tensor) -> Tensor:
    """SpecAugment (Park et al. 2019): two stretches of bands and two of frames of each map take its mean."""
    count, bands, frames = maps_NMT.shape
    hidden = torch.zeros(count, bands, frames, dtype=torch.bool)
    for size, widest, shape in ((bands, 12, (-1, bands, 1)), (frames, frames // 8, (-1, 1, frames))):
        for _ in range(2):
            width, first = torch.randint(0, widest + 1, (count, 1)), torch.randint(0, size, (count, 1))
            place = torch.arange(size)
            hidden |= ((place >= first) & (place < first + width)).view(shape)
    return torch.where(hidden, maps_NMT.mean(dim=(1, 2), keepdim=True), maps_NMT)
