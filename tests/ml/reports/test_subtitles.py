"""WebVTT and SubRip, read back with webvtt-py and the parser of transcripts."""

import html
import re
from io import StringIO
from itertools import pairwise

import pytest
import webvtt
from hypothesis import given

from ml.reports.caption_parser import parse_transcript
from ml.reports.report import DISCLAIMER, Report, channel_tracks, milliseconds, sanitize
from ml.reports.subtitles import (
    MAX_LINE_CHARACTERS,
    MAX_LINES,
    RIGHT_TO_LEFT_MARK,
    Cue,
    speech_cues,
    srt,
    vtt,
    window_cues,
)
from ml.results import Segment, Transcript, Word
from ml.scripts import display_width
from tests.ml.reports.made_results import call, image, patient, reports, result, transcribed_call, video, window

Read = list[tuple[int, int, str]]


def _milliseconds(clock: str) -> int:
    hours, minutes, seconds = clock.replace(",", ".").split(":")
    return milliseconds(int(hours) * 3600 + int(minutes) * 60 + float(seconds))


def read_vtt(text: str) -> Read:
    captions = webvtt.from_string(text).captions
    return [(_milliseconds(c.start), _milliseconds(c.end), html.unescape(c.text)) for c in captions]


def read_srt(text: str) -> Read:
    """Read SubRip; webvtt-py refuses an empty file."""
    captions = webvtt.from_buffer(StringIO(text), format="srt").captions if text else []
    return [(_milliseconds(c.start), _milliseconds(c.end), c.text) for c in captions]


def emotion_of(text: str) -> str | None:
    """Return the emotion in a cue's label."""
    found = re.match(r"\u200f?(?:Channel \d+: )?\[(\w+) \d+%\]", text)
    return found[1] if found else None


def times_of(cues: list[Cue]) -> list[tuple[int, int]]:
    edges = ((milliseconds(cue.start), milliseconds(cue.end)) for cue in cues)
    return [(start, max(end, start + 1)) for start, end in edges]


@patient
@given(reports())
def test_window_cues_read_back_have_same_windows(report: Report) -> None:
    windows = [window_ for track in channel_tracks(report.result) for window_ in track.windows]
    times = times_of(window_cues(report.result))
    expected = [(*time, window_.emotion) for time, window_ in zip(times, windows, strict=True)]
    for read in (read_vtt(vtt(report, window_cues)), read_srt(srt(report, window_cues))):
        assert [(start, end, emotion_of(text)) for start, end, text in read] == expected


@patient
@given(reports())
def test_speech_cues_read_back_have_same_speech(report: Report) -> None:
    cues = speech_cues(report.result)
    said = [sanitize(segment.text) for segment in report.result.transcript.segments]
    assert sorted("".join(cue.speech for cue in cues).replace(" ", "")) == sorted("".join(said).replace(" ", ""))
    for read in (read_vtt(vtt(report)), read_srt(srt(report))):
        assert [(start, end) for start, end, _ in read] == times_of(cues)
        for (_, _, text), cue in zip(read, cues, strict=True):
            assert emotion_of(text) == (cue.reading.emotion if cue.reading else None)


def _letters(text: str) -> str:
    """Return the text without spaces, line breaks and marks of direction."""
    return "".join(text.replace(RIGHT_TO_LEFT_MARK, "").split())


@patient
@given(reports())
def test_vtt_keeps_every_character_of_speech(report: Report) -> None:
    cues = speech_cues(report.result)
    for (_, _, text), cue in zip(read_vtt(vtt(report)), cues, strict=True):
        assert _letters(cue.speech) in _letters(text)


@patient
@given(reports())
def test_cues_have_at_most_two_lines_of_42_characters(report: Report) -> None:
    for make in (speech_cues, window_cues):
        for read in (read_vtt(vtt(report, make)), read_srt(srt(report, make))):
            for _, _, text in read:
                assert len(lines := text.split("\n")) <= MAX_LINES
                assert all(display_width(line) <= MAX_LINE_CHARACTERS for line in lines)


@pytest.mark.slow
@patient
@given(reports())
def test_cues_contain_every_moment_once(report: Report) -> None:
    for make in (speech_cues, window_cues):
        cues = make(report.result)
        assert sum(len(cue.moments) for cue in cues) == (len(report.result.moments) if cues else 0)


def test_vtt_of_video() -> None:
    assert vtt(video()) == (
        f"WEBVTT\n\nNOTE\n{DISCLAIMER}\n\n"
        "00:00:00.500 --> 00:00:01.800\n<c.happy>[happy 80%]</c> Hello there.\n\n"
        "NOTE happy peak: face, words\n\n"
        "00:00:01.800 --> 00:00:05.000\n<c.happy>[happy 80%]</c>\n\n"
        "NOTE happy → angry: voice\n\n"
        "00:00:07.000 --> 00:00:10.000\n<c.angry>[angry 80%]</c>\n"
    )


