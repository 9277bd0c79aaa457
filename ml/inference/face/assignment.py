"""The cheapest way to pair rows with columns.

Of our own, because the library that has it takes 39 MB in each process, for a handful of faces.
"""

import math
from collections.abc import Sequence


def cheapest_pairs(costs: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Each row with a column of its own, or each column with a row where there are more rows, at the least total cost.

    Finite costs. Shortest augmenting paths over reduced costs (Jonker and Volgenant, 1987): of the order of n³ steps.
    """
    if len(costs) > len(costs[0]):
        turned = list(zip(*costs, strict=True))
        return sorted((row, column) for column, row in cheapest_pairs(turned))
    width = len(costs[0])
    row_price, column_price = [0.0] * len(costs), [0.0] * (width + 1)
    row_of: list[int | None] = [None] * (width + 1)  # the last column is where a new row begins
    for row in range(len(costs)):
        row_of[width] = row
        _lengthen(costs, row_price, column_price, row_of)
    pairs = ((taken, column) for column, taken in enumerate(row_of[:width]) if taken is not None)
    return sorted(pairs)


def _lengthen(
    costs: Sequence[Sequence[float]], row_price: list[float], column_price: list[float], row_of: list[int | None]
) -> None:
    """Finds a column for the row that waits at the end of `row_of`, by moving rows along the cheapest path."""
    width = len(row_of) - 1
    slack, came_from = [math.inf] * width, [width] * width
    visited: list[int] = []
    column = width
    while (row := row_of[column]) is not None:
        visited.append(column)
        for other in range(width):
            reduced = costs[row][other] - row_price[row] - column_price[other]
            if other not in visited and reduced < slack[other]:
                slack[other], came_from[other] = reduced, column
        following = min((other for other in range(width) if other not in visited), key=slack.__getitem__)
        step = slack[following]
        for seen in visited:
            taken = row_of[seen]
            assert taken is not None
            row_price[taken] += step
            column_price[seen] -= step
        slack = [slack[other] - step if other not in visited else slack[other] for other in range(width)]
        column = following
    while column != width:
        row_of[column] = row_of[came_from[column]]
        column = came_from[column]
