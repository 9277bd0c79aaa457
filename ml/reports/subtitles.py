"""Subtitles (WebVTT and SubRip) with speech and emotion.

`speech`: a cue for each sentence and, in brackets, for each vocal burst; during a longer pause in speech, cues for the
emotions read there, one at a time.
`windows`: a cue for each window with its own times, which overlap as the windows do. Text of more than `MAX_LINES`
lines is divided among several cues. A moment is a comment of WebVTT before the cue around it; SubRip has no comments.
A sentence in which several people speak has a cue for each. Speech in a script that is written from right to left is
marked as such in each line.
"""

import html
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, islice, pairwise

from ml.reports.interval_index import IntervalIndex, mean_reading, shared_labels, without_overlap
from ml.reports.people import display_names
from ml.reports.report import DISCLAIMER, Report, channel_tracks, milliseconds, moment_text, reading_text, sanitize
from ml.reports.sentences import by_speaker, word_times
from ml.results import Reading, Result, Segment, VocalBurst, Window
from ml.scripts import Unit, break_units, fill_lines, is_right_to_left, join_units, split_wide, wrap

MIN_PAUSE_SECONDS = 1.0
"""Minimum seconds without speech for which a cue without speech is made."""
MAX_LINES, MAX_LINE_CHARACTERS = 2, 42
"""Bounds on the text of a cue, as broadcasters and platforms have them. A wide character, as Chinese, Japanese and
Korean have them, counts twice."""
RIGHT_TO_LEFT_MARK = "\u200f"
"""Mark without width. Players order a line from right to left if it begins with one, whatever else is in it; one at the
end keeps the last punctuation mark in its place in others."""
SPEAKER_DOMINANCE = 2.0
"""Minimum ratio of the speech in a speaker's channel to that in any other. Turns within one window do not reach it."""


@dataclass(frozen=True)
class Cue:
    """Text shown from `start` to `end` (seconds). `speaker`: name of the person or audio channel; empty if
    neither is known."""

    start: float
    end: float
    reading: Reading | None
    speech: str = ""
    speaker: str = ""
    moments: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"[{reading_text(self.reading)}]" if self.reading else ""

    @property
    def heading(self) -> str:
        """The text before the speech: speaker and emotion."""
        return _joined(f"{self.speaker}:" if self.speaker else "", self.label)


CueMaker = Callable[[Result], list[Cue]]


def speech_cues(result: Result) -> list[Cue]:
    """Return the cues in order of time. Sentences overlap if the transcript's do."""
    tracks = [_Track(track.name, IntervalIndex(track.windows)) for track in channel_tracks(result)]
    people = _people_tracks(result)
    sentences = [segment for segment in by_speaker(result.transcript) if sanitize(segment.text)]
    cues = [
        cue
        for sentence in sentences
        for cue in _divided(_sentence_cue(sentence, people, *tracks), word_times(sentence))
    ]
    for start, end in _pauses(sentences, result.media.duration or 0.0):
        cues += _pause_cues(tracks[0].windows, start, end)
    cues += (_burst_cue(burst, people) for burst in result.bursts)
    return _with_moments(sorted(cues, key=lambda cue: (cue.start, cue.end)), result)


def window_cues(result: Result) -> list[Cue]:
    """Return the cues of each window in order of time, then those of each channel."""
    names = display_names(result)
    whole, *channels = (
        [cue for window in track.windows for cue in _divided(_window_cue(names, track.name, window))]
        for track in channel_tracks(result)
    )
    return [*_with_moments(whole, result), *(cue for cues in channels for cue in cues)]


def vtt(report: Report, cues: CueMaker = speech_cues) -> str:
    """Return WebVTT. The emotion is a class (`::cue(.happy)`), the person or channel a voice."""
    blocks = [f"WEBVTT\n\nNOTE\n{DISCLAIMER}\n"]
    for cue in cues(report.result):
        blocks += [f"NOTE {_without_arrow(moment)}\n" for moment in cue.moments]
        blocks.append(f"{_times(cue, '.')}\n{_vtt_text(cue)}\n")
    return "\n".join(blocks)


