import math

import pytest

from ml.inference.api import TimeSpan
from ml.inference.speech.confidence import word_confidences
from ml.inference.speech.recognizer import RecognizedWord
from ml.inference.speech.sentences import Sentence


def _sentence(start: float, end: float, probability: float) -> Sentence:
    word = RecognizedWord(start, end, " word", probability)
    return Sentence((word,), math.log(probability))


def test_word_confidences_are_those_of_the_sentences_by_shared_time() -> None:
    sentences = [_sentence(0, 2, 0.9), _sentence(2, 4, 0.4), Sentence((), -1.0)]
    first, both, silent = word_confidences(sentences, [TimeSpan(0, 2), TimeSpan(1, 3), TimeSpan(8, 9)])
    assert first == pytest.approx(0.9) and both == pytest.approx(0.6)
    assert math.isnan(silent)
