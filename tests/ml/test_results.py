import json
import tracemalloc

import pytest
from pydantic import TypeAdapter, ValidationError

from ml.results import Box, FaceFrame, Mesh, Moment, Options, Point, Reading
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
    assert Reading.from_probabilities(probabilities).emotion == "sad"
    empty = Reading.empty()
    assert empty.emotion is None and sum(empty.probabilities.values()) == pytest.approx(1)
    assert sum(Reading.empty("simplified").probabilities.values()) == pytest.approx(1)


def test_a_moment_says_from_on_the_wire() -> None:
    moment = Moment.model_validate(
        {"time": 1.0, "kind": "shift", "from": "happy", "to": "sad", "score": 0.7, "why": ["face"]}
    )
    assert '"from":"happy"' in moment.model_dump_json()


POINTS: tuple[Point, ...] = ((0.0, -1.5, 123.45600128173828), (0.10000000149011612, 1e10, 3.25))
"""Of numbers that float32 holds, as those of a mesh are."""


def face(landmarks: Mesh | tuple[Point, ...] | None) -> FaceFrame:
    told = {"time": 0, "score": 1, "emotion": "sad", "probabilities": {"sad": 1}, "landmarks": landmarks}
    return FaceFrame.model_validate(told | {"box": Box(x=0, y=0, width=1, height=1)})


@pytest.mark.parametrize("points", [None, (), POINTS])
def test_landmarks_are_lists_of_numbers_in_a_document_and_the_same_when_read_again(
    points: tuple[Point, ...] | None,
) -> None:
    told = face(points)
    document = told.model_dump_json()
    assert json.loads(document)["landmarks"] == TypeAdapter(object).dump_python(points, mode="json")
    assert FaceFrame.model_validate_json(document) == told == face(told.landmarks)
    assert told.model_dump()["landmarks"] == points


def test_landmarks_have_the_schema_of_points() -> None:
    points = TypeAdapter(tuple[Point, ...]).json_schema()
    for schema in (FaceFrame.model_json_schema(), FaceFrame.model_json_schema(mode="serialization")):
        assert schema["properties"]["landmarks"]["anyOf"] == [points, {"type": "null"}]


@pytest.mark.parametrize("wrong", [[[1, 2]], [[1, 2, "left"]], 3])
def test_landmarks_that_are_no_points_are_refused(wrong: object) -> None:
    document = face(None).model_dump() | {"landmarks": wrong}
    with pytest.raises(ValidationError):
        FaceFrame.model_validate_json(json.dumps(document))
    with pytest.raises(ValidationError):
        FaceFrame.model_validate(document)


def test_a_face_with_landmarks_takes_little_more_than_their_numbers() -> None:
    tracemalloc.start()
    held = [face(POINTS * 234) for _ in range(100)]
    size = tracemalloc.get_traced_memory()[0] / len(held)
    tracemalloc.stop()
    assert size < 2 * 468 * 3 * 4
