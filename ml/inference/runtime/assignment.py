"""Assignment of rows to columns at the least total cost.

scipy's function of this name takes 39 MB of memory in each process; here a handful of faces is assigned.
"""

import math
from collections.abc import Sequence


def linear_sum_assignment(costs: Sequence[Sequence[float]]) -> tuple[list[int], list[int]]:
    """Return row indices, ascending, and their column indices, as scipy.optimize.linear_sum_assignment does.

    Each row gets a column of its own; if there are more rows than columns, each column gets a row. Costs are finite.
    Shortest augmenting paths over reduced costs (Jonker and Volgenant, 1987): on the order of n³ steps.
    """
    if len(costs) > len(costs[0]):
        columns, rows = linear_sum_assignment(list(zip(*costs, strict=True)))
        pairs = sorted(zip(rows, columns, strict=True))
        return [row for row, _ in pairs], [column for _, column in pairs]
    width = len(costs[0])
    row_prices, column_prices = [0.0] * len(costs), [0.0] * (width + 1)
    row_of: list[int | None] = [None] * (width + 1)  # the last column holds the row that is being assigned
    for row in range(len(costs)):
        row_of[width] = row
        _augment(costs, row_prices, column_prices, row_of)
    pairs = sorted((row, column) for column, row in enumerate(row_of[:width]) if row is not None)
    return [row for row, _ in pairs], [column for _, column in pairs]


def _augment(
    costs: Sequence[Sequence[float]], row_prices: list[float], column_prices: list[float], row_of: list[int | None]
) -> None:
    """Assign the row at the end of `row_of` to a column, moving rows along the shortest augmenting path."""
    width = len(row_of) - 1
    slack, previous = [math.inf] * width, [width] * width
    visited: list[int] = []
    column = width
    while (row := row_of[column]) is not None:
        visited.append(column)
        for other in range(width):
            reduced = costs[row][other] - row_prices[row] - column_prices[other]
            if other not in visited and reduced < slack[other]:
                slack[other], previous[other] = reduced, column
        following = min((other for other in range(width) if other not in visited), key=slack.__getitem__)
        step = slack[following]
        for seen in visited:
            assigned = row_of[seen]
            assert assigned is not None
            row_prices[assigned] += step
            column_prices[seen] -= step
        slack = [slack[other] - step if other not in visited else slack[other] for other in range(width)]
        column = following
    while column != width:
        row_of[column] = row_of[previous[column]]
        column = previous[column]