def srt(report: Report, cues: CueMaker = speech_cues) -> str:
    """Return SubRip; empty for an image."""
    numbered = enumerate(cues(report.result), 1)
    return "\n".join(f"{number}\n{_times(cue, ',')}\n{_srt_text(cue)}\n" for number, cue in numbered)


@dataclass(frozen=True)
class _Track:
    name: str
    windows: IntervalIndex[Window]

    def speech_seconds(self, start: float, end: float) -> float:
        """Estimate the seconds of speech in an interval from the windows' shares of speech."""
        near = ((window, window.modalities.audio) for window in self.windows.overlapping(start, end))
        return sum(audio.speech * (min(w.end, end) - max(w.start, start)) for w, audio in near if audio)


def _people_tracks(result: Result) -> Mapping[int, _Track]:
    """Return name and timeline of each person by number."""
    names = display_names(result)
    return {each.person: _Track(names[each.person], IntervalIndex(each.windows)) for each in result.people}


def _burst_cue(burst: VocalBurst, people: Mapping[int, _Track]) -> Cue:
    person = people.get(burst.person or 0)
    return Cue(burst.start, burst.end, None, f"({burst.kind})", person.name if person else "")


def _sentence_cue(sentence: Segment, people: Mapping[int, _Track], whole: _Track, *channels: _Track) -> Cue:
    """Return a cue with the reading of the person who says the sentence; or else of the channel that speaks it, as it
    says or clearly seems to; or else of the whole media."""
    start, end = sentence.start, sentence.end
    if person := people.get(sentence.person or 0):
        return Cue(start, end, mean_reading(person.windows, start, end), sanitize(sentence.text), person.name)
    if sentence.channel is not None and sentence.channel < len(channels):
        track = channels[sentence.channel]
        return Cue(start, end, mean_reading(track.windows, start, end), sanitize(sentence.text), track.name)
    amounts = [channel.speech_seconds(start, end) for channel in channels]
    rivals = [max(amounts[:index] + amounts[index + 1 :], default=0.0) for index in range(len(amounts))]
    candidates = zip(channels, amounts, rivals, strict=True)
    track = next((channel for channel, amount, rival in candidates if amount > SPEAKER_DOMINANCE * rival), whole)
    return Cue(start, end, mean_reading(track.windows, start, end), sanitize(sentence.text), track.name)


def _divided(cue: Cue, times: Sequence[tuple[int, float]] = ()) -> Iterator[Cue]:
    """Yield cues whose text has at most `MAX_LINES` lines, one after the other. Each begins with its first word, whose
    start is among `times`; without them, the words share the time by length."""
    units = _units(cue.speech)
    pages = list(_pages(cue.heading, units))
    if len(pages) < 2:
        yield cue
        return
    unit_starts = list(_starts(cue, units, times))
    starts = [min(max(unit_starts[page.start], cue.start), cue.end) for page in pages[1:]]
    edges = [cue.start, *accumulate(starts, max), cue.end]
    for page, (start, end) in zip(pages, pairwise(edges), strict=True):
        yield replace(cue, start=start, end=end, speech=join_units(units[page]))


def _units(text: str) -> list[Unit]:
    """Return the pieces of a text that lines consist of, none wider than a line."""
    return [piece for unit in break_units(text) for piece in split_wide(unit, MAX_LINE_CHARACTERS)]


def _starts(cue: Cue, units: Sequence[Unit], times: Sequence[tuple[int, float]]) -> Iterator[float]:
    """Yield the start of each unit."""
    total = max(sum(len(unit.text) for unit in units), 1)
    place = spoken = 0
    for unit in units:
        place += unit.is_spaced
        if times:
            yield times[max(bisect_right(times, place, key=lambda word: word[0]) - 1, 0)][1]
        else:
            yield cue.start + (cue.end - cue.start) * spoken / total
        place, spoken = place + len(unit.text), spoken + len(unit.text)


def _pages(heading: str, units: Sequence[Unit]) -> Iterator[slice]:
    """Yield the units of each cue, which begins with the heading."""
    before, first = _units(heading), 0
    while first < len(units):
        begin = units[first]._replace(is_spaced=bool(before), is_good_start=True)
        shown = [*before, begin, *units[first + 1 :]]
        *_, last = islice(fill_lines(shown, MAX_LINE_CHARACTERS), MAX_LINES)
        end = first + max(last.stop - len(before), 1)
        yield slice(first, end)
        first = end


