"""Each format of captions, generated here, becomes the same words and times."""

import json

import pytest

from ml.errors import InvalidTranscript, UnsupportedTranscript
from ml.reports.caption_parser import parse_transcript
from ml.results import Transcript

SAID = [(0.5, 2.0, "The kettle sings"), (3.0, 4.5, "on the stove")]
"""What every document below says."""

ASS = """[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname
Style: Default,Arial
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,a remark
Dialogue: 0,0:00:03.00,0:00:04.50,Default,Ann,0,0,0,,on\\Nthe{a note} {\\b1}stove
Dialogue: 0,0:00:00.50,0:00:02.00,Default,Ann,0,0,0,,{\\an8\\k20}The kettle\\hsings
Dialogue: 0,0:00:05.00,0:00:06.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0{\\p0}
Dialogue: 0,broken,0:00:06.00,Default,,0,0,0,,lost
"""
SSA = """[Script Info]
[Events]
Format: Marked, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: Marked=0,0:00:00.50,0:00:02.00,Default,Ann,0,0,0,,The kettle sings
Dialogue: Marked=0,0:00:03.00,0:00:04.50,Default,Ann,0,0,0,,on the stove
"""
SBV = "0:00:00.500,0:00:02.000\nThe kettle\nsings\n\n0:00:03.000,0:00:04.500\non the stove\n"
SUBVIEWER = "[INFORMATION]\n[TITLE]x\n[SUBTITLE]\n00:00:00.50,00:00:02.00\nThe kettle[br]sings\n\n" + (
    "00:00:03.00,00:00:04.50\non the stove\n"
)
TTML = """<?xml version="1.0" encoding="UTF-16"?>
<!-- --> <tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter" ttp:frameRate="25"
 ttp:tickRate="1000">
<head><metadata><ttm:title xmlns:ttm="x">Not spoken</ttm:title></metadata></head>
<body><div begin="00:00:00.500">
<p begin="0s" dur="1.5s">The <span style="i">kettle</span><br/>sings<metadata>no</metadata></p>
<p begin="2500t" end="00:00:04:00">on
  the stove</p>
</div></body></tt>
"""
TTML_SPANS = """<tt:tt xmlns:tt="http://www.w3.org/ns/ttml"><tt:body><tt:div><tt:p>
<tt:span begin="500ms" end="2s">The kettle sings</tt:span><tt:span begin="0.05m" end="4.5s">on the stove</tt:span>
</tt:p></tt:div></tt:body></tt:tt>"""
LRC = "[ar:Someone]\n[offset:+500]\n[00:01.00]The kettle sings\n[00:02.50]\n[00:03.50] on the stove\n[0:05.00]\n"
LRC_WORDS = "[00:00.50]<00:00.50>The <00:01.00>kettle <00:01.50>sings\n[00:02.00]\n[00:03.00]on\nthe stove\n[00:04.50]"
TSV = "start\tend\ttext\n500\t2000\tThe kettle sings\n3000\t4500\ton the stove\n"
SEGMENTS = [{"id": n, "start": start, "end": end, "text": f" {text}"} for n, (start, end, text) in enumerate(SAID)]
WHISPER = json.dumps({"text": "x", "segments": SEGMENTS, "language": "en"})
CPP = json.dumps(
    {
        "result": {"language": "en"},
        "transcription": [
            {"offsets": {"from": start * 1000, "to": end * 1000}, "text": text} for start, end, text in SAID
        ],
    }
)
LIST = json.dumps([{"text": text, "start": start, "duration": end - start} for start, end, text in SAID])


def said(transcript: Transcript) -> list[tuple[float, float, str]]:
    return [(segment.start, segment.end, segment.text) for segment in transcript.segments]


def parse(text: str) -> Transcript:
    return parse_transcript(text, 60.0).transcript


