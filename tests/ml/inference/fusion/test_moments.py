from ml.inference.fusion.moments import find_moments
from ml.results import FaceReading, Modalities, Reading, Window
from ml.vocabulary import EMOTIONS


def _sure_of(emotion: str, probability: float = 0.8) -> dict[str, float]:
    rest = (1 - probability) / (len(EMOTIONS) - 1)
    return {name: probability if name == emotion else rest for name in EMOTIONS}


def _window(start: float, combined: str, face: str) -> Window:
    return Window(
        **Reading.from_probabilities(_sure_of(combined)).model_dump(),
        start=start,
        end=start + 2,
        modalities=Modalities(face=FaceReading(probabilities=_sure_of(face), coverage=1.0)),
        missing=("audio", "text"),
    )


def test_find_moments_peak_is_raised_where_a_modality_supports_it() -> None:
    (moment, *_) = find_moments([_window(0, "neutral", "neutral"), _window(2, "angry", "angry")])
    assert moment.to == "angry" and moment.why == ("face",)


def test_find_moments_without_support_raises_none() -> None:
    assert find_moments([_window(0, "neutral", "neutral"), _window(2, "angry", "sad")]) == ()
