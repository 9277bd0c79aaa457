"""Shots of a film: where one ends and the next begins, from signatures of the sampled frames.

A signature depends on its frame alone, so the parts of a long film give the same shots as the whole. It holds a small
grey picture and a histogram of the colours. After a cut both differ: the picture alone also does when the camera or
a person moves, the histogram alone when the light changes. Pictures are compared without their mean and contrast, so a
fade is no cut, and a frame that differs from both neighbours is a flash if these are alike.
"""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.inference.api import FloatArray

THUMBNAIL = 8
"""Side of the grey picture."""
_PIXELS = THUMBNAIL**2
_COLOUR_SIDE, _HUES, _SATURATIONS = 32, 8, 2
SIGNATURE_SIZE = _PIXELS + _HUES * _SATURATIONS
MIN_PICTURE_DIFFERENCE = 0.2
"""Minimum difference of two pictures, 1 − their correlation at the best shift, for a cut."""
MIN_COLOUR_DIFFERENCE = 0.15
"""Minimum share of the pixels that have other colours, for a cut."""
MIN_SUM = 0.5
"""Minimum sum of both differences for a cut."""
UNRELATED_PICTURES = 0.5
"""Difference of two pictures from which colours do not matter, as in a film without any."""
MIN_CONTRAST = 4.0
"""Standard deviation of the grey values (0 to 255) below which a frame shows nothing, as between two fades."""
MAX_BLANK_SECONDS = 2.0
"""Seconds of empty frames over which the frames before and after them are compared."""

Signature = NDArray[np.uint8]


def signature(image_HWC: NDArray[np.uint8]) -> Signature:
    """Return the signature of an RGB image: grey values in rows, then shares of colours (0..255)."""
    sampled = cv2.resize(image_HWC, (4 * _COLOUR_SIDE,) * 2, interpolation=cv2.INTER_LINEAR)
    small = cv2.resize(sampled, (_COLOUR_SIDE,) * 2, interpolation=cv2.INTER_AREA)
    grey = cv2.resize(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    hue, saturation, _ = np.moveaxis(cv2.cvtColor(small, cv2.COLOR_RGB2HSV_FULL).reshape(-1, 3), 1, 0)
    colours = (hue // (256 // _HUES)).astype(np.int64) * _SATURATIONS + (saturation >= 64)
    colours[saturation < 24] = 0
    shares = np.round(np.bincount(colours, minlength=_HUES * _SATURATIONS) * (255 / _COLOUR_SIDE**2))
    return np.concatenate([grey.ravel(), shares]).astype(np.uint8)


def begins_shot(before_S: Signature, after_S: Signature) -> bool:
    """Return whether a frame shows another scene than the one before. Empty frames do not."""
    is_shown = all(each[:_PIXELS].std() >= MIN_CONTRAST for each in (before_S, after_S))
    return is_shown and bool(_differ(before_S[None], after_S[None])[0])


def shot_starts(times: Sequence[float], signatures_FS: NDArray[np.uint8]) -> list[float]:
    """Return the times of the frames that begin a shot, apart from the first frame.

    A frame is compared with the last one that shows something; times are seconds, ascending.
    """
    shown = (
        np.flatnonzero(signatures_FS[:, :_PIXELS].std(1) >= MIN_CONTRAST) if len(signatures_FS) else np.zeros(0, int)
    )
    if len(shown) < 2:
        return []
    seconds = np.asarray(times, np.float64)[shown]
    rows = signatures_FS[shown]
    is_cut = _differ(rows[:-1], rows[1:]) & (np.diff(seconds) <= MAX_BLANK_SECONDS)
    is_cut |= np.diff(seconds) > MAX_BLANK_SECONDS
    for number in np.flatnonzero(is_cut[:-1] & is_cut[1:]):
        if not _differ(rows[number : number + 1], rows[number + 2 : number + 3])[0]:
            is_cut[number : number + 2] = False
    return [float(time) for time in seconds[1:][is_cut]]


def _differ(before_FS: NDArray[np.uint8], after_FS: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return whether each frame shows another scene than the one before it [F]."""
    pictures, colours = _picture_differences(before_FS, after_FS), _colour_differences(before_FS, after_FS)
    differs = (
        (pictures >= MIN_PICTURE_DIFFERENCE) & (colours >= MIN_COLOUR_DIFFERENCE) & (pictures + colours >= MIN_SUM)
    )
    return differs | (pictures >= UNRELATED_PICTURES)


def _picture_differences(before_FS: NDArray[np.uint8], after_FS: NDArray[np.uint8]) -> FloatArray:
    """Return 1 − the correlation of the pictures, at the best shift by up to one pixel [F]."""
    before, after = (
        rows[:, :_PIXELS].reshape(-1, THUMBNAIL, THUMBNAIL).astype(np.float32) for rows in (before_FS, after_FS)
    )
    best = np.full(len(before), -1.0, np.float32)
    for (y, x), (other_y, other_x) in _shifts():
        best = np.maximum(best, _correlations(before[:, y, x], after[:, other_y, other_x]))
    return 1 - best


@cache
def _shifts() -> tuple[tuple[tuple[slice, slice], tuple[slice, slice]], ...]:
    """Return the parts of two pictures that overlap, for each shift."""
    ends = {0: (slice(None), slice(None)), 1: (slice(1, None), slice(None, -1)), -1: (slice(None, -1), slice(1, None))}
    return tuple(((ends[y][0], ends[x][0]), (ends[y][1], ends[x][1])) for y in (0, 1, -1) for x in (0, 1, -1))


def _correlations(one_FHW: FloatArray, other_FHW: FloatArray) -> FloatArray:
    one, other = (
        (rows - rows.mean(1, keepdims=True)) / (rows.std(1, keepdims=True) + 1e-3)
        for rows in (one_FHW.reshape(len(one_FHW), -1), other_FHW.reshape(len(other_FHW), -1))
    )
    return np.asarray((one * other).mean(1), np.float32)


def _colour_differences(before_FS: NDArray[np.uint8], after_FS: NDArray[np.uint8]) -> FloatArray:
    """Return the share of pixels that have another colour [F]."""
    before, after = (rows[:, _PIXELS:].astype(np.float32) / 255 for rows in (before_FS, after_FS))
    return np.asarray(np.abs(before - after).sum(1) / 2, np.float32)
