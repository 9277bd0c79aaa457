"""Windows over a recording, and the weights of their readings in the overall one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import TimeSpan


def windows_over(duration: float, window: float, hop: float) -> tuple[TimeSpan, ...]:
    """Return windows that start at k·hop and together cover 0..duration, all in seconds; none for a duration of 0.

    The first window that reaches the end is cut there and is the last.
    """
    spans: list[TimeSpan] = []
    while duration > 0:
        start = len(spans) * hop
        end = max(start + window, (len(spans) + 1) * hop)  # rounding alone would leave a gap before the next one
        spans.append(TimeSpan(start, min(end, duration)))
        if end >= duration:
            break
    return tuple(spans)


def second_weights(spans: Sequence[TimeSpan]) -> NDArray[np.float64]:
    """Return the seconds that each span represents if every covered second counts once: [len(spans)].

    A second in several spans is shared equally among them.
    """
    starts, ends = (np.array([getattr(span, edge) for span in spans], dtype=float) for edge in ("start", "end"))
    edges = np.unique(np.concatenate([starts, ends]))
    first, last = np.searchsorted(edges, starts), np.searchsorted(edges, ends)
    change = np.zeros(len(edges))
    np.add.at(change, first, 1)
    np.add.at(change, last, -1)
    covering = np.cumsum(change)[:-1]
    share = np.divide(np.diff(edges), covering, out=np.zeros_like(covering), where=covering > 0)
    cumulative = np.concatenate([[0.0], np.cumsum(share)])
    return cumulative[last] - cumulative[first]
