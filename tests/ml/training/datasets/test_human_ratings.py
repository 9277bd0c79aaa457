"""Ratings of results as examples."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from ml.errors import InvalidManifest
from ml.ratings.rating import Rating
from ml.results import FaceTrack, Result
from ml.training.datasets.example import Example, SkippedRecord
from ml.training.datasets.human_ratings import read_ratings
from tests.ml.reports.made_results import face_frame, result, video, window

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def rating(rater: str, start: float, end: float | None, emotion: str, target: str = "span", **fields: Any) -> Rating:
    content = {"target": target, "start": start, "end": end, "emotion": emotion, "rater": rater}
    return Rating.model_validate({**content, "id": "r", "source": "call", "created_at": NOW, **fields})


def save(root: Path, name: str, document: Result, *ratings: Rating, media: str = ".mp4") -> Path:
    root.mkdir(exist_ok=True)
    (root / f"{name}{media}").write_bytes(b"")
    (root / f"{name}.result.json").write_text(document.model_dump_json())
    listed = TypeAdapter(list[Rating]).dump_json(list(ratings)).decode()
    (root / f"{name}.ratings.json").write_text(f'{{"ratings": {listed}, "raters": []}}')
    return root


def talk(**parts: Any) -> Result:
    return result([window(s, s + 4, "neutral") for s in range(0, 60, 2)], **parts)


def brief(root: Path) -> list[Any]:
    return [
        (each.label, each.start, each.end) if isinstance(each, Example) else each.reason for each in read_ratings(root)
    ]


def test_stretches_of_one_label_are_divided_and_short_ones_skipped(tmp_path: Path) -> None:
    ratings = [rating("Ann", 0, 8, "happy"), rating("Ann", 20, 20.25, "sad"), rating("Ann", 30, 32, "fear", "window")]
    root = save(tmp_path / "set", "a", talk(), *ratings)
    assert brief(root) == [("happy", 0.0, 6.0), ("happy", 6.0, 8.0), "too short", ("fear", 30.0, 32.0)]
    first = next(read_ratings(root))
    assert isinstance(first, Example) and (first.path, first.speaker) == (root / "a.mp4", "a")


def test_raters_who_differ_give_a_soft_target_or_none(tmp_path: Path) -> None:
    ratings = [rating("Ann", 0, 4, "happy"), rating("Ben", 0, 4, "happy"), rating("Cem", 0, 4, "sad")]
    ratings += [rating("Ann", 10, 14, "happy"), rating("Ben", 10, 14, "sad")]
    found = list(read_ratings(save(tmp_path / "set", "a", talk(), *ratings)))
    assert isinstance(found[0], Example) and found[0].label == "happy" and found[0].target is not None
    assert sum(found[0].target) == pytest.approx(1) and max(found[0].target) == pytest.approx(2 / 3)
    assert isinstance(found[1], SkippedRecord) and found[1].reason == "no majority"


def test_sentences_are_texts(tmp_path: Path) -> None:
    root = save(tmp_path / "set", "a", video().result, rating("Ann", 0.5, 1.8, "sad", "sentence"))
    [example] = read_ratings(root)
    assert isinstance(example, Example)
    assert (example.text, example.label, example.language, example.path) == ("Hello there.", "sad", "en", None)


def test_faces_are_moments_of_the_film_that_show_one_face(tmp_path: Path) -> None:
    faces = (
        FaceTrack(track=1, frames=(face_frame(1.0, "happy"), face_frame(5.0, "happy"))),
        FaceTrack(track=2, frames=(face_frame(5.1, "happy"),)),
    )
    ratings = [rating("Ann", time, None, "fear", "face", track=1) for time in (1.0, 5.0, 9.0)]
    root = save(tmp_path / "set", "a", talk(faces=faces), *ratings)
    assert brief(root) == [("fear", 0.75, 1.25), "several faces", "no such face at that time"]


def test_folders_that_lack_something_are_told(tmp_path: Path) -> None:
    root = save(tmp_path / "set", "a", talk(), rating("Ann", 0, 4, "happy"))
    (root / "a.mp4").unlink()
    assert brief(root) == ["no media of that name"]
    (root / "a.wav").write_bytes(b"")
    (root / "a.result.json").unlink()
    with pytest.raises(InvalidManifest, match="cannot be read"):
        list(read_ratings(root))
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InvalidManifest, match="no file"):
        list(read_ratings(tmp_path / "nothing"))
