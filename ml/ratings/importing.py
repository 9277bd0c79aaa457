"""Annotations of a file as ratings of a result: who rates, what, and which emotion the label names."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ml.ratings.interval import Annotation
from ml.ratings.rating import MAX_COMMENT_CHARACTERS, MAX_NAME_CHARACTERS, RatedContent
from ml.results import Person, Result
from ml.vocabulary import EMOTION_SYNONYMS, EMOTIONS, SIMPLIFIED_FROM, person_name

UNNAMED = "rater 1"
"""Name of the rater of a file that names neither rater nor tier."""
_MAX_REASONS = 20
"""Maximum number of different reasons that are reported."""
_MAX_QUOTED = 40


@dataclass(frozen=True)
class ImportChoice:
    """The caller's choices for a file. `rater`, `person`: instead of those that it names. `tiers`: which to import; all
    by default."""

    rater: str | None = None
    person: int | None = None
    tiers: Sequence[str] = ()


@dataclass
class ImportedRatings:
    """The ratings of a file by the names of their raters, and how many annotations are left out, by reason."""

    ratings: list[tuple[str, RatedContent]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def emotion_for(label: str, labels: Sequence[str]) -> str | None:
    """Return the label of a result that a name stands for; None for other names."""
    name = label.strip().casefold()
    if name in labels:
        return name
    emotion = EMOTION_SYNONYMS.get(name)
    if emotion is None or tuple(labels) == EMOTIONS:
        return emotion
    return next(simplified for simplified, parts in SIMPLIFIED_FROM.items() if emotion in parts)


def ratings_of(annotations: Sequence[Annotation], result: Result, choice: ImportChoice) -> ImportedRatings:
    """Return the ratings among the annotations. Times after the end of the media are cut off."""
    imported = ImportedRatings()
    for annotation in annotations:
        try:
            imported.ratings.append((_rater(annotation, choice), _rated(annotation, result, choice)))
        except _Skipped as skipped:
            reason = str(skipped)
            if reason not in imported.skipped and len(imported.skipped) >= _MAX_REASONS:
                reason = "other reasons"
            imported.skipped[reason] += 1
    return imported


class _Skipped(Exception):
    """An annotation is left out; the message says why."""


def _rater(annotation: Annotation, choice: ImportChoice) -> str:
    name = choice.rater or annotation.rater or annotation.tier or UNNAMED
    return "".join(character for character in name if character.isprintable()).strip()[:MAX_NAME_CHARACTERS] or UNNAMED


def _rated(annotation: Annotation, result: Result, choice: ImportChoice) -> RatedContent:
    if choice.tiers and annotation.tier not in choice.tiers:
        raise _Skipped("other tier")
    emotion = emotion_for(annotation.label, result.labels)
    comment = annotation.comment[:MAX_COMMENT_CHARACTERS].strip() or None
    if emotion is None and comment is None:
        quoted = annotation.label if len(annotation.label) <= _MAX_QUOTED else f"{annotation.label[:_MAX_QUOTED]}…"
        raise _Skipped(f"no emotion: {quoted!r}" if quoted else "no label")
    duration, end = result.media.duration, annotation.end
    if duration is not None:
        if annotation.start > duration:
            raise _Skipped("after the end of the media")
        end = None if end is None else min(end, duration)
    return RatedContent(
        target="moment" if end is None else "span",
        start=annotation.start,
        end=end,
        emotion=emotion,
        comment=comment,
        person=choice.person or _person(annotation.person, result.people),
    )


def _person(name: str, people: Sequence[Person]) -> int | None:
    """Return the number of the person with this name or number; None without such a person."""
    wanted = name.strip().casefold()
    return next((person.person for person in people if wanted and wanted in _names(person)), None)


def _names(person: Person) -> Iterator[str]:
    yield str(person.person)
    yield person_name(person.person).casefold()
    if person.name:
        yield person.name.casefold()
