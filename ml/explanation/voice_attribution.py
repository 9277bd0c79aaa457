"""Why a voice reads as it does: which times and pitches of its log-mel map speak for the reading.

Integrated gradients (Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", 2017) from silence to the
sound: what is silent has no relevance, and the relevances add up to what the sound changes in the class's logit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ml.inference.voice.predictor import VoicePredictor
from ml.networks.mel import log_mel

STEPS = 20
"""Set closer together near silence, where a net that normalises its input changes fastest."""


@dataclass(frozen=True)
class ToneRelevance:
    """Of one sound: its map and the relevance of each cell, [mels, frames] each; `change`: of the logit of class
    `target` between silence and the sound."""

    map_MT: NDArray[np.float32]
    relevance_MT: NDArray[np.float32]
    target: int
    change: float


def tone_relevance(
    predictor: VoicePredictor,
    waveforms: Sequence[NDArray[np.float32]],
    targets: Sequence[int] | None = None,
    steps: int = STEPS,
) -> list[ToneRelevance]:
    """`waveforms`: 16 kHz mono in −1..1, [samples] each, as `VoicePredictor.predict` takes them; silence at their ends
    and what is beyond five seconds is not heard. `targets`: classes to explain; by default those that are read."""
    network, device = predictor.network, predictor.device
    sounds = log_mel([torch.from_numpy(waveform) for waveform in waveforms], network.config.frames or None)
    maps_NMT, mask_NT = sounds.maps_NMT.to(device), sounds.mask_NT.to(device)
    silence_NMT = maps_NMT.amin((1, 2), keepdim=True).expand_as(maps_NMT)
    with torch.inference_mode():
        heard_NC, silent_NC = (network(maps, mask_NT)[1] for maps in (maps_NMT, silence_NMT))
    chosen_N1 = (heard_NC.argmax(1) if targets is None else torch.tensor(targets, device=device))[:, None]
    gradient_NMT = torch.zeros_like(maps_NMT)
    for step in range(steps):
        place = (step + 0.5) / steps
        between = torch.lerp(silence_NMT, maps_NMT, place**2).requires_grad_()
        with torch.enable_grad():
            _, logits_NC = network(between, mask_NT)
        (gradient,) = torch.autograd.grad(logits_NC.gather(1, chosen_N1.clone()).sum(), between)
        gradient_NMT += gradient * 2 * place / steps
    relevance_NMT = ((maps_NMT - silence_NMT) * gradient_NMT).cpu().numpy()
    change_N = (heard_NC - silent_NC).gather(1, chosen_N1)[:, 0].tolist()
    lengths = mask_NT.sum(1).tolist()
    return [
        ToneRelevance(maps_NMT[row, :, :length].cpu().numpy(), relevance_NMT[row, :, :length], target, change_N[row])
        for row, (length, target) in enumerate(zip(lengths, chosen_N1[:, 0].tolist(), strict=True))
    ]
