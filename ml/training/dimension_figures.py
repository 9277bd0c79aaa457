"""Figures of valence and arousal: their agreement with sentiment, and with the ratings of EmoBank."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ml.errors import InvalidManifest
from ml.inference.fusion import dimensions
from ml.inference.text.models import TextModels
from ml.inference.text.predictor import TextSample
from ml.registry import ModelStore
from ml.training.datasets.example import Example
from ml.training.datasets.text_corpora import read_sentences
from ml.vocabulary import SENTIMENTS

SETS = ("meld", "sst", "emobank")
SOURCES = ("words", "emotions")
"""Origins of the dimensions that are compared: the model that reads words, and the map from their emotions."""


@dataclass(frozen=True)
class ReadSentences:
    """Sentences with valence and arousal [N, 2] by each source; NaN if it does not know them."""

    examples: Sequence[Example]
    by_source: dict[str, NDArray[np.float64]]


def dimension_figures(data: Path, store: Path, bundle: str, sample: int | None) -> dict[str, Any]:
    """Return for each data set and source how well the dimensions agree with what people said.

    `data`: folder of collected text; `sample`: sentences of each data set, null for all of its held-out ones. For
    sentiment: the mean valence of each, and how often a positive sentence has a higher valence than a negative one. For
    ratings: Pearson's r. Raises InvalidManifest.
    """
    published = ModelStore(store)
    models = TextModels.load(published, published.bundle(bundle), torch.device("cpu"))
    figures: dict[str, Any] = {}
    for name in SETS:
        held_out = [each for each in read_sentences(data, [name]) if each.split != "train"]
        chosen = np.random.default_rng(0).permutation(len(held_out))[: sample or len(held_out)]
        if not len(chosen):
            raise InvalidManifest(f"{data.name} has no held-out sentences of {name}")
        read = _read(models, [held_out[row] for row in sorted(chosen)])
        figures[name] = {source: _agreement(read.examples, values) for source, values in read.by_source.items()}
    return figures


def _read(models: TextModels, examples: Sequence[Example]) -> ReadSentences:
    readings = models.read([TextSample(each.text or "", "", "en") for each in examples])
    values = {source: np.full((len(examples), 2), np.nan) for source in SOURCES}
    for row, reading in enumerate(readings):
        if reading is None:
            continue
        mapped = dimensions.of_emotions(reading.features.log_probabilities)
        values["emotions"][row] = mapped.valence, mapped.arousal
        if reading.dimensions is not None:
            values["words"][row] = reading.dimensions[:2]
    return ReadSentences(examples, values)


def _agreement(examples: Sequence[Example], values: NDArray[np.float64]) -> dict[str, Any]:
    known = np.asarray(~np.isnan(values).any(1), np.bool_)
    if not known.any():
        return {"n": 0}
    figures: dict[str, Any] = {"n": int(known.sum())}
    sentiments = np.array([each.sentiment or "" for each in examples])
    groups = {name: values[known & (sentiments == name), 0] for name in SENTIMENTS}
    if len(groups["negative"]) and len(groups["positive"]):
        figures["mean_valence"] = {name: round(float(own.mean()), 3) for name, own in groups.items() if len(own)}
        figures["positive_above_negative"] = round(_above(groups["positive"], groups["negative"]), 3)
    rated = [(row, each.dimensions) for row, each in enumerate(examples) if each.dimensions and known[row]]
    if rated:
        truth = np.array([ratings[:2] for _, ratings in rated])
        own = values[[row for row, _ in rated]]
        for column, name in enumerate(("valence", "arousal")):
            figures[f"{name}_r"] = round(float(np.corrcoef(own[:, column], truth[:, column])[0, 1]), 3)
    return figures


def _above(high: NDArray[np.float64], low: NDArray[np.float64]) -> float:
    """Return the share of pairs in which the first is above the second; equal ones count half (area under ROC)."""
    ranks = np.searchsorted(np.sort(low), high, "left") + np.searchsorted(np.sort(low), high, "right")
    return float(ranks.mean() / 2 / len(low))


def dimension_table(figures: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    lines = ["| Data | Source | n | Mean valence negative, neutral, positive | Positive above negative | r | "]
    lines[0] = lines[0].strip()
    lines.append("|---|---|---|---|---|---|")
    for name, by_source in figures.items():
        for source, own in by_source.items():
            means = ", ".join(f"{value:+.2f}" for value in own.get("mean_valence", {}).values()) or "–"
            above = own.get("positive_above_negative")
            r = ", ".join(f"{each} {own[f'{each}_r']:.2f}" for each in ("valence", "arousal") if f"{each}_r" in own)
            cells = (name, source, f"{own['n']:,}", means, "–" if above is None else f"{above:.2f}", r or "–")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