@pytest.mark.parametrize(
    "text",
    [ASS, SSA, SBV, SUBVIEWER, TTML, TTML_SPANS, LRC, LRC_WORDS, TSV, WHISPER, CPP, LIST],
    ids=["ASS", "SSA", "SBV", "SubViewer", "TTML", "TTML spans", "LRC", "LRC words", "TSV", "JSON", "cpp", "list"],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_read_captions_of_each_format_have_the_same_words_and_times(text: str, line_end: str) -> None:
    assert said(parse(text.replace("\n", line_end))) == SAID


def test_read_captions_words_of_json_have_their_times() -> None:
    words = [{"word": " The", "start": 0.5, "end": 0.7, "score": 1}, {"word": " kettle", "start": 0.9, "end": 1.2}]
    document = {"segments": [{"start": 0.5, "end": 1.2, "text": " The kettle", "words": words}]}
    (segment,) = parse(json.dumps(document)).segments
    assert [(word.start, word.end, word.word) for word in segment.words] == [(0.5, 0.7, "The"), (0.9, 1.2, "kettle")]


def test_read_captions_words_of_lrc_have_their_times() -> None:
    words = parse(LRC_WORDS).segments[0].words
    assert [(word.start, word.word) for word in words] == [(0.5, "The"), (1.0, "kettle"), (1.5, "sings")]


def test_read_captions_repeated_line_of_lrc_is_said_each_time() -> None:
    assert said(parse("[00:01.00][00:08.00]again\n[00:05.00]and\n")) == [
        (1.0, 3.0, "again"),
        (5.0, 7.0, "and"),
        (8.0, 10.0, "again"),
    ]


@pytest.mark.parametrize(("stated", "code"), [("english", "en"), ("de", "de"), ("xx", None), (7, None)])
def test_read_captions_language_of_json_is_kept(stated: object, code: str | None) -> None:
    assert parse(json.dumps({"language": stated, "segments": SEGMENTS})).language == code


def test_read_captions_own_result_document_is_read() -> None:
    document = {"schema_version": "1", "transcript": {"source": "whisper", "language": "en", "segments": SEGMENTS}}
    assert said(parse(json.dumps(document))) == SAID


@pytest.mark.parametrize(
    "text",
    [
        "Jane Doe  0:01 \nHello there.\n\nJohn Roe  0:05\nGoodbye.\n\nTranscribed by https://otter.ai\n",
        "Meeting\nMonday\n\nSPEAKERS\nJane, John\n\nJane Doe 0:01\nHello there.\n\nUnknown Speaker  0:05\nGoodbye.\n",
        "0:01\nHello there.\n0:05\nGoodbye.\n",
        "[00:00:01] Jane: Hello there.\n[00:00:05] John: Goodbye.\n",
        "Speaker 1 (00:01)\nHello there.\n\nSpeaker 2 (00:05)\nGoodbye.\n",
    ],
    ids=["Otter", "Otter with keywords", "YouTube", "times in brackets", "times in parentheses"],
)
def test_read_captions_paragraphs_below_speaker_and_time(text: str) -> None:
    assert [(start, text) for start, _, text in said(parse(text))] == [(1.0, "Hello there."), (5.0, "Goodbye.")]


@pytest.mark.parametrize(
    "text",
    ["We meet at 10:30", "I said\nWe meet at 10:30\nand left", "It is [sic] so.\n<i>Yes</i>", "start\tend", "a,b\n1,2"],
)
def test_read_captions_plain_text_stays_plain_text(text: str) -> None:
    assert len(parse(text).segments) == 1


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("<SAMI><BODY><SYNC Start=1><P>Hi</SAMI>", "SAMI"),
        ("<!doctype html><p>Hi", "HTML"),
        ('<?xml version="1.0"?><transcript><text start="1">Hi</text></transcript>', "YouTube"),
        ('<?xml version="1.0"?><note>Hi</note>', "XML"),
        ("<tt><p begin='1s'>Hi", "XML"),
        ('<!DOCTYPE tt [<!ENTITY a "b">]><tt><p begin="1s">&a;</p></tt>', "text"),
        ('<?xml version="1.0"?><!DOCTYPE tt [<!ENTITY a "b">]><tt><p begin="1s">&a;</p></tt>', "document type"),
        ("{10}{20}Hi", "MicroDVD"),
        ("[10][20] Hi", "MPL2"),
        ("Scenarist_SCC V1.0\n\n00:00:01:00\t9420", "SCC"),
        ("{\\rtf1 Hi}", "RTF"),
        ('{"results": {"items": []}}', "JSON"),
        ('{"segments": [{"text": "Hi"}]}', "JSON"),
        ('{"segments": [', "JSON"),
    ],
)
def test_read_captions_other_formats_are_refused_by_name(text: str, name: str) -> None:
    if name == "text":  # an entity without an XML declaration is no format at all: its text is plain
        assert parse(text).text
        return
    with pytest.raises(UnsupportedTranscript, match=f"{name}.*SubRip"):
        parse(text)


@pytest.mark.parametrize("text", ["[Events]\nComment: 0,x", "<tt></tt>", '{"segments": []}', "start\tend\ttext\n"])
def test_read_captions_without_a_cue_are_invalid(text: str) -> None:
    with pytest.raises(InvalidTranscript, match="no readable cue"):
        parse(text)
