import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.inference.speech.written_language import written_language
from ml.languages import language_name


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ar", "صباح الخير يا جدتي"),
        ("fa", "صبح بخیر، چای گرم است"),
        ("ur", "میرا بڑا بھائی گھر میں ہے"),
        ("zh", "火车今天早上又晚点了"),
        ("ja", "今朝も電車が遅れました"),
        ("ko", "오늘 아침 기차가 늦었어요"),
        ("th", "วันนี้รถไฟมาช้า"),
        ("ru", "Сегодня поезд опять опоздал, а мы ждали"),
        ("uk", "Сьогодні потяг знову спізнився"),
        ("bg", "Влакът закъсня и днес"),
        ("sr", "Воз је опет каснио, људи су чекали"),
        ("tt", "Бүген поезд соңга калды"),
        ("hi", "आज ट्रेन फिर देर से आई"),
        ("mr", "आज ट्रेन सकाळी उशिरा आली"),
        ("am", "ባቡሩ ዛሬ ጠዋት ዘገየ"),
        ("el", "Το τρένο άργησε πάλι"),
        ("he", "הרכבת איחרה הבוקר"),
    ],
)
def test_script_and_letters_tell_the_language(language: str, text: str) -> None:
    assert written_language(text) == language


def test_latin_letters_and_none_tell_nothing() -> None:
    for text in ("Der Zug kam zu spät.", "", "12 – 3!", "He said да twice and left", "😂"):
        assert written_language(text) is None


def test_few_foreign_words_do_not_decide() -> None:
    assert written_language("поезд опоздал WhatsApp") == "ru"
    assert written_language("Zug поезд Bahn") is None


@given(st.text())
def test_any_text_has_a_language_with_a_name_or_none(text: str) -> None:
    language = written_language(text)
    assert language is None or language_name(language)
