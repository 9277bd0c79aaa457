"""The assignment, compared with SciPy's."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from ml.inference.runtime.assignment import linear_sum_assignment

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
def test_linear_sum_assignment_costs_as_much_as_scipys(costs: list[list[float]]) -> None:
    rows, columns = linear_sum_assignment(costs)
    assert rows == sorted(rows)
    assert len(set(rows)) == len(set(columns)) == len(rows) == min(len(costs), len(costs[0]))
    table = np.array(costs)
    best = table[optimize.linear_sum_assignment(table)].sum()
    assert abs(sum(costs[row][column] for row, column in zip(rows, columns, strict=True)) - best) <= 1e-9 * max(best, 1)
