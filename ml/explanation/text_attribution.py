"""Why words read as they do: what changes when one is left out.

Leave-one-out, as in Li, Monroe and Jurafsky, "Understanding Neural Networks through Representation Erasure" (2016).
"""

import re
from dataclasses import dataclass

import numpy as np

from ml.inference.fusion.timeline import TextPredictor
from ml.vocabulary import EMOTIONS

MOST_WORDS = 120
"""Words of a text that are weighed; the rest is left as it is."""
_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class WeighedWord:
    """`weight`: by how much the log-probability of the emotion falls when the word is left out; negative where the word
    speaks against it. Null: not weighed."""

    word: str
    weight: float | None


@dataclass(frozen=True)
class WeighedText:
    emotion: str
    probability: float
    words: tuple[WeighedWord, ...]


def weigh_words(predictor: TextPredictor, text: str, emotion: str | None = None, *, before: str = "") -> WeighedText:
    """Every word's weight for the emotion, by default the one that is read. One batch of as many texts as words.
    `before`: what was said before the text."""
    places = [match.span() for match in _WORD.finditer(text)]
    without = [text[:start] + text[end:] for start, end in places[:MOST_WORDS]]
    readings = predictor.read([text, *without], [before] * (1 + len(without)))
    logs_NC = np.stack([words.evidence.log_probabilities for words in readings])
    target = int(logs_NC[0].argmax()) if emotion is None else EMOTIONS.index(emotion)
    weights = [*(logs_NC[0, target] - logs_NC[1:, target]).tolist(), *[None] * len(places)]
    words = zip((text[start:end] for start, end in places), weights, strict=False)
    probability = float(np.exp(logs_NC[0, target]))
    return WeighedText(EMOTIONS[target], probability, tuple(WeighedWord(word, weight) for word, weight in words))
