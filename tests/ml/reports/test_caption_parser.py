import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import InvalidTranscript, UnsupportedTranscript
from ml.reports.caption_encoding import decode_transcript
from ml.reports.caption_parser import MAX_CHARACTERS, MAX_WORDS, parse_transcript
from ml.results import Transcript

SRT = "1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Hello</i> there.\r\n\r\n2\r\n00:00:03,000 --> 00:00:99,000\r\nlost\r\n"
VTT = """WEBVTT - made by hand
Kind: captions

NOTE a remark
over two lines

STYLE
::cue { color: red }

REGION
id:left

intro
00:01.000 --> 00:02.000 align:start position:10%
<v.loud Ann>Fish &amp; <c.yellow>chips</c></v>
a < b, I <3 you

01:00:00.000 --> 01:00:01.000
beyond the end
"""
ROLLING = """WEBVTT

00:00:00.000 --> 00:00:02.000
so<00:00:01.000><c> we</c>

00:00:02.000 --> 00:00:02.010
so we
\x20

00:00:02.010 --> 00:00:04.000
so we
meet<00:00:03.000><c> again</c>
"""


def parse(text: str, duration: float | None) -> Transcript:
    return parse_transcript(text, duration).transcript


def cues(transcript: Transcript) -> list[tuple[float, float, str]]:
    return [(segment.start, segment.end, segment.text) for segment in transcript.segments]


def words(transcript: Transcript) -> list[tuple[float, float, str]]:
    return [(word.start, word.end, word.word) for segment in transcript.segments for word in segment.words]


def test_parse_transcript_plain_text_is_one_segment() -> None:
    transcript = parse("I am\n so  happy", 10.0)
    assert cues(transcript) == [(0.0, 10.0, "I am so happy")]
    assert words(transcript) == [(0.0, 1.0, "I"), (1.0, 3.0, "am"), (3.0, 5.0, "so"), (5.0, 10.0, "happy")]
    assert transcript.source == "caller" and transcript.text == "I am so happy" and transcript.language is None


def test_parse_transcript_plain_text_is_literal() -> None:
    said = "if a <b and b> c &amp; {\\an8} <00:01.000> then"
    assert parse(said, 5.0).text == said


def test_parse_transcript_srt_with_windows_line_ends_and_tags() -> None:
    assert cues(parse(SRT, None)) == [(1.0, 2.5, "Hello there.")]


def test_parse_transcript_srt_written_by_hand() -> None:
    text = (
        "\ufeff7\n0:0:1 --> 0:0:2,5 X1:40 X2:600\n{\\an8}one\n2\n00:00:03.000-->00:00:04.000\ntwo\n\nstill two\n\n\n3\n"
    )
    assert cues(parse(text + "00:00:05,000 --> 00:00:06,000\n7\n", None)) == [
        (1.0, 2.5, "one"),
        (3.0, 4.0, "two still two"),
        (5.0, 6.0, "7"),
    ]


def test_parse_transcript_webvtt_blocks_tags_and_entities() -> None:
    assert cues(parse("\ufeff" + VTT, 10.0)) == [(1.0, 2.0, "Fish & chips a < b, I <3 you")]


def test_parse_transcript_rolling_captions_have_word_times_and_no_repeats() -> None:
    transcript = parse(ROLLING, None)
    assert words(transcript) == [(0.0, 1.0, "so"), (1.0, 2.0, "we"), (2.01, 3.0, "meet"), (3.0, 4.0, "again")]


def test_parse_transcript_repeated_lines_without_stamps_are_kept() -> None:
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\nNo.\n\n00:02.000 --> 00:03.000\nNo.\n"
    assert parse(text, None).text == "No. No."


def test_parse_transcript_stamps_out_of_order_stay_within_cue() -> None:
    text = "WEBVTT\n\n00:01.000 --> 00:03.000\na <00:02.000>b <00:00.500>c <00:09.000>d\n"
    assert words(parse(text, None)) == [(1, 2, "a"), (2, 2, "b"), (2, 3, "c"), (3, 3, "d")]


