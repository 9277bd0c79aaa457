import json
import tracemalloc

import pytest
from pydantic import TypeAdapter, ValidationError

from ml.results import Box, FaceFrame, Mesh, Moment, Options, Point, Reading
from ml.vocabulary import EMOTIONS


def test_options_unknown_field_is_invalid() -> None:
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
        {"language": "xx"},
        {"max_faces": 0},
        {"min_people": 3, "max_people": 2},
        {"min_people": 0},
        {"max_people": 33},
    ],
)
def test_options_out_of_range_is_invalid(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate(wrong)


def test_reading_is_most_probable_emotion_and_empty_is_uniform() -> None:
    probabilities = dict.fromkeys(EMOTIONS, 0.1) | {"sad": 0.4}
    assert Reading.from_probabilities(probabilities).emotion == "sad"
    empty = Reading.empty()
    assert empty.emotion is None and sum(empty.probabilities.values()) == pytest.approx(1)
    assert sum(Reading.empty("simplified").probabilities.values()) == pytest.approx(1)


def test_moment_json_has_from() -> None:
    moment = Moment.model_validate(
        {"time": 1.0, "kind": "shift", "from": "happy", "to": "sad", "score": 0.7, "why": ["face"]}
    )
    assert '"from":"happy"' in moment.model_dump_json()


POINTS: tuple[Point, ...] = ((0.0, -1.5, 123.45600128173828), (0.10000000149011612, 1e10, 3.25))
"""Points with coordinates that float32 represents exactly, as in a mesh."""


def face(landmarks: Mesh | tuple[Point, ...] | None) -> FaceFrame:
    fields = {"time": 0, "score": 1, "emotion": "sad", "probabilities": {"sad": 1}, "landmarks": landmarks}
    return FaceFrame.model_validate(fields | {"box": Box(x=0, y=0, width=1, height=1)})


@pytest.mark.parametrize("points", [None, (), POINTS])
def test_mesh_json_is_lists_and_reads_back_equal(
    points: tuple[Point, ...] | None,
) -> None:
    frame = face(points)
    document = frame.model_dump_json()
    assert json.loads(document)["landmarks"] == TypeAdapter(object).dump_python(points, mode="json")
    assert FaceFrame.model_validate_json(document) == frame == face(frame.landmarks)
    assert frame.model_dump()["landmarks"] == points


def test_mesh_schema_is_that_of_points() -> None:
    points = TypeAdapter(tuple[Point, ...]).json_schema()
    for schema in (FaceFrame.model_json_schema(), FaceFrame.model_json_schema(mode="serialization")):
        assert schema["properties"]["landmarks"]["anyOf"] == [points, {"type": "null"}]


@pytest.mark.parametrize("wrong", [[[1, 2]], [[1, 2, "left"]], 3])
def test_mesh_invalid_points_are_invalid(wrong: object) -> None:
    document = face(None).model_dump() | {"landmarks": wrong}
    with pytest.raises(ValidationError):
        FaceFrame.model_validate_json(json.dumps(document))
    with pytest.raises(ValidationError):
        FaceFrame.model_validate(document)


def test_mesh_memory_is_close_to_packed_size() -> None:
    tracemalloc.start()
    held = [face(POINTS * 234) for _ in range(100)]
    size = tracemalloc.get_traced_memory()[0] / len(held)
    tracemalloc.stop()
    assert size < 2 * 468 * 3 * 4


@pytest.mark.parametrize(("written", "code"), [("eng", "en"), ("en-US", "en"), ("English", "en"), ("auto", None)])
def test_options_language_is_normalised(written: str, code: str | None) -> None:
    assert Options.model_validate_json(f'{{"language": "{written}"}}', strict=True).language == code
