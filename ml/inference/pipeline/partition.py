"""Long recordings in parts: chunks of one absolute time grid, whoever works on them."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TypeVar

from ml.inference.api import TimeSpan
from ml.media import MediaInfo

CHUNK_SECONDS = 60.0
"""A part is a row of whole chunks. At each border the faces that wait are read: which crops go through the network
together does not depend on who works on what."""

SEEKABLE = frozenset({"mp4", "mov", "m4a", "matroska", "webm"})
"""Containers in which decoding may begin at any time and give the very frames of the whole: they hold an index."""

Item = TypeVar("Item")


def parts_over(seconds: float, part_seconds: float) -> tuple[TimeSpan, ...]:
    """Parts of about `part_seconds` (whole chunks, at least one) that cover 0..`seconds`; the last has no end, as where
    the media ends is known only when it is decoded."""
    chunks = max(1, math.ceil(seconds / CHUNK_SECONDS - 1e-9))
    each = max(1, round(part_seconds / CHUNK_SECONDS))
    edges = [first * CHUNK_SECONDS for first in range(0, chunks, each)]
    return tuple(TimeSpan(start, end) for start, end in zip(edges, [*edges[1:], math.inf], strict=True))


WHOLE = TimeSpan(0.0, math.inf)


def splits_well(info: MediaInfo) -> bool:
    """Whether parts of the media can be decoded alone. Sound is decoded once for all parts, so that its container does
    not matter."""
    return not info.has_video or info.format in SEEKABLE


def chunk_of(time: float) -> int:
    return int(time // CHUNK_SECONDS)


def within(part: TimeSpan, items: Sequence[Item], start: Callable[[Item], float]) -> Sequence[Item]:
    """Those of some items in order of time that begin in the part."""
    starts = [start(item) for item in items]
    return items[bisect_left(starts, part.start) : bisect_left(starts, part.end)]