def test_parse_transcript_cues_are_sorted_and_clipped() -> None:
    text = "00:05.000 --> 00:20.000\nlater\n\n00:01.000 --> 00:02.000\nsooner\n"
    assert cues(parse(text, 8.0)) == [(1.0, 2.0, "sooner"), (5.0, 8.0, "later")]


def test_parse_transcript_negative_and_reversed_times() -> None:
    text = "-00:00:02,000 --> 00:00:01,000\ncut\n\n-00:00:02,000 --> -00:00:01,000\nbefore\n\n"
    wrapped = "00:00:05,000 --> 00:00:01,000\nwrapped\n"
    assert cues(parse(text + wrapped, 8.0)) == [(0.0, 1.0, "cut"), (5.0, 5.0, "wrapped")]


@pytest.mark.parametrize("text", ["", " \n\t", "WEBVTT\n\n", "x --> y\nhello", "\x00", "\ud800", "[music]", "JANE:"])
def test_parse_transcript_without_words_raises(text: str) -> None:
    with pytest.raises(InvalidTranscript):
        parse(text, 5.0)


@pytest.mark.parametrize(
    "text",
    [
        "a" * (MAX_CHARACTERS + 1),
        "a " * (MAX_WORDS + 1),
        "1:00-->1:01\nx\n" * (MAX_WORDS + 1),
        "1:00-->1:01\n" + "x " * (MAX_WORDS + 1),
    ],
    ids=["characters", "words", "cues", "words of a cue"],
)
def test_parse_transcript_too_much_text_raises(text: str) -> None:
    with pytest.raises(InvalidTranscript, match="more than"):
        parse(text, None)


def test_parse_transcript_counts_captions_beyond_the_end() -> None:
    late = "2\n00:00:09,000 --> 00:00:10,000\nlate\n\n3\n00:00:12,000 --> 00:00:13,000\n[music]\n"
    transcript, beyond_end = parse_transcript("1\n00:00:01,000 --> 00:00:02,000\nin time\n\n" + late, 8.0)
    assert (transcript.text, beyond_end) == ("in time", 1)
    assert parse_transcript(late, 8.0) == (Transcript(source="caller", language=None, text=""), 1)
    assert parse_transcript(late, None).beyond_end == 0


def test_parse_transcript_captions_of_sounds_alone_have_no_words() -> None:
    assert parse("00:01.000 --> 00:02.000\n[MUSIC PLAYING]\n", 5.0).segments == ()


