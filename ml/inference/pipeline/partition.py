"""Parts of long recordings. Their borders are on an absolute grid, so results do not depend on who runs which part."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TypeVar

from ml.inference.api import TimeSpan
from ml.media import MediaInfo

CHUNK_SECONDS = 60.0
"""Seconds of a chunk; a part is a sequence of whole chunks. Pending faces are read at each border, so that which crops
share a batch does not depend on the parts."""

SEEKABLE_FORMATS = frozenset({"mp4", "mov", "m4a", "matroska", "webm"})
"""Containers with an index: decoding can begin at any time and gives exactly the frames of a full pass."""

Item = TypeVar("Item")


def split_into_parts(seconds: float, part_seconds: float) -> tuple[TimeSpan, ...]:
    """Return parts of about `part_seconds` (whole chunks, at least one) that cover 0..`seconds`.

    The last part has no end, because the exact length of the media is known only once it is decoded.
    """
    chunks = max(1, math.ceil(seconds / CHUNK_SECONDS - 1e-9))
    chunks_per_part = max(1, round(part_seconds / CHUNK_SECONDS))
    starts = [first * CHUNK_SECONDS for first in range(0, chunks, chunks_per_part)]
    return tuple(TimeSpan(start, end) for start, end in zip(starts, [*starts[1:], math.inf], strict=True))


def is_seekable(info: MediaInfo) -> bool:
    """Return whether each part can be decoded by itself. Only video matters: audio is decoded once for all parts."""
    return not info.has_video or info.format in SEEKABLE_FORMATS


def chunk_index(time: float) -> int:
    return int(time // CHUNK_SECONDS)


def items_starting_in(part: TimeSpan, items: Sequence[Item], start: Callable[[Item], float]) -> Sequence[Item]:
    """Return the items that start in the part. `items` are in order of time; `start` returns the seconds of one."""
    starts = [start(item) for item in items]
    return items[bisect_left(starts, part.start) : bisect_left(starts, part.end)]
