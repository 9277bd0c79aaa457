"""Vocal bursts from log-mel maps: a small convolutional network with an answer for each 80 ms."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from ml.networks.registry import register
from ml.networks.torchaudio_compat import functional
from ml.vocabulary import BURSTS

SAMPLE_RATE = 16_000
HOP_SAMPLES, WINDOW_SAMPLES, FFT_SAMPLES = 160, 400, 512
BANDS, MIN_HERTZ, MAX_HERTZ = 64, 60.0, 7_600.0
FRAMES_PER_STEP = 8
"""Frames of 10 ms for each answer."""
SECONDS_PER_STEP = FRAMES_PER_STEP * HOP_SAMPLES / SAMPLE_RATE
MIN_POWER = 1e-9
"""Power of a band that counts as silence: the hiss of 16 bits."""


@dataclass(frozen=True)
class BurstConfig:
    """Sizes of a BurstNet. `widths`: channels of its stages; `hidden`: of the layers over time."""

    widths: tuple[int, ...] = (16, 32, 48, 64)
    hidden: int = 128
    dropout: float = 0.2


class BurstNet(nn.Module):
    """Powers of mel bands [N, T, 64] → logits of the bursts [N, T / 8, 9], each by itself."""

    def __init__(self, config: BurstConfig) -> None:
        super().__init__()
        self.config = config
        first, *others = config.widths
        layers = _convolution(1, first, 5, (2, 4))
        for number, (width, wider) in enumerate(zip(config.widths, others, strict=False)):
            layers += _convolution(width, wider, 3, (2, 1 if number else 2))
        self.stages = nn.Sequential(*layers)
        bands = BANDS >> len(config.widths)
        self.gather = nn.Sequential(
            nn.Conv1d(config.widths[-1] * bands, config.hidden, 1, bias=False), nn.BatchNorm1d(config.hidden), nn.ReLU()
        )
        self.context = nn.ModuleList(_Context(config.hidden, dilation) for dilation in (1, 2, 4))
        self.dropout = nn.Dropout(config.dropout)
        self.bursts = nn.Conv1d(config.hidden, len(BURSTS), 1)

    def forward(self, powers_NTB: Tensor) -> Tensor:
        levels_NTB = (powers_NTB.clamp_min(MIN_POWER).log10() + 5) / 2
        x = self.stages(levels_NTB.transpose(1, 2).unsqueeze(1))
        x = self.gather(x.flatten(1, 2))
        for layer in self.context:
            x = layer(x)
        logits_NBS: Tensor = self.bursts(self.dropout(x))
        return logits_NBS.transpose(1, 2)


class _Context(nn.Module):
    """Convolution over time, one for each channel, and a mix of the channels, added to the input."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(width, width, 5, padding=2 * dilation, dilation=dilation, groups=width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Conv1d(width, width, 1, bias=False),
            nn.BatchNorm1d(width),
        )

    def forward(self, x_NCT: Tensor) -> Tensor:
        return torch.relu(x_NCT + self.layers(x_NCT))


def _convolution(width: int, wider: int, kernel: int, stride: tuple[int, int]) -> list[nn.Module]:
    convolution = nn.Conv2d(width, wider, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(wider), nn.ReLU()]


def mel_powers(sound: Tensor) -> Tensor:
    """Return the powers of the mel bands [T, 64] of a sound [samples] at 16 kHz in −1..1; T is ceil(samples / 160)."""
    frames = -(-len(sound) // HOP_SAMPLES)
    margin = (FFT_SAMPLES - HOP_SAMPLES) // 2
    padded = nn.functional.pad(sound, (margin, frames * HOP_SAMPLES - len(sound) + FFT_SAMPLES - HOP_SAMPLES - margin))
    window = torch.hann_window(WINDOW_SAMPLES)
    spectrum_FT = torch.stft(
        padded, FFT_SAMPLES, HOP_SAMPLES, WINDOW_SAMPLES, window=window, center=False, return_complex=True
    )
    return spectrum_FT.abs().square().T @ _filters() / FFT_SAMPLES


@cache
def _filters() -> Tensor:
    """Return mel filters [frequencies, 64]."""
    return functional.melscale_fbanks(
        FFT_SAMPLES // 2 + 1, MIN_HERTZ, MAX_HERTZ, BANDS, SAMPLE_RATE, norm=None, mel_scale="htk"
    )


register("vocal_bursts", BurstConfig, BurstNet)
