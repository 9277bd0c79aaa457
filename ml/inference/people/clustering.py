"""Clustering of embeddings under constraints: who cannot be the same person is never joined.

Deterministic. Bounded work: items are clustered in blocks first, then the clusters of the blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import FloatArray

MAX_BLOCK = 400
"""Items that are clustered at once."""


@dataclass(frozen=True)
class Item:
    """Something with an identity.

    Attributes:
        embedding: unit vector [E].
        weight: how much it counts, such as seconds of speech.
        excludes: moments at which it is present; two items with a common moment are different people.
    """

    embedding: FloatArray
    weight: float
    excludes: frozenset[int]


@dataclass(frozen=True)
class _Cluster:
    members: tuple[int, ...]
    total: FloatArray
    weight: float
    excludes: frozenset[int]

    def joined(self, other: "_Cluster") -> "_Cluster":
        return _Cluster(
            self.members + other.members,
            self.total + other.total,
            self.weight + other.weight,
            self.excludes | other.excludes,
        )

    @property
    def centre(self) -> FloatArray:
        return self.total / max(float(np.linalg.norm(self.total)), 1e-9)


def cluster(
    items: Sequence[Item], threshold: float, *, min_clusters: int = 1, max_clusters: int | None = None
) -> NDArray[np.int64]:
    """Return the cluster of each item [N], numbered from 0 by falling weight.

    Joins the two most similar clusters, by the cosine of their weighted means, until none is above the threshold. If
    there are still more than `max_clusters`, joins on; stops at `min_clusters`. Constraints hold in any case, so that
    there may be more clusters than asked for.
    """
    if not items:
        return np.zeros(0, np.int64)
    clusters = [
        _Cluster((number,), item.embedding * item.weight, item.weight, item.excludes)
        for number, item in enumerate(items)
    ]
    while len(clusters) > MAX_BLOCK:
        blocks = [clusters[first : first + MAX_BLOCK] for first in range(0, len(clusters), MAX_BLOCK)]
        reduced = [each for block in blocks for each in _agglomerate(block, threshold, min_clusters, None)]
        if len(reduced) > 0.9 * len(clusters):
            break
        clusters = reduced
    clusters = _agglomerate(clusters, threshold, min_clusters, max_clusters)
    ordered = sorted(clusters, key=lambda each: (-each.weight, each.members[0]))
    numbers = np.zeros(len(items), np.int64)
    for number, each in enumerate(ordered):
        numbers[list(each.members)] = number
    return numbers


def _agglomerate(
    clusters: Sequence[_Cluster], threshold: float, min_clusters: int, max_clusters: int | None
) -> list[_Cluster]:
    remaining = list(clusters)
    similarities = _similarities(remaining)
    while len(remaining) > min_clusters:
        first, second = np.unravel_index(int(similarities.argmax()), similarities.shape)
        best = similarities[first, second]
        has_too_many = max_clusters is not None and len(remaining) > max_clusters
        if not np.isfinite(best) or (best < threshold and not has_too_many):
            break
        joined = remaining[first].joined(remaining[second])
        kept = [number for number in range(len(remaining)) if number not in (first, second)]
        remaining = [*(remaining[number] for number in kept), joined]
        similarities = similarities[np.ix_(kept, kept)]
        similarities = np.pad(similarities, ((0, 1), (0, 1)), constant_values=-np.inf)
        row = np.array([_similarity(joined, other) for other in remaining[:-1]], np.float32)
        similarities[:-1, -1] = row
    return remaining


def _similarities(clusters: Sequence[_Cluster]) -> FloatArray:
    """Return the similarity of each pair above the diagonal, −inf elsewhere and for pairs that exclude each other."""
    centres = np.array([each.centre for each in clusters], np.float32)
    similarities = np.where(np.triu(np.ones((len(clusters),) * 2, bool), 1), centres @ centres.T, -np.inf)
    for first, one in enumerate(clusters):
        for second in range(first + 1, len(clusters)):
            if not one.excludes.isdisjoint(clusters[second].excludes):
                similarities[first, second] = -np.inf
    return np.asarray(similarities, dtype=np.float32)


def _similarity(one: _Cluster, other: _Cluster) -> float:
    return float(one.centre @ other.centre) if one.excludes.isdisjoint(other.excludes) else -np.inf
