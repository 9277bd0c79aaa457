"""Sound → log-mel maps, the same for training and serving.

The map is Whisper's (Radford et al. 2022): 80 mel bands of 25 ms every 10 ms, log10, clipped to 8 below its peak. The
level is normalised first, so that the distance from the microphone has no influence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ml.networks.torchaudio_compat import functional

SAMPLE_RATE = 16_000
HOP_SAMPLES = 160
FRAMES_PER_SECOND = SAMPLE_RATE // HOP_SAMPLES
MEL_BANDS = 80
MAX_SECONDS = 5.0
"""Seconds of a sound that are read; callers split longer sounds."""
LENGTH_STEP_FRAMES = 64
"""Frames to a multiple of which maps are padded. CPUs prepare and keep kernels for every new shape: seconds each in
half precision, and 4 MB for a minute of speech in serving, 5 GB in training."""
MIN_SAMPLES = 1_600
"""Samples (0.1 s) to which a shorter sound is padded with silence at its end."""
TARGET_RMS = 0.1
"""Root mean square to which every sound is scaled (−20 dB of full scale)."""

_FFT_SAMPLES = 400
_DYNAMIC_RANGE = 8.0
_LOOKAHEAD = 2
"""Frames of silence after the longest sound of a batch: as far as two convolutions of width 3 look ahead."""
_CPU = torch.device("cpu")
_TRIM_STEP = 320
_TRIM_THRESHOLD = 0.03


@dataclass(frozen=True)
class MelBatch:
    """Maps [N, MEL_BANDS, T] of sounds padded to one length, and which frames are sound: bool [N, T]."""

    maps_NMT: Tensor
    mask_NT: Tensor


def trim_silence(waveform: Tensor) -> Tensor:
    """Return a sound [samples] without the silence at its ends: 20 ms steps below 3 % (−30 dB) of the loudest one."""
    steps = waveform[: len(waveform) // _TRIM_STEP * _TRIM_STEP].reshape(-1, _TRIM_STEP)
    if not len(steps):
        return waveform
    loudness = steps.square().mean(1).sqrt()
    loud = (loudness > _TRIM_THRESHOLD * loudness.max()).nonzero().flatten()
    if not len(loud):
        return waveform
    return waveform[int(loud[0]) * _TRIM_STEP : (int(loud[-1]) + 1) * _TRIM_STEP]


def normalize_level(waveform: Tensor) -> Tensor:
    """Return a sound [samples] scaled to TARGET_RMS; digital silence stays silence."""
    return waveform * (TARGET_RMS / waveform.square().mean().sqrt().clamp_min(1e-5))


def log_mel(waveforms: Sequence[Tensor], frames: int | None = None, device: torch.device = _CPU) -> MelBatch:
    """Return the maps of sounds. A map does not depend on the other sounds of the batch.

    `waveforms`: 16 kHz mono in −1..1, float [samples] each, on the CPU. `frames`: length of the maps; by default that
    of the longest sound, padded to a multiple of LENGTH_STEP_FRAMES. `device`: where the maps are computed.
    """
    sounds = [_prepare(waveform) for waveform in waveforms]
    counts = torch.tensor([len(sound) // HOP_SAMPLES for sound in sounds])
    length = frames or -(-(int(counts.max()) + _LOOKAHEAD) // LENGTH_STEP_FRAMES) * LENGTH_STEP_FRAMES
    padded = torch.stack([torch.nn.functional.pad(sound, (0, length * HOP_SAMPLES - len(sound))) for sound in sounds])
    return MelBatch(_maps(padded.to(device)), (torch.arange(length) < counts[:, None]).to(device))


def _prepare(waveform: Tensor) -> Tensor:
    sound = normalize_level(trim_silence(waveform)[: round(MAX_SECONDS * SAMPLE_RATE)])
    sound = torch.nn.functional.pad(sound, (0, max(MIN_SAMPLES - len(sound), 0)))
    return sound[: len(sound) // HOP_SAMPLES * HOP_SAMPLES]


def _maps(padded_NS: Tensor) -> Tensor:
    window = torch.hann_window(_FFT_SAMPLES, device=padded_NS.device)
    spectrum = (
        torch.stft(padded_NS, _FFT_SAMPLES, HOP_SAMPLES, window=window, return_complex=True)[..., :-1].abs().square()
    )
    logs = (_filters().T.to(padded_NS.device) @ spectrum).clamp_min(1e-10).log10()
    peak = logs.amax(dim=(1, 2), keepdim=True)
    return (logs.maximum(peak - _DYNAMIC_RANGE) + 4) / 4


def _filters() -> Tensor:
    """Return Slaney's mel filters [frequencies, MEL_BANDS]."""
    return functional.melscale_fbanks(
        _FFT_SAMPLES // 2 + 1, 0.0, SAMPLE_RATE / 2, MEL_BANDS, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
    )


def deltas(maps_NMT: Tensor) -> Tensor:
    """Return each map with its first and second derivative over time: [N, 3, MEL_BANDS, T]."""
    first = functional.compute_deltas(maps_NMT)
    return torch.stack([maps_NMT, first, functional.compute_deltas(first)], dim=1)
