"""Duplicates across a split: the same picture or sound on both sides would make a figure too good."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

DUPLICATE_CORRELATION = 0.98
"""Minimum correlation of two faces at 24×24 pixels that are one picture, cropped or compressed in two ways."""
_SIDE = 24
_CHUNK_ROWS = 2048
"""Training crops per matrix product; bounds memory."""


def near_duplicate_images(training_NHW: Tensor, held_out_MHW: Tensor) -> NDArray[np.bool_]:
    """Return which training crops (uint8 [N, H, W]) show a held-out picture, mirrored or not: bool [N]."""
    if not len(training_NHW) or not len(held_out_MHW):
        return np.zeros(len(training_NHW), bool)
    held_even, held_odd = _even_and_odd(held_out_MHW)
    parts = []
    for part in training_NHW.split(_CHUNK_ROWS):
        even, odd = _even_and_odd(part)
        correlation = (odd @ held_odd.T).abs_().addmm_(even, held_even.T)
        parts.append((correlation.amax(1) > DUPLICATE_CORRELATION).numpy())
    return np.concatenate(parts)


def _even_and_odd(crops_NHW: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows of mean 0 and length 1, as the parts that mirroring keeps and negates: [N, side²/2] each.

    The products of the parts of two pictures add up to their correlation; their difference is the correlation with the
    other picture mirrored.
    """
    small = interpolate(crops_NHW.unsqueeze(1).float(), size=(_SIDE, _SIDE), mode="area").squeeze(1)
    small = small - small.mean((1, 2), keepdim=True)
    small = small / small.norm(dim=(1, 2), keepdim=True).clamp_min(1e-6)
    left, right = small[..., : _SIDE // 2], small.flip(-1)[..., : _SIDE // 2]
    return ((left + right) / 2**0.5).flatten(1), ((left - right) / 2**0.5).flatten(1)


def near_duplicate_sounds(
    training: Sequence[NDArray[np.int16]], held_out: Sequence[NDArray[np.int16]]
) -> NDArray[np.bool_]:
    """Return which training sounds have exactly the samples of a held-out sound: bool [N]."""
    known = {hashlib.sha256(sound.tobytes()).digest() for sound in held_out}
    return np.array([hashlib.sha256(sound.tobytes()).digest() in known for sound in training], bool)
