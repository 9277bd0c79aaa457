"""Calibration of a text network on held-out sentences, and its figures."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ml.inference.api import TextOutputs
from ml.networks.text import DIMENSIONS, TextNet
from ml.training.datasets.example import Example
from ml.training.metrics import RESAMPLES, fit_temperature, measure
from ml.training.recipes.recipe import parts_of
from ml.training.recipes.text.data import has_one_label, set_of
from ml.vocabulary import EMOTIONS, SENTIMENTS

MIN_CALIBRATED = 60
"""Minimum held-out sentences with one label of a language that has a temperature of its own."""


@dataclass(frozen=True)
class TextCalibration:
    """Temperatures of the emotions and of the sentiments.

    `by_language`: those of languages with enough sentences, by ISO 639 code; the others have `temperature`.
    """

    temperature: float
    sentiment: float = 1.0
    by_language: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        outputs: TextOutputs,
        examples: Sequence[Example],
        rows: Sequence[int],
        temperature: float,
        *,
        by_language: bool,
    ) -> Self:
        """Fit on some rows of outputs that have no temperature; `temperature` is that of the emotions over all."""
        return cls(
            temperature,
            _sentiment_temperature(outputs, examples, rows),
            dict(_language_temperatures(outputs, examples, rows)) if by_language else {},
        )

    def apply(self, outputs: TextOutputs, examples: Sequence[Example]) -> TextOutputs:
        """Return the outputs as they are served."""
        divisors_N = [self.by_language.get(example.language or "", self.temperature) for example in examples]
        logits_NC = torch.from_numpy(outputs.log_probabilities_NC) / torch.tensor(divisors_N)[:, None]
        sentiment_N3 = (torch.from_numpy(outputs.sentiment_N3).log() / self.sentiment).softmax(-1)
        return replace(
            outputs, log_probabilities_NC=logits_NC.log_softmax(-1).numpy(), sentiment_N3=sentiment_N3.numpy()
        )

    @torch.no_grad()
    def scale_sentiment(self, network: TextNet) -> None:
        """Divide the weights of the head of sentiments by its temperature."""
        for parameter in network.sentiment.parameters():
            parameter.div_(self.sentiment)


def _sentiment_temperature(outputs: TextOutputs, examples: Sequence[Example], rows: Sequence[int]) -> float:
    known = [(row, SENTIMENTS.index(name)) for row in rows if (name := examples[row].sentiment)]
    if not known:
        return 1.0
    logs_N3 = torch.from_numpy(outputs.sentiment_N3[[row for row, _ in known]]).log()
    return fit_temperature(logs_N3, torch.tensor([index for _, index in known]))


def _language_temperatures(
    outputs: TextOutputs, examples: Sequence[Example], rows: Sequence[int]
) -> Iterator[tuple[str, float]]:
    """Yield the temperatures of languages; each data set of a language has the same weight."""
    rows_by_language: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        if has_one_label(examples[row]):
            rows_by_language[examples[row].language or ""].append(row)
    for language, own in sorted(rows_by_language.items()):
        if len(own) < MIN_CALIBRATED:
            continue
        names = [set_of(examples[row].dataset) for row in own]
        weights_N = torch.tensor([1 / names.count(name) for name in names])
        targets_N = torch.tensor([examples[row].index for row in own])
        yield language, fit_temperature(torch.from_numpy(outputs.log_probabilities_NC[own]), targets_N, weights_N)


def figures_of(
    outputs: TextOutputs, examples: Sequence[Example], resamples: int = RESAMPLES
) -> dict[str, dict[str, Any]]:
    """Return figures by data set.

    Those of emotions are on sentences with one label, and name their language; those of sentiments are on sentences
    with a known sentiment, over all languages of a set; dimensions have their correlation with the ratings.
    """
    return {
        **_emotion_figures(examples, np.exp(outputs.log_probabilities_NC), resamples),
        **_sentiment_figures(examples, outputs.sentiment_N3, resamples),
        **_dimension_figures(examples, outputs.dimensions_N3),
    }


def _emotion_figures(
    examples: Sequence[Example], probabilities_NC: NDArray[np.float32], resamples: int
) -> dict[str, dict[str, Any]]:
    figures = {}
    for dataset, part in parts_of(examples).items():
        rows = [row for row in part if has_one_label(examples[row])]
        if not rows:
            continue
        targets = np.array([examples[row].index for row in rows])
        languages = {examples[row].language for row in rows}
        figures[dataset] = measure(probabilities_NC[rows], targets, EMOTIONS, resamples=resamples).json()
        if len(languages) == 1:
            figures[dataset]["language"] = languages.pop()
    return figures


def _sentiment_figures(
    examples: Sequence[Example], probabilities_N3: NDArray[np.float32], resamples: int
) -> dict[str, dict[str, Any]]:
    figures = {}
    merged = [replace(example, dataset=set_of(example.dataset)) for example in examples]
    for dataset, part in parts_of(merged).items():
        rows = [row for row in part if examples[row].sentiment]
        if not rows:
            continue
        targets = np.array([SENTIMENTS.index(name) for row in rows if (name := examples[row].sentiment)])
        metrics = measure(probabilities_N3[rows], targets, SENTIMENTS, resamples=resamples)
        figures[f"{dataset}, sentiment"] = metrics.json()
    return figures


def _dimension_figures(
    examples: Sequence[Example], dimensions_N3: NDArray[np.float32] | None
) -> dict[str, dict[str, Any]]:
    if dimensions_N3 is None:
        return {}
    figures: dict[str, dict[str, Any]] = {}
    for dataset, part in parts_of(examples).items():
        rated = [(row, values) for row in part if (values := examples[row].dimensions)]
        if len(rated) < 2:
            continue
        answers_N3, truth_N3 = dimensions_N3[[row for row, _ in rated]], np.array([values for _, values in rated])
        correlations = [np.corrcoef(answers_N3[:, place], truth_N3[:, place])[0, 1] for place in range(len(DIMENSIONS))]
        named = {f"{name}_r": float(value) for name, value in zip(DIMENSIONS, correlations, strict=True)}
        figures[f"{dataset}, dimensions"] = {"n": len(rated), **named}
    return figures
