"""Explanation of a voice's reading: which times and frequencies of its log-mel map support it.

Integrated gradients (Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", 2017) from silence to the
sound: silent parts have no relevance, and the relevances sum to the sound's effect on the class's logit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ml.inference.voice.predictor import VoicePredictor
from ml.networks.mel import log_mel

STEPS = 20
"""Number of integration steps, closer together near silence, where a net that normalises its input changes fastest."""


@dataclass(frozen=True)
class VoiceRelevance:
    """Relevance of one sound.

    Attributes:
        map_MT: log-mel map [mels, frames].
        relevance_MT: relevance of each of its cells.
        target: explained class.
        change: difference of the class's logit between silence and the sound.
    """

    map_MT: NDArray[np.float32]
    relevance_MT: NDArray[np.float32]
    target: int
    change: float


def voice_relevance(
    predictor: VoicePredictor,
    waveforms: Sequence[NDArray[np.float32]],
    targets: Sequence[int] | None = None,
    steps: int = STEPS,
) -> list[VoiceRelevance]:
    """Compute the relevance of each sound.

    Args:
        predictor: model to explain.
        waveforms: 16 kHz mono in −1..1, [samples] each, as `VoicePredictor.predict` takes them. Silence at their ends
            and everything after five seconds is ignored.
        targets: classes to explain; by default the predicted ones.
        steps: number of integration steps.
    """
    network, device = predictor.network, predictor.device
    sounds = log_mel([torch.from_numpy(waveform) for waveform in waveforms], network.config.frames or None)
    maps_NMT, mask_NT = sounds.maps_NMT.to(device), sounds.mask_NT.to(device)
    silence_NMT = maps_NMT.amin((1, 2), keepdim=True).expand_as(maps_NMT)
    with torch.inference_mode():
        sound_logits_NC, silence_logits_NC = (network(maps, mask_NT)[1] for maps in (maps_NMT, silence_NMT))
    targets_N1 = (sound_logits_NC.argmax(1) if targets is None else torch.tensor(targets, device=device))[:, None]
    gradient_NMT = torch.zeros_like(maps_NMT)
    for step in range(steps):
        position = (step + 0.5) / steps
        between = torch.lerp(silence_NMT, maps_NMT, position**2).requires_grad_()
        with torch.enable_grad():
            _, logits_NC = network(between, mask_NT)
        (gradient,) = torch.autograd.grad(logits_NC.gather(1, targets_N1.clone()).sum(), between)
        gradient_NMT += gradient * 2 * position / steps
    relevance_NMT = ((maps_NMT - silence_NMT) * gradient_NMT).cpu().numpy()
    change_N = (sound_logits_NC - silence_logits_NC).gather(1, targets_N1)[:, 0].tolist()
    lengths = mask_NT.sum(1).tolist()
    return [
        VoiceRelevance(maps_NMT[row, :, :length].cpu().numpy(), relevance_NMT[row, :, :length], target, change_N[row])
        for row, (length, target) in enumerate(zip(lengths, targets_N1[:, 0].tolist(), strict=True))
    ]
