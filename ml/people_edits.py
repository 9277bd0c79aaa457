"""Corrections of the people of a result: names, merges of two who are one, splits of one who is two.

A correction changes the finished document, without the models that made it: their inputs are erased with the media, and
the gateway has no networks. Readings that are exact are taken over, the others are pooled:

- Merge: in a window in which only one of the people is read, the reading stays as it is, which is the usual case: two
  tracks of one person are seen one after the other. Where both are read, or the face of one and the voice of the other,
  the readings are pooled: the weighted geometric mean of their probabilities, which counts the prior once (logarithmic
  opinion pool; Genest and Zidek 1986).
- Split: the new person has the reading of the face in the windows that show the track, the other one what is left: one
  modality exactly, several pooled. If a window shows further tracks of the same person, both keep its reading of faces.

Windows of the whole media that read one of these people become those of the person. A pooled reading is less certain
than that of the fusion would be, and its `labels_90` are the labels of any of its parts. Analysing the media again
(`source_job`) gives the readings of the models instead; it is another job, whose people begin without names.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ml.errors import AffectError
from ml.reports.interval_index import IntervalIndex, shared_labels
from ml.reports.people import union
from ml.results import (
    AudioReading,
    Certainty,
    Dimensions,
    FaceReading,
    FaceTrack,
    Modalities,
    Person,
    Probabilities,
    Reading,
    Result,
    TextReading,
    Window,
)
from ml.vocabulary import EMOTIONS, MODALITIES

_LEAST = 1e-9
"""Probability in place of a smaller one, whose logarithm would outweigh all others."""


class InvalidPeopleEdit(AffectError):
    """A correction names a person or a track that the result does not have."""

    code = "validation_failed"


@dataclass(frozen=True)
class PeopleEdit:
    """Correction, applied in this order.

    Attributes:
        merge: groups of people who are one. The merged person has the lowest number, and the first of their names.
        split: tracks that are another person than the others of their person. The new person has the next number.
        names: name of people by number; null removes it.
    """

    merge: Sequence[Sequence[int]] = ()
    split: Sequence[int] = ()
    names: Mapping[int, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class EditedPeople:
    """A result with corrected people. `merged`: number of the person who now includes a person that was merged."""

    result: Result
    merged: Mapping[int, int] = field(default_factory=dict)

    def edit(self, edit: PeopleEdit) -> "EditedPeople":
        """Return the result with a further correction. One that is made already changes nothing, so that a request may
        be repeated. Raises InvalidPeopleEdit."""
        edited = self
        for group in edit.merge:
            edited = edited._merge(group)
        for track in edit.split:
            edited = edited._split(track)
        for number, name in edit.names.items():
            edited = edited._rename(number, name)
        return edited

    def _merge(self, group: Sequence[int]) -> "EditedPeople":
        people = {person.person: person for person in map(self._person, group)}
        if len(people) < 2:
            return self
        numbers = sorted(people)
        whole = _merged([people[number] for number in numbers])
        into = dict.fromkeys(numbers, whole.person)
        known = {old: into.get(new, new) for old, new in self.merged.items()}
        return EditedPeople(_with_people(self.result, [*_others(self.result, numbers), whole], into), {**known, **into})

    def _split(self, track: int) -> "EditedPeople":
        owner = next((person for person in self.result.people if track in person.tracks), None)
        if owner is None:
            raise InvalidPeopleEdit(f"There is no person with the face track {track}.")
        if len(owner.tracks) == 1 and not owner.speech:
            return self
        number = max(*(person.person for person in self.result.people), *self.merged, owner.person) + 1
        rest, new = _split(owner, track, number, self.result.faces)
        people = [*_others(self.result, [owner.person]), rest, new]
        return EditedPeople(_after_split(self.result, people, rest, new), self.merged)

    def _rename(self, number: int, name: str | None) -> "EditedPeople":
        person = self._person(number)
        named = person.model_copy(update={"name": name})
        people = [named if each is person else each for each in self.result.people]
        return EditedPeople(self.result.model_copy(update={"people": tuple(people)}), self.merged)

    def _person(self, number: int) -> Person:
        current = self.merged.get(number, number)
        person = next((person for person in self.result.people if person.person == current), None)
        if person is None:
            raise InvalidPeopleEdit(f"There is no person {number}.")
        return person


def _others(result: Result, numbers: Sequence[int]) -> list[Person]:
    return [person for person in result.people if person.person not in numbers]


def _merged(people: Sequence[Person]) -> Person:
    """Return several people, in order of their numbers, as one."""
    first = people[0]
    tracks = tuple(sorted({track for person in people for track in person.tracks}))
    speech = union([span for person in people for span in person.speech])
    by_span: dict[tuple[float, float], list[Window]] = {}
    for person in people:
        for window in person.windows:
            by_span.setdefault((window.start, window.end), []).append(window)
    windows = tuple(_pooled_window(by_span[span], first.person) for span in sorted(by_span))
    return Person(
        person=first.person,
        name=next((person.name for person in people if person.name), None),
        tracks=tracks,
        match="sure" if tracks and speech else "none",
        speech=speech,
        seen_seconds=round(sum(person.seen_seconds for person in people), 3),
        talk_seconds=round(sum(span.end - span.start for span in speech), 3),
        overall=_overall(windows, first.overall),
        windows=windows,
    )


def _split(owner: Person, track: int, number: int, faces: Sequence[FaceTrack]) -> tuple[Person, Person]:
    """Return a person without a track, and the person of that track."""
    times = {each.track: [frame.time for frame in each.frames] for each in faces if each.track in owner.tracks}
    own = times.get(track, [])
    others = [time for name, seen in times.items() if name != track for time in seen]
    pairs = [_split_window(window, own, others, number) for window in owner.windows]
    rest, new = (tuple(window for window in side if window) for side in zip(*pairs, strict=True)) if pairs else ((), ())
    tracks = tuple(each for each in owner.tracks if each != track)
    seen = round(owner.seen_seconds * len(own) / max(len(own) + len(others), 1), 3)
    reduced = owner.model_copy(
        update={
            "tracks": tracks,
            "match": owner.match if tracks and owner.speech else "none",
            "seen_seconds": round(owner.seen_seconds - seen, 3),
            "overall": _overall(rest, owner.overall),
            "windows": rest,
        }
    )
    other = Person(person=number, tracks=(track,), seen_seconds=seen, overall=_overall(new, owner.overall), windows=new)
    return reduced, other


def _split_window(
    window: Window, own: Sequence[float], others: Sequence[float], number: int
) -> tuple[Window | None, Window | None]:
    """Return the window without a track, and that of the track alone; null for one in which nothing is left.

    `own`, `others`: times of the track's frames, and of those of the person's other tracks.
    """
    shown, rest = (sum(window.start <= time < window.end for time in times) for times in (own, others))
    face, modalities = window.modalities.face, window.modalities
    if face is None or not shown:
        return window, None
    share = shown / (shown + rest)
    taken = face.model_copy(update={"coverage": face.coverage * share})
    left = face.model_copy(update={"coverage": face.coverage * (1 - share)}) if rest else None
    remaining = modalities.model_copy(update={"face": left})
    kept: Window | None = window.model_copy(update={"modalities": remaining})
    if left is None:
        kept = _window_of(window, remaining, window.person)
    return kept, _window_of(window, Modalities(face=taken), number)


def _after_split(result: Result, people: Sequence[Person], rest: Person, new: Person) -> Result:
    """Return the result in which the windows of the person become those of the new one where only the new one is
    read."""
    rest_windows, new_windows = _by_span(rest), _by_span(new)

    def owner_of(window: Window) -> int | None:
        span = window.start, window.end
        left, taken = rest_windows.get(span), new_windows.get(span)
        goes = window.person == rest.person and taken is not None and taken.emotion and not (left and left.emotion)
        return new.person if goes else window.person

    owners = [owner_of(window) for window in result.windows]
    windows = tuple(
        window.model_copy(update={"person": owner}) for window, owner in zip(result.windows, owners, strict=True)
    )
    index = IntervalIndex(windows)
    moments = tuple(
        moment.model_copy(update={"person": nearest.person})
        if moment.person == rest.person and (nearest := index.nearest(moment.time))
        else moment
        for moment in result.moments
    )
    faces = tuple(
        track.model_copy(update={"person": new.person}) if track.track in new.tracks else track
        for track in result.faces
    )
    update = {"windows": windows, "moments": moments, "faces": faces}
    return _with_people(result.model_copy(update=update), people, {rest.person: rest.person, new.person: new.person})


def _with_people(result: Result, people: Iterable[Person], into: Mapping[int, int]) -> Result:
    """Return the result with other people. `into`: new number of each person who changed; their windows replace those
    of the whole media that name them."""
    ordered = tuple(sorted(people, key=lambda person: person.person))
    changed = {person.person: _by_span(person) for person in ordered if person.person in into.values()}

    def window(old: Window) -> Window:
        if old.person is None or old.person not in into:
            return old
        number = into[old.person]
        return changed[number].get((old.start, old.end), old.model_copy(update={"person": number}))

    def person(number: int | None) -> dict[str, int | None]:
        return {"person": number if number is None else into.get(number, number)}

    segments = tuple(
        segment.model_copy(
            update={
                **person(segment.person),
                "words": tuple(word.model_copy(update=person(word.person)) for word in segment.words),
            }
        )
        for segment in result.transcript.segments
    )
    windows = tuple(map(window, result.windows))
    has_other_readings = any(
        new.probabilities != old.probabilities for new, old in zip(windows, result.windows, strict=True)
    )
    return result.model_copy(
        update={
            "overall": _overall(windows, result.overall) if has_other_readings else result.overall,
            "people": ordered,
            "windows": windows,
            "faces": tuple(track.model_copy(update=person(track.person)) for track in result.faces),
            "moments": tuple(moment.model_copy(update=person(moment.person)) for moment in result.moments),
            "bursts": tuple(burst.model_copy(update=person(burst.person)) for burst in result.bursts),
            "transcript": result.transcript.model_copy(update={"segments": segments}),
        }
    )


def _by_span(person: Person) -> dict[tuple[float, float], Window]:
    return {(window.start, window.end): window for window in person.windows}


def _pooled_window(windows: Sequence[Window], number: int) -> Window:
    """Return the window of one person who was read as several."""
    read = [window for window in windows if window.emotion is not None]
    if len(read) < 2:
        return (read or list(windows))[0].model_copy(update={"person": number})
    parts = [window.modalities for window in read]
    modalities = Modalities(
        face=_pooled_faces([each.face for each in parts if each.face]),
        audio=_pooled_voices([each.audio for each in parts if each.audio]),
        text=_pooled_words([each.text for each in parts if each.text]),
    )
    weights = [len(MODALITIES) - len(window.missing) for window in read]
    return _window(read[0], modalities, number, _pool(read, weights))


def _window_of(window: Window, modalities: Modalities, number: int | None) -> Window | None:
    """Return the window as what its modalities say; null without any."""
    present = [reading for name in MODALITIES if (reading := getattr(modalities, name))]
    return _window(window, modalities, number, _pool(present, [1.0] * len(present))) if present else None


def _window(window: Window, modalities: Modalities, number: int | None, reading: Reading) -> Window:
    return Window(
        **reading.model_dump(),
        start=window.start,
        end=window.end,
        modalities=modalities,
        missing=tuple(name for name in MODALITIES if getattr(modalities, name) is None),
        person=number,
    )


def _pooled_faces(faces: Sequence[FaceReading]) -> FaceReading | None:
    if len(faces) < 2:
        return next(iter(faces), None)
    pooled = _pool(faces, [face.coverage for face in faces])
    return FaceReading(**_fields(pooled), coverage=min(sum(face.coverage for face in faces), 1.0))


def _pooled_voices(voices: Sequence[AudioReading]) -> AudioReading | None:
    if len(voices) < 2:
        return next(iter(voices), None)
    pooled = _pool(voices, [voice.speech for voice in voices])
    return AudioReading(**_fields(pooled), speech=min(sum(voice.speech for voice in voices), 1.0))


def _pooled_words(texts: Sequence[TextReading]) -> TextReading | None:
    if len(texts) < 2:
        return next(iter(texts), None)
    weights = [float(len(text.transcript)) for text in texts]
    return TextReading(
        **_fields(_pool(texts, weights)),
        sentiment=_geometric_mean([text.sentiment for text in texts], weights),
        transcript=" ".join(text.transcript for text in texts),
    )


def _fields(reading: Reading) -> dict[str, Any]:
    return reading.model_dump(include={"probabilities", "labels_90", "uncertain", "dimensions"})


def _pool(readings: Sequence[FaceReading | AudioReading | TextReading | Window], weights: Sequence[float]) -> Reading:
    """Return the weighted geometric mean of readings, with the labels of all, the most probable first."""
    probabilities = _geometric_mean([reading.probabilities for reading in readings], weights)
    sets = [reading.labels_90 for reading in readings]
    known = {label for labels in sets for label in labels or ()} | {max(probabilities, key=probabilities.__getitem__)}
    labels_90 = tuple(sorted(known, key=lambda label: -probabilities[label]))
    reading = Reading.from_probabilities(probabilities).labelled(labels_90 if None not in sets else None)
    return reading.model_copy(update={"dimensions": _mean_dimensions(readings, weights)})


def _mean_dimensions(readings: Sequence[Certainty], weights: Sequence[float]) -> Dimensions | None:
    """Return the weighted mean of the dimensions that are known; of one reading its own."""
    known = [(each.dimensions, weight) for each, weight in zip(readings, weights, strict=True) if each.dimensions]
    total = sum(weight for _, weight in known)
    if len(known) < 2 or not total:
        return known[0][0] if known else None
    sources = {each.source for each, _ in known}
    return Dimensions(
        valence=round(sum(each.valence * weight for each, weight in known) / total, 3),
        arousal=round(sum(each.arousal * weight for each, weight in known) / total, 3),
        source=sources.pop() if len(sources) == 1 else "combined",
    )


def _geometric_mean(distributions: Sequence[Probabilities], weights: Sequence[float]) -> Probabilities:
    total = sum(weights)
    shares = [weight / total if total else 1 / len(weights) for weight in weights]
    values = {
        label: math.exp(
            sum(share * math.log(max(each[label], _LEAST)) for share, each in zip(shares, distributions, strict=True))
        )
        for label in distributions[0]
    }
    scale = sum(values.values())
    return {label: value / scale for label, value in values.items()}


def _overall(windows: Sequence[Window], before: Reading) -> Reading:
    """Return the mean of the windows with a reading, in which each second counts once; `before` has its labels."""
    read = [window for window in windows if window.emotion is not None]
    if not read:
        return _empty(before)
    seconds = _second_weights(read)
    total = sum(seconds) or 1.0
    mean = {
        label: min(sum(w.probabilities[label] * part / total for w, part in zip(read, seconds, strict=True)), 1.0)
        for label in read[0].probabilities
    }
    reading = Reading.from_probabilities(mean)
    labelled = reading.labelled(shared_labels(read, seconds, reading.emotion))
    return labelled.model_copy(update={"dimensions": _mean_dimensions(read, seconds)})


def _second_weights(windows: Sequence[Window]) -> list[float]:
    """Return the seconds of each window if a second in several windows is shared equally among them."""
    edges = sorted({edge for window in windows for edge in (window.start, window.end)})
    seconds = [0.0] * len(windows)
    active = IntervalIndex(windows)
    places = {id(window): place for place, window in enumerate(windows)}
    for start, end in pairwise(edges):
        middle = (start + end) / 2
        around = active.overlapping(middle, middle)
        for window in around:
            seconds[places[id(window)]] += (end - start) / len(around)
    return seconds


def _empty(like: Reading) -> Reading:
    """Return the reading without evidence, over the same labels."""
    return Reading.empty("full" if set(like.probabilities) == set(EMOTIONS) else "simplified")
