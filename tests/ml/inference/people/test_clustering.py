import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.inference.api import FloatArray
from ml.inference.people import clustering
from ml.inference.people.clustering import Item, cluster


def unit(*values: float) -> FloatArray:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def item(embedding: FloatArray, weight: float = 1.0, *moments: int) -> Item:
    return Item(embedding, weight, frozenset(moments))


A, NEAR_A, B = unit(1, 0, 0), unit(1, 0.2, 0), unit(0, 1, 0)


def test_similar_items_are_joined_and_clusters_are_numbered_by_weight() -> None:
    assert cluster([item(A), item(B, 5), item(NEAR_A)], 0.5).tolist() == [1, 0, 1]


def test_items_of_one_moment_are_never_joined() -> None:
    items = [item(A, 1, 7), item(A, 1, 7), item(A, 1, 8)]
    numbers = cluster(items, 0.5, max_clusters=1)
    assert numbers[0] != numbers[1]
    assert len(set(numbers.tolist())) == 2


def test_max_clusters_joins_below_the_threshold() -> None:
    assert set(cluster([item(A), item(B)], 0.5, max_clusters=1).tolist()) == {0}


def test_min_clusters_stops_above_the_threshold() -> None:
    assert len(set(cluster([item(A), item(NEAR_A), item(A)], 0.5, min_clusters=2).tolist())) == 2


def test_many_items_are_clustered_in_blocks_like_few(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [item(unit(*np.eye(4)[n % 3] + 0.01 * n), 1, n // 3) for n in range(30)]
    whole = cluster(items, 0.5)
    monkeypatch.setattr(clustering, "MAX_BLOCK", 7)
    assert cluster(items, 0.5).tolist() == whole.tolist()
    assert len(set(whole.tolist())) == 3


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=12))
def test_clusters_are_consecutive_numbers_and_hold_the_constraints(drawn: list[tuple[int, int]]) -> None:
    items = [item(unit(*np.eye(4)[person] + 0.05), 1, moment) for person, moment in drawn]
    numbers = cluster(items, 0.5).tolist()
    assert sorted(set(numbers)) == list(range(len(set(numbers))))
    for first, one in enumerate(items):
        for second in range(first):
            if one.excludes & items[second].excludes:
                assert numbers[first] != numbers[second]
