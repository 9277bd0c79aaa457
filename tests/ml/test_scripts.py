from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.scripts import (
    break_units,
    count_words,
    display_width,
    fill_lines,
    graphemes,
    is_right_to_left,
    join_units,
    word_spans,
    wrap,
)

THAI = "วันนี้ฉันมีความสุขมากที่ได้พบเพื่อนเก่าของฉันอีกครั้งหลังจากหลายปี"
CHINESE = "今天我非常高兴，因为多年以后我又见到了我的老朋友，我们一起吃了饭。"
JAPANESE = "今日は古い友達に会えてとても嬉しかったです。「また会いましょう」と言いました。"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", ["a", "b", "c"]),
        ("e\u0301a", ["e\u0301", "a"]),
        ("नमस्ते", ["न", "म", "स्ते"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("น้ำ", ["น้ำ"]),
        ("한글", ["한", "글"]),
        ("\u1112\u1161\u11ab", ["\u1112\u1161\u11ab"]),
        ("👩‍👩‍👧👍🏽🇩🇪🇫🇷", ["👩‍👩‍👧", "👍🏽", "🇩🇪", "🇫🇷"]),
        ("❤️x", ["❤️", "x"]),
        ("می‌خواهم", [*"م", "ی‌", *"خواهم"]),
    ],
)
def test_graphemes_are_characters_as_readers_see_them(text: str, expected: list[str]) -> None:
    assert list(graphemes(text)) == expected


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("hello", 5),
        ("", 0),
        ("今天", 4),
        ("한글", 4),
        ("ｱｲ", 2),
        ("สวัสดี", 4),
        ("e\u0301", 1),
        ("👩‍👩‍👧", 2),
        ("🇩🇪", 2),
        ("\u200fשלום\u200f", 4),
    ],
)
def test_display_width_counts_columns(text: str, width: int) -> None:
    assert display_width(text) == width


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", False),
        ("مرحبا hello", True),
        ("שלום", True),
        ("12 مرحبا", True),
        ("", False),
        ("123", False),
        ("नमस्ते", False),
    ],
)
def test_is_right_to_left_by_first_letter(text: str, expected: bool) -> None:
    assert is_right_to_left(text) is expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I don't know, really.", ["I", "don't", "know,", "really."]),
        ("مرحبا يا صديقي", ["مرحبا", "يا", "صديقي"]),
        ("오늘 날씨가 좋아요", ["오늘", "날씨가", "좋아요"]),
        ("ວັນນີ້ຂ້ອຍ", ["ວັນນີ້", "ຂ້ອຍ"]),
        ("ሰላም ለሁሉም", ["ሰላም", "ለሁሉም"]),
        ("我很高兴。", ["我", "很", "高兴。"]),
        ("今日は、コーヒーを飲む", ["今日", "は、", "コーヒー", "を", "飲む"]),
        ("我用iPhone打字", ["我", "用", "iPhone", "打字"]),
        ("สวัสดี ครับ", ["สวัสดี", "ครับ"]),
    ],
)
def test_word_spans_of_each_script(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in word_spans(text)] == words
    assert count_words(text) == len(words)


@given(st.text())
def test_word_spans_cover_all_but_spaces(text: str) -> None:
    spans = word_spans(text)
    assert all(start < end for start, end in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    assert "".join("".join(text[start:end].split()) for start, end in spans) == "".join(text.split())


@given(st.text())
def test_graphemes_and_units_keep_every_character(text: str) -> None:
    assert "".join(graphemes(text)) == text
    assert join_units(break_units(text)) == " ".join(text.split())


@given(st.text(min_size=1), st.integers(2, 50))
def test_wrap_lines_are_no_wider_and_keep_every_character(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert all(display_width(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_wrap_breaks_between_words() -> None:
    assert wrap("The quick brown fox jumps over the lazy dog", 16) == [
        "The quick brown",
        "fox jumps over",
        "the lazy dog",
    ]
    assert wrap("Donaudampfschifffahrt", 8) == ["Donaudam", "pfschiff", "fahrt"]


def test_wrap_chinese_and_japanese_keep_punctuation_where_it_belongs() -> None:
    for text in (CHINESE, JAPANESE):
        for width in range(8, 44):
            lines = wrap(text, width)
            assert "".join(lines) == text
            assert not any(line[0] in "、。」，" or line[-1] in "「" for line in lines), (width, lines)


def test_wrap_breaks_between_phrases() -> None:
    assert wrap(JAPANESE, 24) == [
        "今日は古い友達に会えて",
        "とても嬉しかったです。",
        "「また会いましょう」と",
        "言いました。",
    ]


def test_wrap_prefers_to_break_after_a_mark() -> None:
    assert wrap(CHINESE, 24)[0] == "今天我非常高兴，"


def test_wrap_thai_never_parts_vowels_and_marks_from_their_consonant() -> None:
    for width in range(4, 44):
        lines = wrap(THAI, width)
        assert "".join(lines) == THAI
        for line in lines:
            assert line[0] not in "ะาำัิีึืุู็่้๊๋์ๆ" and line[-1] not in "เแโใไ", (width, lines)


def test_fill_lines_measures_by_any_unit() -> None:
    units = break_units("aa bb cc dd")
    assert [join_units(units[line]) for line in fill_lines(units, 50, lambda text: 10 * len(text))] == [
        "aa bb",
        "cc dd",
    ]
