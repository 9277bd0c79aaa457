"""Sound → log-mel maps, the same way in training and in serving.

The map is Whisper's (Radford et al. 2022): 80 mel bands of 25 ms every 10 ms, log10, held within 8 of its peak. The
level is brought to one value first: how far someone sits from the microphone tells nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ml.networks.torchaudio_compat import functional

RATE = 16_000
HOP = 160
FRAMES_PER_SECOND = RATE // HOP
MELS = 80
MAX_SECONDS = 5.0
"""A longer sound is cut: callers split it."""
LENGTH_STEP = 64
"""Frames. CPUs prepare kernels for every new shape and keep them: seconds each in half precision, and 4 MB for a minute
of speech in serving, 5 GB in training."""
MIN_SAMPLES = 1_600
"""A shorter sound is padded with silence at its end: 0.1 s."""
LEVEL = 0.1
"""Root mean square that every sound is brought to (−20 dB of full scale)."""

_FFT = 400
_RANGE = 8.0
_BEYOND = 2
"""Frames of silence after the longest sound of a batch: as far as two convolutions of width 3 look ahead."""
_CPU = torch.device("cpu")
_SILENT_STEP = 320
_SILENCE_BELOW = 0.03


@dataclass(frozen=True)
class MelBatch:
    """Maps [N, MELS, T] of sounds padded to one length, and which frames are sound: bool [N, T]."""

    maps_NMT: Tensor
    mask_NT: Tensor


def trimmed(waveform: Tensor) -> Tensor:
    """A sound [samples] without the silence at its ends: 20 ms steps below 3 % (−30 dB) of the loudest one."""
    steps = waveform[: len(waveform) // _SILENT_STEP * _SILENT_STEP].reshape(-1, _SILENT_STEP)
    if not len(steps):
        return waveform
    loudness = steps.square().mean(1).sqrt()
    loud = (loudness > _SILENCE_BELOW * loudness.max()).nonzero().flatten()
    if not len(loud):
        return waveform
    return waveform[int(loud[0]) * _SILENT_STEP : (int(loud[-1]) + 1) * _SILENT_STEP]


def levelled(waveform: Tensor) -> Tensor:
    """A sound [samples] at the one level; digital silence stays silence."""
    return waveform * (LEVEL / waveform.square().mean().sqrt().clamp_min(1e-5))


def log_mel(waveforms: Sequence[Tensor], frames: int | None = None, device: torch.device = _CPU) -> MelBatch:
    """`waveforms`: 16 kHz mono in −1..1, float [samples] each, on the CPU. `frames`: the length of the maps; by default
    that of the longest sound, in whole steps. `device`: where the maps are made and left. What is beyond a sound's end
    does not depend on its neighbours in the batch."""
    sounds = [_prepared(waveform) for waveform in waveforms]
    counts = torch.tensor([len(sound) // HOP for sound in sounds])
    length = frames or -(-(int(counts.max()) + _BEYOND) // LENGTH_STEP) * LENGTH_STEP
    padded = torch.stack([torch.nn.functional.pad(sound, (0, length * HOP - len(sound))) for sound in sounds])
    return MelBatch(_maps(padded.to(device)), (torch.arange(length) < counts[:, None]).to(device))


def _prepared(waveform: Tensor) -> Tensor:
    sound = levelled(trimmed(waveform)[: round(MAX_SECONDS * RATE)])
    sound = torch.nn.functional.pad(sound, (0, max(MIN_SAMPLES - len(sound), 0)))
    return sound[: len(sound) // HOP * HOP]


def _maps(padded_NS: Tensor) -> Tensor:
    window = torch.hann_window(_FFT, device=padded_NS.device)
    spectrum = torch.stft(padded_NS, _FFT, HOP, window=window, return_complex=True)[..., :-1].abs().square()
    logs = (_filters().T.to(padded_NS.device) @ spectrum).clamp_min(1e-10).log10()
    peak = logs.amax(dim=(1, 2), keepdim=True)
    return (logs.maximum(peak - _RANGE) + 4) / 4


def _filters() -> Tensor:
    """Slaney's mel filters [frequencies, MELS]."""
    return functional.melscale_fbanks(_FFT // 2 + 1, 0.0, RATE / 2, MELS, RATE, norm="slaney", mel_scale="slaney")


def deltas(maps_NMT: Tensor) -> Tensor:
    """Each map with its change and the change of that: [N, 3, MELS, T]."""
    first = functional.compute_deltas(maps_NMT)
    return torch.stack([maps_NMT, first, functional.compute_deltas(first)], dim=1)
