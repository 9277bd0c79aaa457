"""The cheapest pairs, against SciPy's."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from ml.inference.face.assignment import cheapest_pairs

SIDES = st.tuples(st.integers(1, 9), st.integers(1, 9))
COSTS = SIDES.flatmap(
    lambda sides: st.lists(
        st.lists(
            st.sampled_from([0.0, 0.1, 0.25, 1.0, 3.0, 1e6]) | st.floats(0, 2), min_size=sides[1], max_size=sides[1]
        ),
        min_size=sides[0],
        max_size=sides[0],
    )
)


@given(COSTS)
def test_no_other_pairs_cost_less(costs: list[list[float]]) -> None:
    pairs = cheapest_pairs(costs)
    rows, columns = zip(*pairs, strict=True)
    assert len(set(rows)) == len(set(columns)) == len(pairs) == min(len(costs), len(costs[0]))
    table = np.array(costs)
    best = table[linear_sum_assignment(table)].sum()
    assert abs(sum(costs[row][column] for row, column in pairs) - best) <= 1e-9 * max(best, 1)
