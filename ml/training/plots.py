"""Plots of evaluation figures: confusion matrix and reliability diagram."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ml.training.metrics import ECE_BINS, ClassificationMetrics


def write_confusion(metrics: ClassificationMetrics, path: Path) -> None:
    """Write the confusion matrix: truth by row, shares of the row as colour, counts as numbers."""
    counts = np.array(metrics.confusion)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(metrics.labels))
    axes.set_xticks(places, metrics.labels, rotation=45)
    axes.set_yticks(places, metrics.labels)
    for row in places:
        for column in places:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour)
    axes.set(xlabel="predicted", ylabel="truth", title=f"accuracy {metrics.accuracy:.3f}, UAR {metrics.uar:.3f}")
    _save(figure, path)


def write_reliability(metrics: ClassificationMetrics, path: Path) -> None:
    """Write the accuracy by confidence, with the number of examples of each bin as bars below."""
    bins = metrics.reliability
    edges = np.arange(ECE_BINS) / ECE_BINS + 0.5 / ECE_BINS
    filled = [place for place, (count, _, _) in enumerate(bins) if count]
    figure = Figure(figsize=(5.4, 5.8), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    upper.plot([0, 1], [0, 1], "--", color="grey", label="perfect calibration")
    upper.plot([bins[p][1] for p in filled], [bins[p][2] for p in filled], "o-", label="measured")
    upper.set(ylabel="accuracy", ylim=(0, 1), title=f"expected calibration error {metrics.ece:.3f}")
    upper.legend()
    lower.bar(edges, [count for count, _, _ in bins], width=0.9 / ECE_BINS)
    lower.set(xlabel="confidence", ylabel="number", xlim=(0, 1))
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
