import pytest

from ml.vocabulary import EMOTIONS, SIMPLIFIED_EMOTIONS, SIMPLIFIED_FROM, labels_for, simplify


def test_simplified_classes_contain_each_emotion_once() -> None:
    parts = [emotion for group in SIMPLIFIED_FROM.values() for emotion in group]
    assert sorted(parts) == sorted(EMOTIONS)
    assert tuple(SIMPLIFIED_FROM) == SIMPLIFIED_EMOTIONS == labels_for("simplified")


def test_simplify_sums_probabilities() -> None:
    full = dict(zip(EMOTIONS, [0.1, 0.05, 0.2, 0.3, 0.15, 0.1, 0.1], strict=True))
    simple = simplify(full)
    assert simple["sad_fear"] == pytest.approx(0.35) and simple["surprise_disgust"] == pytest.approx(0.15)
    assert sum(simple.values()) == pytest.approx(1)
