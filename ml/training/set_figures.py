"""Figures of `labels_90`: how often the sets hold the label, and how large they are."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ml.inference.fusion.label_sets import covered, set_sizes
from ml.results import MAX_CERTAIN_LABELS


@dataclass(frozen=True)
class SetFigures:
    """Share of sets that hold the label, mean size of the sets, and share of readings that are uncertain."""

    coverage: float
    size: float
    uncertain: float

    @classmethod
    def of(
        cls,
        probabilities_NC: NDArray[np.floating],
        targets_N: NDArray[np.int64],
        threshold: float | NDArray[np.floating],
        weights_N: NDArray[np.floating] | None = None,
    ) -> Self:
        """Return the figures of the sets with one threshold, or one for each row. `weights_N`: null for equal ones."""
        sizes_N = set_sizes(probabilities_NC, threshold)
        values = (covered(probabilities_NC, targets_N, threshold), sizes_N, sizes_N > MAX_CERTAIN_LABELS)
        return cls(*(float(np.average(each_N, weights=weights_N)) for each_N in values))

    def json(self) -> dict[str, float]:
        return asdict(self)

    def line(self) -> str:
        return f"coverage {self.coverage:.3f}, labels {self.size:.2f}, uncertain {self.uncertain:.1%}"


def figures_by_group(
    rows: Sequence[Any],
    group: Callable[[Any], str],
    probabilities_NC: NDArray[np.floating],
    targets_N: NDArray[np.int64],
    threshold: float,
) -> dict[str, SetFigures]:
    """Return the figures of all rows, and of each group that has a name, if there are several."""
    names_N = np.array([group(row) for row in rows])
    names = sorted(set(names_N.tolist()) - {""})
    chosen = {"all": np.ones(len(rows), bool)}
    if len(names) > 1:
        chosen |= {name: names_N == name for name in names}
    return {name: SetFigures.of(probabilities_NC[own], targets_N[own], threshold) for name, own in chosen.items()}
