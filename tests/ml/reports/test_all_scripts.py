"""Every export, with speech in the scripts of the world."""

import csv
import html
import io
import json
from xml.etree import ElementTree

import pytest
import webvtt

from ml.reports.caption_parser import parse_transcript
from ml.reports.formats import FORMATS
from ml.reports.report import Report
from ml.reports.subtitles import MAX_LINE_CHARACTERS, MAX_LINES, RIGHT_TO_LEFT_MARK
from ml.results import Segment, Transcript, Word
from ml.scripts import display_width, is_right_to_left
from tests.ml.reports.made_results import result, window

SENTENCES = {
    "ar": "أنا سعيد جدا لأنني قابلت صديقي القديم بعد سنوات طويلة، وتحدثنا معا حتى الصباح.",
    "he": "אני שמח מאוד כי פגשתי את חברי הוותיק אחרי שנים רבות, ודיברנו יחד עד הבוקר.",
    "fa": "من خیلی خوشحالم که بعد از سال‌ها دوست قدیمی‌ام را دیدم و تا صبح حرف زدیم.",
    "hi": "मैं बहुत खुश हूँ क्योंकि कई साल बाद मैं अपने पुराने दोस्त से मिला और हमने सुबह तक बात की।",
    "zh": "今天我非常高兴，因为多年以后我又见到了我的老朋友，我们一起吃了饭，一直聊到第二天早上。",
    "ja": "今日は古い友達に会えてとても嬉しかったです。「また会いましょう」と言って、朝まで一緒に話しました。",
    "th": "วันนี้ฉันมีความสุขมากที่ได้พบเพื่อนเก่าของฉันอีกครั้งหลังจากหลายปี เราคุยกันจนถึงเช้า",
    "ko": "오늘은 오랜 친구를 다시 만나서 정말 행복했어요. 우리는 아침까지 함께 이야기를 나누었습니다.",
    "am": "ከብዙ ዓመታት በኋላ የድሮ ጓደኛዬን ስላገኘሁ በጣም ደስ ብሎኛል፤ እስከ ጠዋት ድረስ አብረን አወራን።",
    "ru": "Я очень рад, потому что встретил старого друга спустя много лет, и мы говорили до самого утра.",
    "emoji": "I am so happy 😀👩‍👩‍👧‍👦🇩🇪👍🏽, I met my old friend again ❤️ and we talked until the morning 🌅",
}
SENTENCES = {code: f"{sentence} {sentence}" for code, sentence in SENTENCES.items()}
UNSPACED = ("zh", "ja", "th")


def report(code: str, *, timed: bool = False) -> Report:
    """A recording of ten seconds with one sentence. `timed`: with a time for each character, or each word."""
    text = SENTENCES[code]
    words = list(text.replace(" ", "")) if code in UNSPACED else text.split()
    times = [0.5 + 9 * place / len(words) for place in range(len(words) + 1)]
    spoken = tuple(Word(start=times[i], end=times[i + 1], word=word) for i, word in enumerate(words)) if timed else ()
    segment = Segment(start=0.5, end=9.5, text=text, words=spoken)
    transcript = Transcript(source="whisper", language=code, text=text, segments=(segment,))
    return Report(f"{text[:12]}.mp4", result([window(0.0, 10.0, "happy", text)], transcript=transcript))


def write(name: str, made: Report) -> str:
    return FORMATS[name].writers[FORMATS[name].default](made)


def letters(text: str) -> str:
    """Return the text without spaces, line breaks, marks of direction, and the variants of emoji."""
    return "".join(text.replace(RIGHT_TO_LEFT_MARK, "").replace("\ufe0f", "").split())


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("code", SENTENCES)
def test_subtitles_have_two_lines_of_42_columns_and_every_letter(code: str, timed: bool) -> None:
    vtt = write("vtt", report(code, timed=timed))
    srt = write("srt", report(code, timed=timed))
    captions = [*webvtt.from_string(vtt).captions], [*webvtt.from_buffer(io.StringIO(srt), format="srt").captions]
    for cues in captions:
        spoken = [cue for cue in cues if len(html.unescape(cue.text)) > len("[happy 80%]") + 2]
        shown = [html.unescape(cue.text).replace("[happy 80%]", "") for cue in spoken]
        assert letters("".join(shown)) == letters(SENTENCES[code])
        for cue in spoken:
            lines = html.unescape(cue.text).split("\n")
            assert len(lines) <= MAX_LINES and max(map(display_width, lines)) <= MAX_LINE_CHARACTERS
            marked = all(line[0] == line[-1] == RIGHT_TO_LEFT_MARK for line in lines)
            assert marked == is_right_to_left(SENTENCES[code])
        assert len(spoken) > 1
        starts = [cue.start for cue in spoken]
        assert starts == sorted(starts) and len(set(starts)) == len(starts)


@pytest.mark.parametrize("code", SENTENCES)
@pytest.mark.parametrize("name", ["vtt", "srt"])
def test_subtitles_read_back_as_transcript_have_the_same_words(code: str, name: str) -> None:
    transcript, _ = parse_transcript(write(name, report(code)), 60.0)
    assert letters(transcript.text) == letters(SENTENCES[code])


@pytest.mark.parametrize("code", SENTENCES)
def test_annotation_files_have_sentence_and_words(code: str) -> None:
    made = report(code, timed=True)
    sentence, words = SENTENCES[code], [word.word for word in made.result.transcript.segments[0].words]
    values = [node.text for node in ElementTree.fromstring(write("eaf", made)).iter("ANNOTATION_VALUE")]
    assert sentence in values and all(word in values for word in words)
    grid = write("textgrid", made)
    assert f'text = "{sentence}"' in grid and all(f'text = "{word}"' in grid for word in words)


@pytest.mark.parametrize("code", SENTENCES)
def test_tables_and_text_have_sentence(code: str) -> None:
    made = report(code)
    rows = list(csv.DictReader(io.StringIO(write("csv", made))))
    assert rows[0]["text_transcript"] == SENTENCES[code]
    text = write("txt", made)
    assert SENTENCES[code] in text and f"(auto-generated, {code})" in text
    assert json.loads(made.result.model_dump_json())["transcript"]["text"] == SENTENCES[code]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("नमस्ते दुनिया, नमस्ते!", {"नमस्ते": 2, "दुनिया": 1}),
        ("我很高兴，我的朋友也很高兴。", {"高兴": 2, "我": 2, "很": 2, "的": 1, "朋友": 1, "也": 1}),
        ("コーヒーとコーヒー", {"コーヒー": 2, "と": 1}),
        ("ฉันมีความสุข ฉัน", {"ฉัน": 2, "มี": 1, "ความ": 1, "สุข": 1}),
        ("مرحبا، مرحبا يا صديقي", {"مرحبا": 2, "يا": 1, "صديقي": 1}),
        ("Don't — don't 'stop' 😀 e-mail", {"don't": 2, "e-mail": 1, "stop": 1}),
    ],
)
def test_words_table_counts_the_words_of_each_script(text: str, expected: dict[str, int]) -> None:
    said = Transcript(source="caller", language=None, text=text)
    made = Report("a.wav", result([window(0, 1, "sad")], transcript=said))
    rows = csv.DictReader(io.StringIO(FORMATS["csv"].writers["words"](made)))
    assert {row["word"]: int(row["count"]) for row in rows} == expected
