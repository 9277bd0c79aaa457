import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import InvalidTranscript
from ml.reports.captions import MOST_CHARACTERS, parse_transcript

SRT = "1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Hello</i> there.\r\n\r\n2\r\n00:00:03,000 --> 00:00:99,000\r\nlost\r\n"
VTT = """WEBVTT - made by hand

NOTE a remark

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.000 align:start
<v Ann>Fish &amp; chips</v>

01:00:00.000 --> 01:00:01.000
beyond the end
"""


def test_plain_text_is_one_segment_over_the_media() -> None:
    transcript = parse_transcript("I am\n so  happy", 8.0)
    assert [(s.start, s.end, s.text) for s in transcript.segments] == [(0.0, 8.0, "I am so happy")]
    assert transcript.source == "caller" and transcript.text == "I am so happy"


def test_srt_with_windows_line_ends_and_tags() -> None:
    (segment,) = parse_transcript(SRT, None).segments
    assert (segment.start, segment.end, segment.text) == (1.0, 2.5, "Hello there.")


def test_webvtt_blocks_tags_and_entities() -> None:
    (segment,) = parse_transcript("\ufeff" + VTT, 10.0).segments
    assert (segment.start, segment.end, segment.text) == (1.0, 2.0, "Fish & chips")


def test_cues_are_ordered_and_cut_at_the_end() -> None:
    text = "00:05.000 --> 00:20.000\nlater\n\n00:01.000 --> 00:02.000\nsooner\n"
    first, second = parse_transcript(text, 8.0).segments
    assert (first.text, second.text, second.end) == ("sooner", "later", 8.0)


@pytest.mark.parametrize("text", ["", " \n\t", "WEBVTT\n\n", "x --> y\nhello", "\x00"])
def test_nothing_to_read_is_an_error(text: str) -> None:
    with pytest.raises(InvalidTranscript):
        parse_transcript(text, 5.0)


def test_too_much_is_an_error() -> None:
    with pytest.raises(InvalidTranscript):
        parse_transcript("a" * (MOST_CHARACTERS + 1), None)


@given(st.text(st.sampled_from("01:.,-> \n\r<>&;aWEBVTT\x00é"), max_size=300), st.floats(0.1, 100))
def test_hostile_text_ends_in_a_transcript_or_a_coded_error(text: str, duration: float) -> None:
    try:
        transcript = parse_transcript(text, duration)
    except InvalidTranscript:
        return
    assert transcript.text
    assert all(0 <= segment.start <= segment.end <= duration for segment in transcript.segments)
