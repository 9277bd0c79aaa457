"""Valence and arousal of emotions, and their combination."""

import numpy as np
import pytest

from ml.inference.fusion import dimensions
from ml.results import Dimensions
from ml.vocabulary import EMOTIONS
from tests.toy_models import leaning


def sure(emotion: str) -> np.ndarray:
    logs = np.full(len(EMOTIONS), -30.0, np.float32)
    logs[EMOTIONS.index(emotion)] = 0
    return logs


@pytest.mark.parametrize(
    ("emotion", "valence", "arousal"),
    [("angry", -1, 1), ("disgust", -1, 0), ("fear", -1, 1), ("happy", 1, 1), ("sad", -1, -1), ("surprise", 1, 1)],
)
def test_emotion_lies_in_its_quadrant(emotion: str, valence: int, arousal: int) -> None:
    read = dimensions.of_emotions(sure(emotion))
    assert read.valence * valence > 0.3
    assert arousal == 0 or read.arousal * arousal > 0.1
    assert read.source == "emotions" and read.dominance is None


def test_neutral_is_calm_and_neither_pleasant_nor_unpleasant() -> None:
    read = dimensions.of_emotions(sure("neutral"))
    assert abs(read.valence) < 0.15 and read.arousal < -0.3


def test_words_have_their_own_dimensions_with_dominance() -> None:
    read = dimensions.of_words(np.array([0.2, -0.1, 0.3], np.float32), leaning("happy"))
    assert read == Dimensions(valence=0.2, arousal=-0.1, dominance=0.3, source="words")


def test_words_without_a_model_have_those_of_their_emotions() -> None:
    assert dimensions.of_words(None, leaning("sad")) == dimensions.of_emotions(leaning("sad"))


def test_combined_is_the_mean_of_the_modalities() -> None:
    one = Dimensions(valence=0.2, arousal=0.4, dominance=0.1, source="words")
    other = Dimensions(valence=-0.4, arousal=0.0, source="emotions")
    assert dimensions.combined([one, other]) == Dimensions(valence=-0.1, arousal=0.2, source="combined")


def test_combined_of_one_modality_is_its_own_and_of_none_null() -> None:
    one = Dimensions(valence=0.2, arousal=0.4, dominance=0.1, source="words")
    assert dimensions.combined([one]) == one
    assert dimensions.combined([]) is None


def test_mean_leaves_out_what_is_unknown() -> None:
    parts = [Dimensions(valence=1, arousal=0, source="words"), None, Dimensions(valence=0, arousal=0, source="words")]
    read = dimensions.mean(parts, np.array([3.0, 5.0, 1.0]))
    assert read == Dimensions(valence=0.75, arousal=0, source="words")
    assert dimensions.mean([None]) is None
