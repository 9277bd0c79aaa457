"""Where the windows lie, and how their readings add up to one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import TimeSpan


def windows_over(duration: float, window: float, hop: float) -> tuple[TimeSpan, ...]:
    """Windows that start at k·hop and together cover 0..duration.

    The first that reaches the end is cut there and is the last. Seconds throughout; no duration, no windows.
    """
    spans: list[TimeSpan] = []
    while duration > 0:
        start = len(spans) * hop
        end = max(start + window, (len(spans) + 1) * hop)  # by rounding alone the next would start a trace later
        spans.append(TimeSpan(start, min(end, duration)))
        if end >= duration:
            break
    return tuple(spans)


def second_weights(spans: Sequence[TimeSpan]) -> NDArray[np.float64]:
    """How many seconds each span stands for when every second that is covered counts once: [len(spans)].

    A second under several spans is shared among them equally.
    """
    starts, ends = (np.array([getattr(span, edge) for span in spans], dtype=float) for edge in ("start", "end"))
    edges = np.unique(np.concatenate([starts, ends]))
    first, last = np.searchsorted(edges, starts), np.searchsorted(edges, ends)
    change = np.zeros(len(edges))
    np.add.at(change, first, 1)
    np.add.at(change, last, -1)
    covering = np.cumsum(change)[:-1]
    share = np.divide(np.diff(edges), covering, out=np.zeros_like(covering), where=covering > 0)
    until = np.concatenate([[0.0], np.cumsum(share)])
    return until[last] - until[first]
