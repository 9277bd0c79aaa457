"""Agreement of raters: Cohen's and Fleiss' kappa, Krippendorff's alpha for categories, with bootstrap intervals.

Every statistic is a function of sums over units, so that a resample needs only the sums of its blocks. Units next to
each other in time are alike: blocks of time are drawn, not single units (block bootstrap; Künsch 1989).
"""

import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RESAMPLES = 200
COVERAGE = 0.95
"""Share of the resamples that the interval holds."""
_SEED = 7

Sums = Mapping[Any, float]
"""Sums over units by what they count, such as a pair of labels."""


@dataclass(frozen=True)
class Estimate:
    """A statistic and its interval. None: undefined, as with a single label, or too short for an interval."""

    value: float | None
    interval: tuple[float, float] | None


def cohen_kappa(pairs: Sums) -> float | None:
    """Return Cohen's kappa. `pairs`: number of units by (label of the first rater, label of the second)."""
    total = sum(pairs.values())
    if not total:
        return None
    same = sum(count for (first, second), count in pairs.items() if first == second) / total
    rows, columns = dict[Any, float](), dict[Any, float]()
    for (first, second), count in pairs.items():
        rows[first] = rows.get(first, 0.0) + count
        columns[second] = columns.get(second, 0.0) + count
    chance = sum(count * columns.get(label, 0.0) for label, count in rows.items()) / total**2
    return (same - chance) / (1 - chance) if chance < 1 else None


UNITS, AGREEMENT = "units", "agreement"
"""Keys of the sums of `fleiss_sums` in addition to labels."""


def fleiss_sums(labels: Sequence[Hashable]) -> dict[Any, float]:
    """Return the sums of one unit for `fleiss_kappa`: `labels` of all raters, at least two."""
    raters = len(labels)
    counts = {label: float(labels.count(label)) for label in set(labels)}
    agreement = (sum(count * count for count in counts.values()) - raters) / (raters * (raters - 1))
    return {UNITS: 1.0, AGREEMENT: agreement, **{("label", label): count for label, count in counts.items()}}


def fleiss_kappa(sums: Sums) -> float | None:
    """Return Fleiss' kappa (1971) of units that all raters rated."""
    units = sums.get(UNITS, 0.0)
    counts = [count for what, count in sums.items() if isinstance(what, tuple)]
    total = sum(counts)
    if not units or not total:
        return None
    chance = sum((count / total) ** 2 for count in counts)
    return (sums[AGREEMENT] / units - chance) / (1 - chance) if chance < 1 else None


def coincidences(labels: Sequence[Hashable]) -> dict[Any, float]:
    """Return the coincidences of one unit for `krippendorff_alpha`: each pair of labels of two raters."""
    found = dict[Any, float]()
    if len(labels) < 2:
        return found
    weight = 1 / (len(labels) - 1)
    for one, first in enumerate(labels):
        for other, second in enumerate(labels):
            if one != other:
                found[first, second] = found.get((first, second), 0.0) + weight
    return found


def krippendorff_alpha(sums: Sums) -> float | None:
    """Return Krippendorff's alpha for categories. Units may have any number of raters from two on."""
    marginals = dict[Any, float]()
    different = 0.0
    for (first, second), count in sums.items():
        marginals[first] = marginals.get(first, 0.0) + count
        different += count if first != second else 0.0
    total = sum(marginals.values())
    expected = total * total - sum(count * count for count in marginals.values())
    return 1 - (total - 1) * different / expected if expected > 1e-12 else None


def one_against_rest(sums: Sums, label: Hashable) -> dict[Any, float]:
    """Return pairs of labels as pairs of "is this label"."""
    collapsed = dict[Any, float]()
    for (first, second), count in sums.items():
        pair = first == label, second == label
        collapsed[pair] = collapsed.get(pair, 0.0) + count
    return collapsed


def total_of(blocks: Sequence[Sums]) -> dict[Any, float]:
    """Return the sums of all blocks together."""
    return _weighted(blocks, [1] * len(blocks))


def estimate(blocks: Sequence[Sums], statistic: Callable[[Sums], float | None]) -> Estimate:
    """Return the statistic over all blocks, and the interval over resamples of the blocks (percentiles)."""
    value = statistic(total_of(blocks))
    filled = [block for block in blocks if block]
    if value is None or len(filled) < 2:
        return Estimate(value, None)
    draw, places = random.Random(_SEED), range(len(filled))
    values = []
    for _ in range(RESAMPLES):
        counts = [0] * len(filled)
        for place in draw.choices(places, k=len(filled)):
            counts[place] += 1
        resampled = statistic(_weighted(filled, counts))
        if resampled is not None:
            values.append(resampled)
    if len(values) < RESAMPLES / 2:
        return Estimate(value, None)
    values.sort()
    edge = round((1 - COVERAGE) / 2 * (len(values) - 1))
    return Estimate(value, (values[edge], values[-1 - edge]))


def _weighted(blocks: Sequence[Sums], counts: Sequence[int]) -> dict[Any, float]:
    sums = dict[Any, float]()
    for block, count in zip(blocks, counts, strict=True):
        if count:
            for what, number in block.items():
                sums[what] = sums.get(what, 0.0) + count * number
    return sums
