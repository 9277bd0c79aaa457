from pathlib import Path

import cv2
import numpy as np
import pytest

from ml.errors import InvalidManifest
from ml.inference.api import TimeSpan
from ml.media import SAMPLE_RATE
from ml.results import Box, FaceFrame, FaceTrack, Media, ModelVersions, Person, Reading, Result, SpeechSpan, Transcript
from ml.training.people.conversations import SpeakerTurn
from ml.training.people.film_figures import FilmFigures, film_figures
from ml.training.people.films import (
    LAYOUTS,
    PAUSE_SECONDS,
    PICTURE_SIDE,
    RATE,
    TURN_SECONDS,
    ComposedFilm,
    Layout,
    ShownFace,
    TalkingClip,
    compose_pictures,
    compose_talk,
    read_clip,
)
from ml.vocabulary import EMOTIONS


def clip(person: str, shade: int) -> TalkingClip:
    pictures = [np.full((PICTURE_SIDE, PICTURE_SIDE, 3), shade + number % 5, np.uint8) for number in range(4 * RATE)]
    return TalkingClip(person, pictures, np.full(4 * SAMPLE_RATE, shade / 1000, np.float32))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_compose_talk_shows_and_lets_speak_whom_its_layout_says(tmp_path: Path, layout: Layout) -> None:
    clips = [clip("one", 40), clip("two", 120), clip("three", 200)]
    film = compose_talk(clips, layout, 2, np.random.default_rng(0), tmp_path / "film.mp4")
    narrated = layout == "narrator"
    assert [turn.speaker for turn in film.turns] == (["three", "three"] if narrated else ["one", "two"])
    first = film.turns[0].span
    assert first.length == pytest.approx(TURN_SECONDS, abs=1 / RATE)
    assert film.turns[1].span.start == pytest.approx(first.end + PAUSE_SECONDS, abs=1.1 / RATE)
    early, late = first.start + 0.1, first.end - 0.1
    seen = [film.person_at(time, centre) for time in (early, late) for centre in (0.25, 0.75)]
    assert (
        seen
        == {
            "side": ["one", "two", "one", "two"],
            "cut": ["one", "one", "one", "one"],
            "counter": ["one", "one", "two", "two"],
            "narrator": ["one", "one", "one", "one"],
        }[layout]
    )
    read = read_clip(film.path)
    assert len(read.pictures) / RATE == pytest.approx(film.turns[-1].span.end + PAUSE_SECONDS, abs=0.2)
    assert len(read.sound) / SAMPLE_RATE == pytest.approx(len(read.pictures) / RATE, abs=0.2)


def test_compose_pictures_shows_other_people_in_each_shot(tmp_path: Path) -> None:
    pictures = {}
    for number in range(4):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), np.full((96, 96), 60 * number, np.uint8))
        pictures[f"person {number}"] = [path]
    film = compose_pictures(pictures, 3, np.random.default_rng(0), tmp_path / "film.mp4")
    shots: dict[float, set[str]] = {}
    for face in film.faces:
        shots.setdefault(face.span.start, set()).add(face.person)
    assert len(set.union(*shots.values())) == 3
    assert all(
        before != after for before, after in zip(list(shots.values())[:-1], list(shots.values())[1:], strict=True)
    )
    assert film.path.stat().st_size > 0


def test_read_clip_of_no_film_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    with pytest.raises(InvalidManifest):
        read_clip(tmp_path / "no.mp4")


def track(number: int, person: int, times: range, x: float) -> FaceTrack:
    probabilities = {name: float(name == "happy") for name in EMOTIONS}
    box = Box(x=x, y=10, width=20, height=20)
    frames = [FaceFrame(time=time, box=box, score=1, emotion="happy", probabilities=probabilities) for time in times]
    return FaceTrack(track=number, frames=tuple(frames), person=person)


def person(number: int, tracks: tuple[int, ...], *speech: tuple[float, float]) -> Person:
    spans = tuple(SpeechSpan(start=start, end=end) for start, end in speech)
    return Person(
        person=number,
        tracks=tracks,
        match="sure",
        speech=spans,
        seen_seconds=1,
        talk_seconds=1,
        overall=Reading.empty("full"),
        windows=(),
    )


def result(faces: list[FaceTrack], people: list[Person]) -> Result:
    media = Media(
        kind="video", duration=10, width=100, height=50, frame_rate=25, has_audio=True, has_video=True, sha256="0"
    )
    versions = ModelVersions(
        bundle="b", face=None, audio=None, text=None, fusion=None, whisper=None, licence="commercial"
    )
    return Result(
        media=media,
        labels=EMOTIONS,
        overall=Reading.empty("full"),
        windows=(),
        faces=tuple(faces),
        transcript=Transcript(source="none", language=None, text=""),
        models=versions,
        people=tuple(people),
        timings={},
    )


FILM = ComposedFilm(
    Path("film.mp4"),
    (ShownFace("one", TimeSpan(0, 10), 0, 0.5), ShownFace("two", TimeSpan(0, 10), 0.5, 1)),
    (SpeakerTurn(TimeSpan(0, 4), "one"), SpeakerTurn(TimeSpan(5, 9), "two")),
)


def test_film_figures_of_a_result_without_fault() -> None:
    faces = [track(1, 1, range(10), 10), track(2, 2, range(10), 70)]
    figures = film_figures(FILM, result(faces, [person(1, (1,), (0, 4)), person(2, (2,), (5, 9))])).json()
    assert figures == {
        "films": 1,
        "number_of_people_right": 1.0,
        "precision": 1.0,
        "recall": 1.0,
        "speech_to_the_right_face": 1.0,
    }


def test_film_figures_count_one_person_for_two_and_the_wrong_face() -> None:
    faces = [track(1, 1, range(10), 10), track(2, 1, range(10), 70)]
    figures = film_figures(FILM, result(faces, [person(1, (1, 2), (0, 9))]))
    assert (figures.both, figures.found, figures.actual, figures.people_right) == (90, 190, 90, 0)
    swapped = [track(1, 1, range(10), 10), track(2, 2, range(10), 70)]
    wrong = film_figures(FILM, result(swapped, [person(1, (1,), (5, 9)), person(2, (2,), (0, 4))]))
    assert (wrong.right, wrong.speech) == (0, pytest.approx(8))


def test_film_figures_a_narrator_is_right_without_a_face() -> None:
    film = ComposedFilm(FILM.path, FILM.faces, (SpeakerTurn(TimeSpan(0, 4), "three"),))
    faces = [track(1, 1, range(10), 10)]
    right = film_figures(film, result(faces, [person(1, (1,)), person(2, (), (0, 4))]))
    assert right.right == pytest.approx(4)
    assert film_figures(film, result(faces, [person(1, (1,), (0, 4))])).right == 0


def test_film_figures_are_added() -> None:
    total = FilmFigures(1, 2, 3, 4.0, 5.0, 1, 1) + FilmFigures(1, 2, 3, 4.0, 5.0, 0, 1)
    assert total == FilmFigures(2, 4, 6, 8.0, 10.0, 1, 2)