def _pauses(sentences: Sequence[Segment], duration: float) -> Iterator[tuple[float, float]]:
    """Yield the intervals without speech of at least `MIN_PAUSE_SECONDS`; the whole duration if there is no speech."""
    last_end = 0.0
    for sentence in sorted(sentences, key=lambda sentence: sentence.start):
        if sentence.start - last_end >= MIN_PAUSE_SECONDS:
            yield last_end, sentence.start
        last_end = max(last_end, sentence.end)
    if duration - last_end >= MIN_PAUSE_SECONDS or not sentences:
        yield last_end, duration


def _pause_cues(windows: IntervalIndex[Window], start: float, end: float) -> Iterator[Cue]:
    """Yield a cue for each emotion in turn, none without evidence."""
    parts = [(max(first, start), min(last, end), window) for first, last, window in without_overlap(windows.items)]
    parts = [part for part in parts if part[0] < part[1]]
    for emotion, group in groupby(parts, key=lambda part: part[2].emotion):
        run = list(group)
        first, last = run[0][0], run[-1][1]
        if emotion is not None:
            confidence = sum(window.confidence * (stop - begin) for begin, stop, window in run) / (last - first)
            reading = Reading(emotion=emotion, confidence=min(confidence, 1.0), probabilities={})
            seconds = [stop - begin for begin, stop, _ in run]
            labels_90 = shared_labels([window for *_, window in run], seconds, emotion)
            yield Cue(first, last, reading.labelled(labels_90))


def _window_cue(names: Mapping[int, str], channel: str, window: Window) -> Cue:
    text, speaker = window.modalities.text, channel or names.get(window.person or 0, "")
    return Cue(window.start, window.end, window, sanitize(text.transcript) if text else "", speaker)


def _with_moments(cues: Sequence[Cue], result: Result) -> list[Cue]:
    """Add each moment of the whole media to the cue around it."""
    index, names = IntervalIndex(cues), display_names(result)
    moments: dict[int, tuple[str, ...]] = {}
    for moment in result.moments:
        if cue := index.nearest(moment.time):
            moments[id(cue)] = (*moments.get(id(cue), ()), moment_text(moment, names))
    return [replace(cue, moments=moments.get(id(cue), ())) for cue in cues]


def _vtt_text(cue: Cue) -> str:
    label = f"<c.{cue.reading.emotion}>{cue.label}</c>" if cue.reading and cue.reading.emotion else cue.label
    first, *others = _lines(_joined(cue.label, cue.speech))
    lines = [label + _escaped(first.removeprefix(cue.label)), *map(_escaped, others)]
    text = "\n".join(_directed(lines, cue.speech))
    return f"<v {_escaped(cue.speaker)}>{text}</v>" if cue.speaker else text


def _srt_text(cue: Cue) -> str:
    lines = _directed(_lines(_joined(cue.heading, cue.speech)), cue.speech)
    return _without_arrow("\n".join(lines))


def _without_arrow(text: str) -> str:
    """Return the text without the arrow that would make it the times of a cue."""
    return text.replace("-->", "→")


def _lines(text: str) -> list[str]:
    return wrap(text, MAX_LINE_CHARACTERS) or [""]


def _directed(lines: Sequence[str], speech: str) -> Sequence[str]:
    """Return the lines, marked if the speech is written from right to left."""
    mark = RIGHT_TO_LEFT_MARK if is_right_to_left(speech) else ""
    return [f"{mark}{line}{mark}" for line in lines]


def _joined(*parts: str) -> str:
    return " ".join(filter(None, parts))


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _times(cue: Cue, point: str) -> str:
    """Return `00:00:01.500 --> 00:00:02.000`; a cue lasts at least one millisecond."""
    start, end = milliseconds(cue.start), milliseconds(cue.end)
    return f"{_clock(start, point)} --> {_clock(max(end, start + 1), point)}"


def _clock(time: int, point: str) -> str:
    seconds, rest = divmod(time, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"
