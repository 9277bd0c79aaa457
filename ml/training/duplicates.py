"""Twins: the same picture or sound on both sides of a split makes a figure too good."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

DUPLICATE_CORRELATION = 0.98
"""Correlation of two faces of 24×24 pixels from which they are one picture, cropped or compressed in two ways."""
_SIDE = 24
_AT_ONCE = 2048


def near_duplicate_images(training_NHW: Tensor, held_out_MHW: Tensor) -> NDArray[np.bool_]:
    """Which training crops (uint8 [N, H, W]) show a picture that is held out, also mirrored: bool [N]."""
    if not len(training_NHW) or not len(held_out_MHW):
        return np.zeros(len(training_NHW), bool)
    held_even, held_odd = _small(held_out_MHW)
    found = []
    for part in training_NHW.split(_AT_ONCE):
        even, odd = _small(part)
        likeness = (odd @ held_odd.T).abs_().addmm_(even, held_even.T)
        found.append((likeness.amax(1) > DUPLICATE_CORRELATION).numpy())
    return np.concatenate(found)


def _small(crops_NHW: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of length 1, without their mean, as what mirroring leaves and what it turns round: [N, side²/2] each. The
    products of two pictures' parts add up to their correlation; their difference is that with the other mirrored."""
    small = interpolate(crops_NHW.unsqueeze(1).float(), size=(_SIDE, _SIDE), mode="area").squeeze(1)
    small = small - small.mean((1, 2), keepdim=True)
    small = small / small.norm(dim=(1, 2), keepdim=True).clamp_min(1e-6)
    left, right = small[..., : _SIDE // 2], small.flip(-1)[..., : _SIDE // 2]
    return ((left + right) / 2**0.5).flatten(1), ((left - right) / 2**0.5).flatten(1)


def near_duplicate_sounds(
    training: Sequence[NDArray[np.int16]], held_out: Sequence[NDArray[np.int16]]
) -> NDArray[np.bool_]:
    """Which training sounds have the very samples of one that is held out: bool [N]."""
    known = {hashlib.sha256(sound.tobytes()).digest() for sound in held_out}
    return np.array([hashlib.sha256(sound.tobytes()).digest() in known for sound in training], bool)
