"""Subtitles, WebVTT and SubRip: what is said, and how it comes across.

`speech`: a cue for each sentence, and where nobody speaks for a while, for what is read there; no two windows are shown
at once. `windows`: a cue for each window with its own times, which overlap as the windows do. A moment is told in the
cue that lies around it.
"""

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ml.reports.interval_index import Axis, cells, reading_over
from ml.reports.report import DISCLAIMER, Report, milliseconds, moment_told, plain, told, voices_of
from ml.results import Reading, Result, Segment, Window

QUIET = 1.0
"""Seconds without speech from which on a cue tells what is read there."""
CLEARLY = 2.0
"""How many times as much speech as any other channel a speaker's has. Turns within one window are not clear."""


@dataclass(frozen=True)
class Cue:
    """What is shown from `start` to `end` (seconds). `speaker` is empty where channels are not told apart."""

    start: float
    end: float
    reading: Reading | None
    said: str = ""
    speaker: str = ""
    moments: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"[{told(self.reading)}]" if self.reading else ""


Cues = Callable[[Result], list[Cue]]


def speech_cues(result: Result) -> list[Cue]:
    """In order of time. Sentences overlap where the transcript's do."""
    voices = [_Timeline(voice.name, Axis(voice.windows)) for voice in voices_of(result)]
    sentences = [segment for segment in result.transcript.segments if plain(segment.text)]
    found = [_spoken(sentence, *voices) for sentence in sentences]
    for start, end in _gaps(sentences, result.media.duration or 0.0):
        found += _quiet(voices[0].windows, start, end)
    return _with_moments(sorted(found, key=lambda cue: (cue.start, cue.end)), result)


def window_cues(result: Result) -> list[Cue]:
    """The windows in order of time, then those of each channel."""
    whole, *apart = ([_window_cue(voice.name, window) for window in voice.windows] for voice in voices_of(result))
    return [*_with_moments(whole, result), *(cue for cues in apart for cue in cues)]


def vtt(report: Report, cues: Cues = speech_cues) -> str:
    """WebVTT. The emotion is a class (`::cue(.happy)`), the channel a voice."""
    blocks = [f"WEBVTT\n\nNOTE\n{DISCLAIMER}\n"]
    blocks += [f"{_times(cue, '.')}\n{_vtt_text(cue)}\n" for cue in cues(report.result)]
    return "\n".join(blocks)


def srt(report: Report, cues: Cues = speech_cues) -> str:
    """SubRip; empty for an image."""
    found = enumerate(cues(report.result), 1)
    return "\n".join(f"{number}\n{_times(cue, ',')}\n{_srt_text(cue)}\n" for number, cue in found)


@dataclass(frozen=True)
class _Timeline:
    name: str
    windows: Axis[Window]

    def speech(self, start: float, end: float) -> float:
        """Seconds of speech in a stretch, as far as windows tell."""
        near = ((window, window.modalities.audio) for window in self.windows.touching(start, end))
        return sum(audio.speech * (min(w.end, end) - max(w.start, start)) for w, audio in near if audio)


def _spoken(sentence: Segment, whole: _Timeline, *channels: _Timeline) -> Cue:
    """A sentence with the reading of the channel that clearly speaks it, or else of the whole."""
    start, end = sentence.start, sentence.end
    amounts = [channel.speech(start, end) for channel in channels]
    rivals = [max(amounts[:index] + amounts[index + 1 :], default=0.0) for index in range(len(amounts))]
    clear = zip(channels, amounts, rivals, strict=True)
    voice = next((channel for channel, amount, rival in clear if amount > CLEARLY * rival), whole)
    return Cue(start, end, reading_over(voice.windows, start, end), plain(sentence.text), voice.name)


def _gaps(sentences: Sequence[Segment], duration: float) -> Iterator[tuple[float, float]]:
    """Where nobody speaks for at least `QUIET` seconds, or at all."""
    until = 0.0
    for sentence in sorted(sentences, key=lambda sentence: sentence.start):
        if sentence.start - until >= QUIET:
            yield until, sentence.start
        until = max(until, sentence.end)
    if duration - until >= QUIET or not sentences:
        yield until, duration


def _quiet(windows: Axis[Window], start: float, end: float) -> Iterator[Cue]:
    """A cue for each emotion in turn; none where there is nothing to read."""
    inside = [(max(first, start), min(last, end), window) for first, last, window in cells(windows.things)]
    inside = [cell for cell in inside if cell[0] < cell[1]]
    for emotion, run in groupby(inside, key=lambda cell: cell[2].emotion):
        pieces = list(run)
        first, last = pieces[0][0], pieces[-1][1]
        if emotion is not None:
            share = sum(window.confidence * (until - since) for since, until, window in pieces) / (last - first)
            yield Cue(first, last, Reading(emotion=emotion, confidence=min(share, 1.0), probabilities={}))


def _window_cue(speaker: str, window: Window) -> Cue:
    text = window.modalities.text
    return Cue(window.start, window.end, window, plain(text.transcript) if text else "", speaker)


def _with_moments(cues: Sequence[Cue], result: Result) -> list[Cue]:
    """Each moment of the whole in the cue that lies around it."""
    axis = Axis(cues)
    marks: dict[int, tuple[str, ...]] = {}
    for moment in result.moments:
        if cue := axis.at(moment.time):
            marks[id(cue)] = (*marks.get(id(cue), ()), f"({moment_told(moment)})")
    return [replace(cue, moments=marks.get(id(cue), ())) for cue in cues]


def _vtt_text(cue: Cue) -> str:
    label = f"<c.{cue.reading.emotion}>{cue.label}</c>" if cue.reading and cue.reading.emotion else cue.label
    text = "\n".join([_joined(label, _escaped(cue.said)), *map(_escaped, cue.moments)])
    return f"<v {cue.speaker}>{text}</v>" if cue.speaker else text


def _srt_text(cue: Cue) -> str:
    speaker = f"{cue.speaker}:" if cue.speaker else ""
    return "\n".join([_joined(speaker, cue.label, cue.said), *cue.moments]).replace("-->", "→")


def _joined(*parts: str) -> str:
    return " ".join(filter(None, parts))


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _times(cue: Cue, point: str) -> str:
    """`00:00:01.500 --> 00:00:02.000`; a cue lasts at least a millisecond."""
    begin, end = milliseconds(cue.start), milliseconds(cue.end)
    return f"{_clock(begin, point)} --> {_clock(max(end, begin + 1), point)}"


def _clock(time: int, point: str) -> str:
    seconds, rest = divmod(time, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"