def test_srt_of_video() -> None:
    first, second, third = srt(video()).split("\n\n")
    assert first == "1\n00:00:00,500 --> 00:00:01,800\n[happy 80%] Hello there."
    assert second.startswith("2\n00:00:01,800 --> 00:00:05,000\n")
    assert third.endswith("[angry 80%]\n")


def test_speech_cues_sentence_has_emotion_of_speaking_channel() -> None:
    shown = [(cue.speaker, cue.reading.emotion) for cue in speech_cues(call().result) if cue.speech and cue.reading]
    assert shown == [("Channel 0", "happy"), ("Channel 1", "angry")]
    assert "<v Channel 1><c.angry>[angry 80%]</c> Is it?</v>" in vtt(call())
    assert "Channel 1: [angry 80%] Is it?" in srt(call())


def test_subtitles_of_transcribed_channels_name_the_channel_even_of_two_at_once() -> None:
    cues = [cue for cue in speech_cues(transcribed_call().result) if cue.speech]
    assert [(cue.speaker, cue.speech, cue.start) for cue in cues] == [
        ("Channel 0", "Good day to you.", 1.0), ("Channel 1", "Who is it?", 2.0),
    ]  # fmt: skip


@pytest.mark.parametrize("speech", [0.0, 0.5, 0.9])
def test_speech_cues_unclear_channel_uses_whole_media(speech: float) -> None:
    report = call()
    timelines = ([window(0, 8, "happy", speech=speech)], [window(0, 8, "sad", speech=speech * 0.6)])
    same = [
        channel.model_copy(update={"windows": windows})
        for channel, windows in zip(report.result.channels or (), timelines, strict=True)
    ]
    cues = speech_cues(report.result.model_copy(update={"channels": same}))
    assert {(cue.speaker, cue.reading.emotion) for cue in cues if cue.reading} == {("", "neutral")}


def test_speech_cues_without_speech_equal_windows() -> None:
    windows = [window(0, 4, "happy"), window(4, 8, "sad"), window(8, 9.5, "angry")]
    cues = speech_cues(result(windows))
    assert [(cue.start, cue.end, cue.reading.emotion) for cue in cues if cue.reading] == [
        (each.start, each.end, each.emotion) for each in windows
    ]


def test_speech_cues_without_speech_never_overlap() -> None:
    cues = speech_cues(
        result([window(start, start + 4, emotion) for start, emotion in enumerate(("happy", "sad") * 9)])
    )
    assert all(left.end <= right.start for left, right in pairwise(cues))


def test_speech_cues_sentence_over_two_windows_weights_both() -> None:
    windows = [window(0, 4, "happy"), window(4, 8, "sad")]
    said = Transcript(source="caller", language=None, text="So.", segments=(Segment(start=3, end=7, text="So."),))
    (cue,) = [cue for cue in speech_cues(result(windows, transcript=said)) if cue.speech]
    assert cue.reading is not None
    assert cue.reading.emotion == "sad"
    assert cue.reading.confidence == pytest.approx(0.8 * 0.75 + 0.2 / 6 * 0.25)


def test_subtitles_of_image_are_empty() -> None:
    assert read_vtt(vtt(image())) == []
    assert srt(image()) == ""
    assert vtt(image()).startswith("WEBVTT\n")


def test_parse_transcript_reads_own_vtt() -> None:
    assert parse_transcript(vtt(video()), 10).transcript.text == "Hello there."


SENTENCE = "The birch canoe slid on the smooth planks, and it is easy to tell the depth of a well. Rice is served."


def test_speech_cues_long_sentence_is_divided_at_the_times_of_its_words() -> None:
    words = tuple(Word(start=n, end=n + 0.5, word=word) for n, word in enumerate(SENTENCE.split()))
    said = Segment(start=0, end=30, text=SENTENCE, words=words)
    transcript = Transcript(source="caller", language=None, text=SENTENCE, segments=(said,))
    cues = [cue for cue in speech_cues(result([window(0, 30, "happy")], transcript=transcript)) if cue.speech]
    assert " ".join(cue.speech for cue in cues) == SENTENCE
    assert len(cues) == 2 and (cues[0].start, cues[0].end, cues[1].end) == (0, cues[1].start, 30)
    assert cues[1].start == len(cues[0].speech.split())  # its first word's
    assert {cue.label for cue in cues} == {"[happy 80%]"}


def test_speech_cues_long_sentence_without_word_times_is_divided_by_length() -> None:
    said = Segment(start=10, end=20, text="a" * 420)
    transcript = Transcript(source="caller", language=None, text=said.text, segments=(said,))
    cues = [cue for cue in speech_cues(result([], transcript=transcript)) if cue.speech]
    assert "".join(cue.speech for cue in cues).replace(" ", "") == said.text
    assert all(10 <= cue.start <= cue.end <= 20 for cue in cues)


def test_vtt_long_times_have_hours() -> None:
    assert "01:01:01.001 --> 01:01:05.000" in vtt(Report("x", result([window(3661.001, 3665, "sad")])), window_cues)
