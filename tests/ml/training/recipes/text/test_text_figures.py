"""Calibration by language, figures, and the languages that a model is said to read."""

import numpy as np
import pytest
import torch

from ml.inference.api import TextOutputs
from ml.training.datasets.example import Example
from ml.training.recipes.text.figures import MIN_CALIBRATED, TextCalibration, figures_of
from ml.training.recipes.text.publishing import languages_read
from ml.vocabulary import EMOTIONS


def sentences(language: str, count: int, right_share: float, sharpness: float) -> tuple[list[Example], TextOutputs]:
    """Return sentences of a language and answers that are right in a share of them, as sure as `sharpness` says."""
    generator = np.random.default_rng(len(language) + count)
    truth = generator.integers(0, len(EMOTIONS), count)
    answers = np.where(generator.random(count) < right_share, truth, (truth + 1) % len(EMOTIONS))
    logits = sharpness * np.eye(len(EMOTIONS))[answers]
    logs = torch.from_numpy(logits).log_softmax(-1).numpy().astype(np.float32)
    examples = [
        Example(
            EMOTIONS[index],
            f"brighter-{language}",
            "valid",
            text=str(row),
            language=language,
            target=tuple(float(each == index) for each in range(len(EMOTIONS))),
            sentiment="positive" if EMOTIONS[index] == "happy" else "negative",
            dimensions=(index / 7, index % 2, -index / 7),
        )
        for row, index in enumerate(truth)
    ]
    dimensions = np.stack([truth / 7, generator.random(count), truth / 7], axis=1).astype(np.float32)
    sentiment = np.tile(np.array([0.5, 0.2, 0.3], np.float32), (count, 1))
    return examples, TextOutputs(np.zeros((count, 1), np.float32), logs, sentiment, dimensions)


def joined(*parts: tuple[list[Example], TextOutputs]) -> tuple[list[Example], TextOutputs]:
    outputs = [part for _, part in parts]
    fields = ("embeddings_NE", "log_probabilities_NC", "sentiment_N3", "dimensions_N3")
    arrays = {name: np.concatenate([getattr(each, name) for each in outputs]) for name in fields}
    return [example for part, _ in parts for example in part], TextOutputs(**arrays)


def test_fit_gives_each_language_its_own_temperature() -> None:
    examples, outputs = joined(
        sentences("de", 400, 0.9, 3.0), sentences("sw", 400, 0.5, 9.0), sentences("tt", MIN_CALIBRATED - 1, 0.5, 9.0)
    )
    calibration = TextCalibration.fit(outputs, examples, range(len(examples)), 2.0, by_language=True)
    assert set(calibration.by_language) == {"de", "sw"}
    assert calibration.by_language["sw"] > 3 * calibration.by_language["de"]
    figures = figures_of(calibration.apply(outputs, examples), examples, resamples=10)
    assert figures["brighter-sw"]["ece"] < 0.05 and figures["brighter-de"]["ece"] < 0.05
    alone = TextCalibration.fit(outputs, examples, range(len(examples)), 2.0, by_language=False)
    assert alone.by_language == {}


def test_figures_name_the_language_and_correlate_the_dimensions() -> None:
    examples, outputs = sentences("de", 100, 0.9, 3.0)
    figures = figures_of(outputs, examples, resamples=10)
    assert figures["brighter-de"]["language"] == "de" and figures["brighter, sentiment"]["n"] == 100
    correlations = figures["brighter-de, dimensions"]
    assert correlations["valence_r"] == pytest.approx(1.0) and correlations["dominance_r"] == pytest.approx(-1.0)


def test_languages_read_have_enough_sentences_and_a_good_figure() -> None:
    def row(language: str, n: int, macro_f1: float) -> dict[str, object]:
        return {"language": language, "n": n, "macro_f1": macro_f1}

    metrics = {
        "brighter-deu": row("de", 100, 0.5),
        "brighter-vmw": row("vmw", 100, 0.15),
        "brighter-ron": row("ro", 30, 0.9),
        "xed-projections-fi": row("fi", 100, 0.3),
        "xed-projections-vmw": row("vmw", 100, 0.1),
        "emobank": {"n": 100, "valence_r": 0.6},
    }
    assert languages_read(metrics) == ["de", "fi"]
