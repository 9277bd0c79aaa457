"""Ratings that people gave to results of the service, as examples: corrections become training data.

A folder has, for each recording, the media, `NAME.result.json` (`GET /v1/jobs/{id}/result`) and `NAME.ratings.json`
(`GET /v1/jobs/{id}/ratings`), with the media as `NAME` and any ending of a known format.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ml.errors import InvalidManifest
from ml.ratings.rating import Rating
from ml.ratings.units import RatedUnit, rated_units
from ml.results import FrozenModel, Result
from ml.training.datasets.example import Example, Record, SkippedRecord
from ml.training.datasets.generic import PICTURES, SOUNDS, VIDEOS
from ml.training.datasets.labels import emotion_named
from ml.training.datasets.splits import require, split_by
from ml.vocabulary import EMOTIONS, Emotion

DATASET = "ratings"
RATINGS_SUFFIX, RESULT_SUFFIX = ".ratings.json", ".result.json"
STEP_SECONDS = 0.25
"""Seconds of the steps in which the raters of a stretch of time are counted."""
MIN_SECONDS, MAX_SECONDS = 0.5, 6.0
"""Bounds of the length of an example; longer stretches are divided."""
FACE_SECONDS = 0.25
"""Seconds before and after a rated face that are its example."""


class _RatingsDocument(FrozenModel):
    """The answer of `GET /v1/jobs/{id}/ratings`, as far as it is read."""

    model_config = ConfigDict(extra="ignore")

    ratings: tuple[Rating, ...]


_DOCUMENT = TypeAdapter(_RatingsDocument)


def read_ratings(root: Path) -> Iterator[Record]:
    """Yield an example for each stretch of time, sentence and face on which most raters agree.

    Its target is the share of the raters by label. A person of a recording counts as a speaker. Raises InvalidManifest
    if a document is damaged.
    """
    documents = sorted(require(root).rglob(f"*{RATINGS_SUFFIX}"))
    if not documents:
        raise InvalidManifest(f"{root.name} has no file *{RATINGS_SUFFIX}")
    for document in documents:
        name = document.name.removesuffix(RATINGS_SUFFIX)
        media = _media(document.parent, name)
        if media is None:
            yield SkippedRecord(name, "no media of that name")
            continue
        try:
            ratings = _DOCUMENT.validate_json(document.read_bytes()).ratings
            result = Result.model_validate_json((document.parent / f"{name}{RESULT_SUFFIX}").read_bytes())
        except (OSError, ValidationError) as error:
            raise InvalidManifest(f"{name}: its result or its ratings cannot be read") from error
        yield from _Recording(name, media, result).records(ratings)


def _media(folder: Path, name: str) -> Path | None:
    found = (path for path in sorted(folder.glob(f"{name}.*")) if path.suffix.lower() in (*PICTURES, *SOUNDS, *VIDEOS))
    return next((path for path in found if path.stem == name), None)


class _Recording:
    """A recording whose ratings become examples."""

    def __init__(self, name: str, media: Path, result: Result) -> None:
        self._name, self._media, self._result = name, media, result

    def records(self, ratings: Sequence[Rating]) -> Iterator[Record]:
        rated = [rating for rating in ratings if rating.emotion is not None]
        sentences = [rating for rating in rated if rating.target == "sentence"]
        faces = [rating for rating in rated if rating.track is not None]
        yield from self._stretches([rating for rating in rated if rating.target in ("span", "window")])
        yield from self._grouped(sentences, self._sentence)
        yield from self._grouped(faces, self._face)

    def _stretches(self, rated: Sequence[Rating]) -> Iterator[Record]:
        """Yield the stretches of time over which the raters say the same."""
        duration = self._result.media.duration
        if duration is None:
            return
        by_person: defaultdict[int | None, list[RatedUnit]] = defaultdict(list)
        for unit in rated_units(self._result, rated, STEP_SECONDS, duration):
            by_person[unit.person].append(unit)
        for person, units in by_person.items():
            for run in _runs(units):
                start, end = run[0].time - STEP_SECONDS / 2, run[-1].time + STEP_SECONDS / 2
                if end - start < MIN_SECONDS:
                    yield SkippedRecord(self._name, "too short")
                    continue
                yield self._example(list(run[0].labels.values()), person, path=self._media, start=start, end=end)

    def _grouped(self, rated: Sequence[Rating], record: Callable[[Sequence[Rating]], Record]) -> Iterator[Record]:
        """Yield a record for all ratings of the same thing."""

        def thing(rating: Rating) -> tuple[object, ...]:
            return rating.start, rating.end or 0.0, rating.person or 0, rating.track or 0

        for _, group in groupby(sorted(rated, key=thing), key=thing):
            yield record(list(group))

    def _sentence(self, group: Sequence[Rating]) -> Record:
        first = group[0]
        middle = (first.start + (first.end or first.start)) / 2
        segment = next((s for s in self._result.transcript.segments if s.start <= middle <= s.end), None)
        if segment is None:
            return SkippedRecord(self._name, "no sentence at that time")
        language = segment.language or self._result.transcript.language
        return self._example(_labels(group), segment.person, text=segment.text, language=language)

    def _face(self, group: Sequence[Rating]) -> Record:
        first = group[0]
        if self._result.media.kind == "image":
            if len(self._result.faces) != 1:
                return SkippedRecord(self._name, "several faces")
            return self._example(_labels(group), first.person, path=self._media)
        start, end = max(first.start - FACE_SECONDS, 0.0), first.start + FACE_SECONDS
        shown = [track for track in self._result.faces if any(start <= frame.time <= end for frame in track.frames)]
        if [track.track for track in shown] != [first.track]:
            return SkippedRecord(self._name, "several faces" if len(shown) > 1 else "no such face at that time")
        return self._example(_labels(group), shown[0].person, path=self._media, start=start, end=end)

    def _example(self, labels: Sequence[str], person: int | None, **content: object) -> Record:
        emotions = [emotion for label in labels if (emotion := emotion_named(label)) is not None]
        label = _most(emotions)
        if label is None:
            return SkippedRecord(self._name, "no majority" if emotions else "no emotion of the seven")
        speaker = self._name if person is None else f"{self._name}/{person}"
        target = tuple(emotions.count(emotion) / len(emotions) for emotion in EMOTIONS)
        return Example(
            label=label,
            dataset=DATASET,
            split=split_by(self._name),
            speaker=speaker,
            target=target if len(set(emotions)) > 1 else None,
            **content,  # type: ignore[arg-type]
        )


def _labels(group: Sequence[Rating]) -> list[str]:
    return [rating.emotion for rating in group if rating.emotion is not None]


def _most(emotions: Sequence[Emotion]) -> Emotion | None:
    """Return the emotion that more raters give than any other; None without a majority."""
    ranked = Counter(emotions).most_common(2)
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


def _runs(units: Sequence[RatedUnit]) -> Iterator[list[RatedUnit]]:
    """Yield neighbouring units in which the raters say the same, at most `MAX_SECONDS` together."""
    run: list[RatedUnit] = []
    for unit in units:
        is_next = bool(run) and unit.time - run[-1].time < 1.5 * STEP_SECONDS and unit.labels == run[0].labels
        if run and (not is_next or len(run) * STEP_SECONDS >= MAX_SECONDS):
            yield run
            run = []
        run.append(unit)
    if run:
        yield run
