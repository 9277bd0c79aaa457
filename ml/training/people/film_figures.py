"""Figures of composed films: whether the faces of one person are one person of the result, and which face gets
the speech."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ml.errors import InvalidManifest
from ml.results import Options, Result
from ml.training.datasets.example import examples_of
from ml.training.datasets.face_corpora import read_faces
from ml.training.people.films import LAYOUTS, ComposedFilm, compose_pictures, compose_talk, read_clip
from ml.training.pipeline_report import FileAnalyzer

STEP_SECONDS = 0.05
MIN_PICTURES = 4
"""Pictures of a person of which films are composed."""
PEOPLE = "lfw_emotion"
FILM_PEOPLE = (3, 4, 5, 6)
TURNS = 6
_SEED = 29


@dataclass(frozen=True)
class FilmFigures:
    """Pairs of faces and seconds of speech, of one film or of several.

    Attributes:
        both: pairs of faces that are one person, in truth and in the result.
        found: pairs that the result takes for one person; `actual`: pairs that are.
        right: seconds of speech given to the right face, or to none where no one who is seen speaks; of `speech`.
    """

    both: int = 0
    found: int = 0
    actual: int = 0
    right: float = 0.0
    speech: float = 0.0
    people_right: int = 0
    films: int = 0

    def __add__(self, other: "FilmFigures") -> "FilmFigures":
        values = (getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__)
        return FilmFigures(*values)

    def json(self) -> dict[str, Any]:
        """Return the figures with their shares; null for those without any pair or speech."""
        return {
            "films": self.films,
            "number_of_people_right": round(self.people_right / self.films, 3) if self.films else None,
            "precision": round(self.both / self.found, 4) if self.found else None,
            "recall": round(self.both / self.actual, 4) if self.actual else None,
            "speech_to_the_right_face": round(self.right / self.speech, 4) if self.speech else None,
        }


def film_figures(film: ComposedFilm, result: Result) -> FilmFigures:
    """Return the figures of a film and its result."""
    width = float(result.media.width or 1)
    seen: Counter[tuple[str, int]] = Counter()
    for track in result.faces:
        for frame in track.frames:
            actual = film.person_at(frame.time, (frame.box.x + frame.box.width / 2) / width)
            if actual is not None and track.person is not None:
                seen[actual, track.person] += 1
    right, speech = _speech(film, result, _actual_people(seen))
    shown = {face.person for face in film.faces}
    return FilmFigures(
        both=sum(map(_pairs, seen.values())),
        found=sum(map(_pairs, _totals(seen, 1).values())),
        actual=sum(map(_pairs, _totals(seen, 0).values())),
        right=right,
        speech=speech,
        people_right=int(len(shown) == sum(bool(person.tracks) for person in result.people)),
        films=1,
    )


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _totals(seen: Mapping[tuple[str, int], int], place: int) -> Counter[str | int]:
    totals: Counter[str | int] = Counter()
    for key, count in seen.items():
        totals[key[place]] += count
    return totals


def _actual_people(seen: Mapping[tuple[str, int], int]) -> dict[int, str]:
    """Return who most faces of each person of the result are."""
    best: dict[int, tuple[int, str]] = {}
    for (actual, person), count in seen.items():
        best[person] = max(best.get(person, (0, "")), (count, actual))
    return {person: actual for person, (_, actual) in best.items()}


def _speech(film: ComposedFilm, result: Result, actual: Mapping[int, str]) -> tuple[float, float]:
    """Return the seconds of speech given to the right face, and all."""
    shown = {face.person for face in film.faces}
    right = speech = 0.0
    for turn in film.turns:
        expected = turn.speaker if turn.speaker in shown else None
        for time in np.arange(turn.span.start, turn.span.end, STEP_SECONDS):
            speakers = [
                actual.get(person.person) if person.tracks else None
                for person in result.people
                if any(span.start <= time < span.end for span in person.speech)
            ]
            speech += STEP_SECONDS
            right += STEP_SECONDS * (expected in speakers)
    return right, speech


def measure_pictures(analyzer: FileAnalyzer, data: Path, films: int) -> FilmFigures:
    """Return the figures of films of pictures of held-out people. Raises InvalidManifest without such people."""
    pictures: dict[str, list[Path]] = {}
    for example in examples_of(read_faces(data)):
        if example.dataset == PEOPLE and example.split != "train" and example.speaker and example.path:
            pictures.setdefault(example.speaker, []).append(example.path)
    pictures = {person: paths for person, paths in pictures.items() if len(paths) >= MIN_PICTURES}
    if len(pictures) < max(FILM_PEOPLE):
        raise InvalidManifest(f"{data.name} has too few people with {MIN_PICTURES} pictures")
    chooser, figures = np.random.default_rng(_SEED), FilmFigures()
    with TemporaryDirectory(prefix="affect-films-") as folder:
        for number in range(films):
            people = FILM_PEOPLE[number % len(FILM_PEOPLE)]
            film = compose_pictures(pictures, people, chooser, Path(folder) / f"{number}.mp4")
            figures += film_figures(film, analyzer.analyze(film.path, Options(modalities=("face",))))
    return figures


def measure_talks(analyzer: FileAnalyzer, clips: Sequence[Path]) -> dict[str, FilmFigures]:
    """Return the figures of two-person films by layout, of each pair of the clips, with the clip left over as narrator.

    Raises InvalidManifest for fewer than three clips.
    """
    if len(clips) < 3:
        raise InvalidManifest("films of two people and a narrator need three talking clips")
    talking = [read_clip(path) for path in clips]
    chooser = np.random.default_rng(_SEED)
    figures: dict[str, FilmFigures] = {layout: FilmFigures() for layout in LAYOUTS}
    with TemporaryDirectory(prefix="affect-films-") as folder:
        for layout in LAYOUTS:
            for number in range(len(talking)):
                chosen = [talking[(number + shift) % len(talking)] for shift in range(3)]
                film = compose_talk(chosen, layout, TURNS, chooser, Path(folder) / f"{layout}-{number}.mp4")
                figures[layout] += film_figures(
                    film, analyzer.analyze(film.path, Options(modalities=("face", "audio")))
                )
    return figures
