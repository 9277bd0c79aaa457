"""WebVTT and SubRip, read back with webvtt-py (and our own reader of transcripts)."""

import html
import re
from io import StringIO
from itertools import pairwise

import pytest
import webvtt
from hypothesis import given

from ml.reports.caption_parser import parse_transcript
from ml.reports.report import Report, milliseconds, plain, voices_of
from ml.reports.subtitles import Cue, speech_cues, srt, vtt, window_cues
from ml.results import Segment, Transcript
from tests.ml.reports.made_results import call, image, patient, reports, result, video, window

Read = list[tuple[int, int, str]]


def _milliseconds(clock: str) -> int:
    hours, minutes, seconds = clock.replace(",", ".").split(":")
    return milliseconds(int(hours) * 3600 + int(minutes) * 60 + float(seconds))


def read_vtt(text: str) -> Read:
    captions = webvtt.from_string(text).captions
    return [(_milliseconds(c.start), _milliseconds(c.end), html.unescape(c.text)) for c in captions]


def read_srt(text: str) -> Read:
    """webvtt-py refuses an empty file."""
    captions = webvtt.from_buffer(StringIO(text), format="srt").captions if text else []
    return [(_milliseconds(c.start), _milliseconds(c.end), c.text) for c in captions]


def emotion_of(text: str) -> str | None:
    """The emotion that a cue's label names."""
    found = re.match(r"(?:Channel \d+: )?\[(\w+) \d+%\]", text)
    return found[1] if found else None


def spans(cues: list[Cue]) -> list[tuple[int, int]]:
    edges = ((milliseconds(cue.start), milliseconds(cue.end)) for cue in cues)
    return [(start, max(end, start + 1)) for start, end in edges]


@patient
@given(reports())
def test_windows_come_back_as_they_were(report: Report) -> None:
    windows = [told for voice in voices_of(report.result) for told in voice.windows]
    times = spans(window_cues(report.result))
    expected = [(*span, told.emotion) for span, told in zip(times, windows, strict=True)]
    for read in (read_vtt(vtt(report, window_cues)), read_srt(srt(report, window_cues))):
        assert [(start, end, emotion_of(text)) for start, end, text in read] == expected


@patient
@given(reports())
def test_speech_comes_back_as_it_was_said(report: Report) -> None:
    cues = speech_cues(report.result)
    said = [plain(segment.text) for segment in report.result.transcript.segments]
    assert sorted(cue.said for cue in cues if cue.said) == sorted(filter(None, said))
    for read in (read_vtt(vtt(report)), read_srt(srt(report))):
        assert [(start, end) for start, end, _ in read] == spans(cues)
        for (_, _, text), cue in zip(read, cues, strict=True):
            assert emotion_of(text) == (cue.reading.emotion if cue.reading else None)


@patient
@given(reports())
def test_webvtt_keeps_every_character_of_speech(report: Report) -> None:
    cues = speech_cues(report.result)
    for (_, _, text), cue in zip(read_vtt(vtt(report)), cues, strict=True):
        assert cue.said in text
        assert all(note in text for note in cue.moments)


@patient
@given(reports())
def test_every_moment_is_told_once(report: Report) -> None:
    for make in (speech_cues, window_cues):
        cues = make(report.result)
        assert sum(len(cue.moments) for cue in cues) == (len(report.result.moments) if cues else 0)


def test_the_video_in_webvtt() -> None:
    assert vtt(video()) == (
        "WEBVTT\n\nNOTE\nHow people come across, as others would label it; not what they feel inside.\n\n"
        "00:00:00.500 --> 00:00:01.800\n<c.happy>[happy 80%]</c> Hello there.\n\n"
        "00:00:01.800 --> 00:00:05.000\n<c.happy>[happy 80%]</c>\n(peak of happy: face, text)\n\n"
        "00:00:07.000 --> 00:00:10.000\n<c.angry>[angry 80%]</c>\n(from happy to angry: audio)\n"
    )


def test_the_video_in_subrip() -> None:
    first, second, third = srt(video()).split("\n\n")
    assert first == "1\n00:00:00,500 --> 00:00:01,800\n[happy 80%] Hello there."
    assert second.startswith("2\n00:00:01,800 --> 00:00:05,000\n")
    assert third.endswith("[angry 80%]\n(from happy to angry: audio)\n")


def test_a_sentence_has_the_emotion_of_the_channel_that_speaks() -> None:
    shown = [(cue.speaker, cue.reading.emotion) for cue in speech_cues(call().result) if cue.said and cue.reading]
    assert shown == [("Channel 0", "happy"), ("Channel 1", "angry")]
    assert "<v Channel 1><c.angry>[angry 80%]</c> Is it?</v>" in vtt(call())
    assert "Channel 1: [angry 80%] Is it?" in srt(call())


@pytest.mark.parametrize("speech", [0.0, 0.5, 0.9])
def test_where_no_channel_clearly_speaks_the_whole_is_told(speech: float) -> None:
    report = call()
    timelines = ([window(0, 8, "happy", speech=speech)], [window(0, 8, "sad", speech=speech * 0.6)])
    same = [
        channel.model_copy(update={"windows": windows})
        for channel, windows in zip(report.result.channels or (), timelines, strict=True)
    ]
    cues = speech_cues(report.result.model_copy(update={"channels": same}))
    assert {(cue.speaker, cue.reading.emotion) for cue in cues if cue.reading} == {("", "neutral")}


def test_without_speech_the_cues_are_the_windows_where_these_do_not_overlap() -> None:
    windows = [window(0, 4, "happy"), window(4, 8, "sad"), window(8, 9.5, "angry")]
    cues = speech_cues(result(windows))
    assert [(cue.start, cue.end, cue.reading.emotion) for cue in cues if cue.reading] == [
        (told.start, told.end, told.emotion) for told in windows
    ]


def test_two_windows_are_never_shown_at_once() -> None:
    cues = speech_cues(
        result([window(start, start + 4, emotion) for start, emotion in enumerate(("happy", "sad") * 9)])
    )
    assert all(left.end <= right.start for left, right in pairwise(cues))


def test_a_sentence_over_two_windows_is_read_by_the_share_of_each() -> None:
    windows = [window(0, 4, "happy"), window(4, 8, "sad")]
    said = Transcript(source="caller", language=None, text="So.", segments=(Segment(start=3, end=7, text="So."),))
    (cue,) = [cue for cue in speech_cues(result(windows, transcript=said)) if cue.said]
    assert cue.reading is not None
    assert cue.reading.emotion == "sad"
    assert cue.reading.confidence == pytest.approx(0.8 * 0.75 + 0.2 / 6 * 0.25)


def test_an_image_has_no_cues() -> None:
    assert read_vtt(vtt(image())) == []
    assert srt(image()) == ""
    assert vtt(image()).startswith("WEBVTT\n")


def test_our_own_reader_reads_what_was_said() -> None:
    text = parse_transcript(vtt(video()), 10).text
    assert "[happy 80%] Hello there." in text


def test_long_times_have_hours() -> None:
    assert "01:01:01.001 --> 01:01:05.000" in vtt(Report("x", result([window(3661.001, 3665, "sad")])), window_cues)
