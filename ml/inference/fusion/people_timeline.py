"""Timeline of the people of a recording: the windows of each of them, and whose window stands for all.

A window of a person combines this person's face, voice and words; what the person does not show or say is masked. In
the timeline of the recording each window is that of the person who speaks most in it, or else of the main face.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ml.inference.face.observations import FaceObservations
from ml.inference.fusion.moments import find_moments
from ml.inference.fusion.predictor import FusionPredictor
from ml.inference.fusion.timeline import (
    Timeline,
    TrackedFaces,
    WindowFaces,
    WindowInputs,
    face_tracks,
    fuse_windows,
    overall_reading,
)
from ml.inference.people.people import People
from ml.inference.voice.segments import MIN_SPEECH_SHARE, WindowVoice
from ml.results import Moment, Options, Person, SpeechSpan, Window
from ml.vocabulary import labels_for

Spoken = Mapping[int, WindowInputs]
"""Voice and words of each person who is heard in a window, by number."""


@dataclass(frozen=True)
class _Row:
    """Inputs of a window of a person. `is_own`: whether the window is one of the person's; it is not if it holds
    speech of no known person."""

    person: int | None
    faces: WindowFaces
    inputs: WindowInputs
    is_own: bool = True


@dataclass(frozen=True)
class _Rows:
    """Rows of one window: of each person who is seen or heard in it. `main`: the one that stands for all."""

    rows: tuple[_Row, ...]
    main: int

    @classmethod
    def of(cls, mix: WindowInputs, heard: Spoken, tracked: TrackedFaces, people: People) -> "_Rows":
        """Return the rows of a window. `mix`: all that is heard in it."""
        weights = tracked.weights_in(mix.span, people.by_track)
        silence = WindowInputs(mix.span, WindowVoice(0.0, None), "")
        rows = [
            _Row(number, tracked.of_tracks(mix.span, people[number].track_set), heard.get(number, silence))
            for number in sorted({*weights, *heard})
        ]
        main_face = max(sorted(weights), key=weights.__getitem__, default=None)
        speaker = _speaker(heard)
        is_unattributed = not heard and (mix.voice.features is not None or mix.words is not None)
        if is_unattributed or not rows:
            faces = tracked.of_tracks(mix.span, people[main_face].track_set if main_face else ())
            rows.append(_Row(main_face, faces, mix, is_own=False))
            return cls(tuple(rows), len(rows) - 1)
        chosen = next(number for number in (speaker, main_face, rows[0].person) if number is not None)
        return cls(tuple(rows), [row.person for row in rows].index(chosen))


def _speaker(heard: Spoken) -> int | None:
    """Return who speaks most in a window; null if no voice is long enough to be read and there are no words."""
    seconds = {
        number: inputs.voice.speech
        for number, inputs in heard.items()
        if inputs.voice.speech >= MIN_SPEECH_SHARE or inputs.words is not None
    }
    return max(sorted(seconds), key=seconds.__getitem__, default=None)


def build_people_timeline(
    faces: FaceObservations,
    tracked: TrackedFaces,
    people: People,
    spoken: Sequence[Spoken],
    mix: Sequence[WindowInputs],
    fusion: FusionPredictor,
    options: Options,
) -> Timeline:
    """Return the timeline of a recording and of its people.

    `spoken`: voice and words of each person in each window; `mix`: all that is heard in each. Speech of no
    known person is combined with the main face.
    """
    by_window = [_Rows.of(inputs, heard, tracked, people) for inputs, heard in zip(mix, spoken, strict=True)]
    rows = [row for each in by_window for row in each.rows]
    fused = iter(
        fuse_windows(
            [row.faces for row in rows], [row.inputs for row in rows], fusion, options, [row.person for row in rows]
        )
    )
    windows: list[Window] = []
    of_person: dict[int, list[Window]] = {number: [] for number, _ in enumerate(people.people, 1)}
    for each in by_window:
        found = [next(fused) for _ in each.rows]
        windows.append(found[each.main])
        for row, window in zip(each.rows, found, strict=True):
            if row.is_own and row.person is not None:
                of_person[row.person].append(window)
    threshold = fusion.threshold("picture", "uniform")
    return Timeline(
        labels=labels_for(options.classes),
        overall=overall_reading(windows, fusion, options),
        windows=tuple(windows),
        faces=face_tracks(faces, tracked.tracks, options.classes, threshold, people.by_track),
        moments=_moments(windows, of_person),
        people=tuple(
            Person(
                person=number,
                tracks=person.tracks,
                match=person.match,
                speech=tuple(SpeechSpan(start=span.start, end=span.end) for span in person.speech),
                seen_seconds=round(person.seen_seconds, 3),
                talk_seconds=round(person.talk_seconds, 3),
                overall=overall_reading(of_person[number], fusion, options),
                windows=tuple(of_person[number]),
            )
            for number, person in enumerate(people.people, 1)
        ),
    )


def _moments(windows: Sequence[Window], of_person: Mapping[int, Sequence[Window]]) -> tuple[Moment, ...]:
    """Return the moments of the people who stand for all in some window, each in their own timeline; of the windows, if
    there are no people."""
    shown = sorted({window.person for window in windows if window.person is not None})
    if not shown:
        return find_moments(windows)
    moments = [
        moment.model_copy(update={"person": number}) for number in shown for moment in find_moments(of_person[number])
    ]
    return tuple(sorted(moments, key=lambda moment: (moment.time, moment.person, moment.kind)))
