import pytest
from pydantic import ValidationError

from ml.results import Moment, Options, Reading
from ml.vocabulary import EMOTIONS


def test_options_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValidationError):
        Options.model_validate({"windows": 4})


@pytest.mark.parametrize(
    "wrong",
    [
        {"modalities": []},
        {"modalities": ["face", "face"]},
        {"modalities": ["smell"]},
        {"window_seconds": 1, "hop_seconds": 2},
        {"window_seconds": float("nan")},
        {"frame_rate": 0},
        {"language": "English"},
        {"max_faces": 0},
    ],
)
def test_options_refuse_nonsense(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate(wrong)


def test_a_reading_is_the_mode_and_an_empty_one_is_uniform() -> None:
    probabilities = dict.fromkeys(EMOTIONS, 0.1) | {"sad": 0.4}
    assert Reading.of(probabilities).emotion == "sad"
    empty = Reading.empty()
    assert empty.emotion is None and sum(empty.probabilities.values()) == pytest.approx(1)
    assert sum(Reading.empty("simplified").probabilities.values()) == pytest.approx(1)


def test_a_moment_says_from_on_the_wire() -> None:
    moment = Moment.model_validate(
        {"time": 1.0, "kind": "shift", "from": "happy", "to": "sad", "score": 0.7, "why": ["face"]}
    )
    assert '"from":"happy"' in moment.model_dump_json()
