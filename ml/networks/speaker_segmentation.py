"""PyanNet: a network that finds, frame by frame, which of up to three speakers of a stretch of sound are heard.

Source: Bredin, "pyannote.audio 2.1 speaker diarization pipeline", and Plaquet and Bredin, "Powerset multi-class cross
entropy loss for neural speaker diarization", both Interspeech 2023; the filters: Ravanelli and Bengio, "Speaker
Recognition from Raw Waveform with SincNet", 2018. The names of the layers are those of the published weights (MIT).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SPEAKERS = 3
SPEAKER_SETS = ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
"""Speakers that each of the seven classes stands for."""
FRAME_STEP = 270
"""Samples from one frame to the next (16.9 ms)."""
FRAME_FIELD = 991
"""Samples that a frame sees; the first frame begins with the sound."""
_FILTERS, _KERNEL, _STRIDE = 80, 251, 10
_MIN_HZ, _SAMPLE_RATE = 50.0, 16_000


class SpeakerSegmentation(nn.Module):
    """Sound [N, samples] of ten seconds at 16 kHz → probabilities of SPEAKER_SETS [N, frames, 7]."""

    def __init__(self) -> None:
        super().__init__()
        self.sincnet = _SincNet()
        self.lstm = nn.LSTM(60, 128, num_layers=4, bidirectional=True, batch_first=True)
        self.linear = nn.ModuleList([nn.Linear(256, 128), nn.Linear(128, 128)])
        self.classifier = nn.Linear(128, len(SPEAKER_SETS))

    def forward(self, sound_NS: Tensor) -> Tensor:
        frames, _ = self.lstm(self.sincnet(sound_NS.unsqueeze(1)).transpose(1, 2))
        for layer in self.linear:
            frames = functional.leaky_relu(layer(frames))
        logits: Tensor = self.classifier(frames)
        return logits.softmax(-1)


class _SincNet(nn.Module):
    """Sound [N, 1, samples] → [N, 60, frames]."""

    def __init__(self) -> None:
        super().__init__()
        self.wav_norm1d = nn.InstanceNorm1d(1, affine=True)
        filters = nn.Conv1d(1, _FILTERS, _KERNEL, _STRIDE, bias=False)
        self.conv1d = nn.ModuleList([filters, nn.Conv1d(_FILTERS, 60, 5), nn.Conv1d(60, 60, 5)])
        self.norm1d = nn.ModuleList([nn.InstanceNorm1d(size, affine=True) for size in (_FILTERS, 60, 60)])

    def forward(self, sound: Tensor) -> Tensor:
        maps = self.wav_norm1d(sound)
        for number, (convolution, norm) in enumerate(zip(self.conv1d, self.norm1d, strict=True)):
            maps = convolution(maps)
            maps = functional.max_pool1d(maps.abs() if number == 0 else maps, 3)
            maps = functional.leaky_relu(norm(maps))
        return maps


def sinc_filters(low_hz: Tensor, band_hz: Tensor) -> Tensor:
    """Return the kernels [80, 1, 251] of the first layer from its parameters [40, 1]: even and odd band-passes."""
    half = _KERNEL // 2
    low = _MIN_HZ + low_hz.abs()
    high = (low + _MIN_HZ + band_hz.abs()).clamp(_MIN_HZ, _SAMPLE_RATE / 2)
    times = 2 * math.pi * torch.arange(-half, 0.0).view(1, -1) / _SAMPLE_RATE
    window = torch.hamming_window(_KERNEL, periodic=False)[:half]
    band = high - low
    even = (torch.sin(high @ times) - torch.sin(low @ times)) / (times / 2) * window
    odd = (torch.cos(low @ times) - torch.cos(high @ times)) / (times / 2) * window
    cosines = torch.cat([even, 2 * band, even.flip(1)], dim=1)
    sines = torch.cat([odd, torch.zeros_like(band), -odd.flip(1)], dim=1)
    return (torch.cat([cosines, sines]) / (2 * band).repeat(2, 1)).unsqueeze(1)
