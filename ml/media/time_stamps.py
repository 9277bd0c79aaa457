"""Time stamps of the packets of a file: where it really ends, and the gaps in which it has neither sound nor picture.

Recorders that were suspended, joined files and damaged clocks make time stamps jump. The times of a file stay as they
are, but nothing is decoded, searched or recognized in a gap.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_GAP_SECONDS = 10.0
"""Seconds without any packet from which there is a gap."""
GAP_INTERVALS = 10.0
"""Minimum length of a gap, as a multiple of the usual interval between the packets of each stream: a slide show whose
pictures follow each other slowly has no gaps."""
MAX_GAPS = 32
"""Maximum number of gaps; of more, the longest count."""
MAX_PACKET_SECONDS = 1.0
"""Seconds that a packet lasts at most. Some containers state the time to the next packet instead."""
LONE_SECONDS = 0.5
LONE_PACKETS = 8
"""Bounds on what follows the last gap for it to be stray packets far ahead, that do not belong to the media."""

Gap = tuple[float, float]
"""Start and end, in seconds."""


_STAMPED_FORMATS = frozenset({"matroska", "webm", "ogg", "flv", "asf", "mpeg", "mpegts"})
"""Containers that store the time of each packet, or page, without the number of packets."""
_COUNTED_FORMATS = frozenset({"mp4", "mov", "m4a"})
"""Containers that store the number of packets."""
_AAC_FRAME_SAMPLES = 1024


def may_jump(format_name: str, streams: Sequence[Mapping[str, Any]], duration: float) -> bool:
    """Return whether the time stamps may have a gap, by ffprobe's report of the `streams`: no stream has enough packets
    to fill the `duration`."""
    if duration < MIN_GAP_SECONDS:
        return False
    if format_name in _COUNTED_FORMATS:
        return not any(_filled_seconds(stream) > duration - MIN_GAP_SECONDS for stream in streams)
    return format_name in _STAMPED_FORMATS


def _filled_seconds(stream: Mapping[str, Any]) -> float:
    """Return the seconds that the packets of a stream last at its usual rate; 0 if that is unknown."""
    try:
        count = int(stream["nb_frames"])
        if stream["codec_type"] == "audio":
            return count * _AAC_FRAME_SAMPLES / float(stream["sample_rate"]) if stream["codec_name"] == "aac" else 0.0
        return count / float(Fraction(stream["r_frame_rate"]))
    except (LookupError, ValueError, ZeroDivisionError, OverflowError):
        return 0.0


@dataclass
class PacketTimes:
    """Time stamps of the packets of some streams, in seconds from the start of the file. Eight bytes for each."""

    starts: dict[int, "array[float]"] = field(default_factory=dict)
    lengths: dict[int, float] = field(default_factory=dict)
    """Longest length of a packet of each stream that its container states, up to `MAX_PACKET_SECONDS`."""
    end: float = 0.0
    """End of the last packet."""

    def add(self, stream: int, start: float, length: float) -> None:
        self.starts.setdefault(stream, array("d")).append(start)
        if length <= MAX_PACKET_SECONDS:
            self.lengths[stream] = max(self.lengths.get(stream, 0.0), length)
        self.end = max(self.end, start + length)

    def extent(self) -> "TimeExtent":
        """Return the gaps, and the end without stray packets."""
        arrays = {stream: np.sort(np.frombuffer(times)) for stream, times in self.starts.items()}
        if not arrays:
            return TimeExtent(None)
        min_gap = max(MIN_GAP_SECONDS, *(GAP_INTERVALS * _usual_interval(times) for times in arrays.values()))
        starts = np.concatenate(list(arrays.values()))
        ends = np.concatenate([times + self.lengths.get(stream, 0.0) for stream, times in arrays.items()])
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], np.maximum.accumulate(ends[order])
        before = np.flatnonzero(starts[1:] - ends[:-1] >= min_gap)
        end: float | None = None
        if len(before) and _is_lone(starts[before[-1] + 1 :]):
            end = float(ends[before[-1]])
            before = before[:-1]
        longest = sorted(before.tolist(), key=lambda index: ends[index] - starts[index + 1])[:MAX_GAPS]
        gaps = tuple((round(float(ends[index]), 3), round(float(starts[index + 1]), 3)) for index in sorted(longest))
        return TimeExtent(end, gaps)


@dataclass(frozen=True)
class TimeExtent:
    """`end`: seconds at which the media ends, if stray packets follow it, or else null. `gaps`: in order."""

    end: float | None
    gaps: tuple[Gap, ...] = ()


def _usual_interval(times: NDArray[np.float64]) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def _is_lone(starts: NDArray[np.float64]) -> bool:
    return len(starts) <= LONE_PACKETS and float(starts[-1] - starts[0]) <= LONE_SECONDS


def in_gap(time: float, gaps: Sequence[Gap]) -> bool:
    """Return whether nothing is shown or heard at a time: a gap begins with its start and ends before its end."""
    return any(start <= time < end for start, end in gaps)


def gap_seconds(gaps: Iterable[Gap]) -> float:
    return sum(end - start for start, end in gaps)


def grid_ranges(gaps: Sequence[Gap], rate: float) -> Iterator[tuple[int, int]]:
    """Yield for each gap the points k / `rate` in it: [first, last)."""
    for start, end in gaps:
        first, last = (int(np.ceil(edge * rate - 1e-6)) for edge in (start, end))
        if last > first:
            yield first, last