def test_parse_transcript_open_captions_end_at_the_next_or_after_a_second_a_word() -> None:
    text = "[00:01.00]one two three\n[00:02.00]four\n[00:30.00]five\n[00:31.00]\n"
    assert [(start, end) for start, end, _ in cues(parse(text, 60.0))] == [(1.0, 2.0), (2.0, 4.0), (30.0, 31.0)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    [
        *["<", "<a", "1 ", "{\\", "<0:00.0>", "0:0-->0:0\n", "-->", "&#", "1:1", "\n", "0:0-->0:1 <"],
        *["[", "(", "*", "A:", "Jane Doe: ", ">> ", "-", "# ", "[0:01]", "\n[0:01]a", "J  0:01\n", " " * 64 + "\n"],
    ],
)
@pytest.mark.parametrize(
    "head",
    [
        "WEBVTT\n\n0:00 --> 0:01\n",
        "[Events]\nDialogue: 0,0:00:00.00,0:00:01.00,,,0,0,0,,",
        "[0:01]",
        "Jane Doe  0:01\n",
        "0:00:00.0,0:00:01.0\n",
        "start\tend\ttext\n0\t1\t",
        '{"segments": [{"start": 0, "end": 1, "text": "',
        "<tt><p begin='0s'>",
        "",
    ],
)
def test_parse_transcript_megabytes_take_little_time(part: str, head: str) -> None:
    text = head + part * (1_000_000 // len(part))
    begin = time.process_time()
    try:
        assert len(parse(text, 9.0).text) <= 32 * len(text)
    except (InvalidTranscript, UnsupportedTranscript) as error:
        assert error.message
    assert time.process_time() - begin < 10


@pytest.mark.parametrize(
    "text",
    [
        "<tt>" * 100_000,
        "<tt><p begin='0s'>" + "<span begin='0s'>" * 50_000,
        '<!DOCTYPE tt [<!ENTITY a "ha">]><tt><p begin="0s">&a;</p></tt>',
        "[{" * 100_000,
        '{"segments":' * 100_000,
        '{"segments": [' + "[]," * 1_000_000 + "]}",
        "[0:01]" * 300_000 + "a " * 300_000,
        "\n".join(["[0:01]" * 40 + "word " * 2000] * 300),
        "[" * 500_000 + "]" * 500_000,
        "[[0:01]0:01]" * 300_000,
    ],
)
def test_parse_transcript_bombs_take_little_time(text: str) -> None:
    begin = time.process_time()
    try:
        parse(text, 9.0)
    except (InvalidTranscript, UnsupportedTranscript) as error:
        assert error.message
    assert time.process_time() - begin < 10


lines = st.one_of(
    st.sampled_from(
        [
            *["", " ", "1", "WEBVTT", "NOTE x", "STYLE", "{\\an8}up", "<v A>b", "&lt;", "\ud800", "9 --> 9"],
            *["[Events]", "Dialogue: 0,0:00:01.00,0:00:02.00,,,0,0,0,,a{\\p1}b{\\p0}", "[00:01.00]a", "Jane Doe  0:07"],
            *["0:00:01.0,0:00:02.0", "start\tend\ttext", "10\t20\tx", "JANE: hi", "[a", "b] c", "♪ la", "(x) - y"],
            '{"segments": [{"start": 1, "end": 2, "text": "a\\ud800\\u0000b"}]}',
            '{"segments": [{"start": 1, "text": "a", "words": [{"word": "\\ud800", "start": 1, "end": 2}]}]}',
            '<tt frameRate="0"><p begin="1s" dur="1:2">a<br/><span begin="500ms">b</span></p></tt>',
        ]
    ),
    st.text(st.sampled_from("01:.,-> \n\r<>&;aWEBVTT\x00é[]{}()♪"), max_size=40),
    st.builds(
        "{}00:{}.{} --> 00:{}".format,
        st.sampled_from(["", "-", "00:", "9999:"]),
        st.integers(0, 70),
        st.integers(0, 10**9),
        st.integers(0, 70),
    ),
    st.builds("one <00:{}.5>two {}".format, st.integers(0, 70), st.text(max_size=10)),
)


def check(transcript: Transcript, duration: float | None) -> None:
    end = float("inf") if duration is None else duration
    assert transcript.text == " ".join(segment.text for segment in transcript.segments)
    assert [segment.start for segment in transcript.segments] == sorted(s.start for s in transcript.segments)
    for segment in transcript.segments:
        assert segment.text and 0 <= segment.start <= segment.end <= end
        assert segment.text.replace(" ", "") == "".join(word.word for word in segment.words)
        assert segment.start == segment.words[0].start
        assert all(word.start <= word.end <= segment.end for word in segment.words)
        assert all(first.end <= second.start for first, second in pairwise(segment.words))


@given(st.lists(lines, max_size=30).map("\n".join), st.none() | st.floats(0, 100))
def test_parse_transcript_hostile_text_gives_transcript_or_coded_error(text: str, duration: float | None) -> None:
    try:
        check(parse(text, duration), duration)
    except (InvalidTranscript, UnsupportedTranscript):
        return


@given(
    st.lists(lines, max_size=10).map("\n".join).map(lambda text: text.encode("utf-8", "replace"))
    | st.lists(lines, max_size=10).map("\n".join).map(lambda text: text.encode("utf-16", "replace"))
    | st.binary(max_size=200)
)
def test_parse_transcript_hostile_bytes_give_transcript_or_coded_error(data: bytes) -> None:
    try:
        check(parse(decode_transcript(data), 9.0), 9.0)
    except (InvalidTranscript, UnsupportedTranscript):
        return


def test_parse_transcript_words_of_scripts_without_spaces_share_the_time() -> None:
    (segment,) = parse_transcript("1\n00:00:00,000 --> 00:00:05,000\n我很高兴。\n", 60.0).transcript.segments
    assert segment.text == "我很高兴。"
    assert [(word.word, word.start) for word in segment.words] == [("我", 0), ("很", 1), ("高兴。", 2)]
