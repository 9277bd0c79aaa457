"""Explanation of a text's reading: how it changes if one word is left out.

Leave-one-out, as in Li, Monroe and Jurafsky, "Understanding Neural Networks through Representation Erasure" (2016).
"""

from dataclasses import dataclass

import numpy as np

from ml.inference.text.predictor import TextPredictor, TextSample
from ml.scripts import word_spans
from ml.vocabulary import EMOTIONS

MAX_WORDS = 120
"""Maximum number of words of a text that are weighed."""


@dataclass(frozen=True)
class WordWeight:
    """A word and its weight: by how much the emotion's log-probability falls without the word. Negative if the word
    counts against the emotion; None if it was not weighed."""

    word: str
    weight: float | None


@dataclass(frozen=True)
class TextAttribution:
    """Weights of a text's words for an emotion, and the emotion's probability."""

    emotion: str
    probability: float
    words: tuple[WordWeight, ...]


def attribute_words(
    predictor: TextPredictor, text: str, emotion: str | None = None, *, before: str = "", language: str | None = None
) -> TextAttribution:
    """Weigh every word for the emotion (by default the predicted one), in one batch of as many texts as words.

    `before`: the words spoken before the text. `language`: ISO 639 code of the text's language.
    """
    spans = word_spans(text)
    without_word = [text[:start] + text[end:] for start, end in spans[:MAX_WORDS]]
    samples = [TextSample(each, before, language) for each in (text, *without_word)]
    logs_NC = predictor.predict(samples).log_probabilities_NC
    target = int(logs_NC[0].argmax()) if emotion is None else EMOTIONS.index(emotion)
    weights = [*(logs_NC[0, target] - logs_NC[1:, target]).tolist(), *[None] * len(spans)]
    words = zip((text[start:end] for start, end in spans), weights, strict=False)
    probability = float(np.exp(logs_NC[0, target]))
    return TextAttribution(EMOTIONS[target], probability, tuple(WordWeight(word, weight) for word, weight in words))
