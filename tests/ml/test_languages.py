import pytest

from ml.languages import find_language, parse_language


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *[(spelling, "en") for spelling in ("en", "EN", "eng", "en-US", "en_GB.UTF-8", "English", " english ")],
        *[("ger", "de"), ("deu", "de"), ("German", "de"), ("zh-Hans-CN", "zh"), ("cmn", "zh"), ("Mandarin", "zh")],
        *[("haw", "haw"), ("yue", "yue"), ("Castilian", "es"), ("iw", "he"), ("nob", "nb"), ("Norwegian Bokmål", "nb")],
    ],
)
def test_find_language_by_code_tag_locale_and_name(text: str, code: str) -> None:
    assert find_language(text) == code


@pytest.mark.parametrize("text", ["xx", "xxx", "Klingonese", "", " ", "e", "en-", "-en", "en US", "english-us!"])
def test_find_language_of_no_language_is_none(text: str) -> None:
    assert find_language(text) is None


@pytest.mark.parametrize("text", [None, "auto", "AUTO", " Auto "])
def test_parse_language_auto_is_detection(text: str | None) -> None:
    assert parse_language(text) is None


def test_parse_language_of_no_language_names_examples() -> None:
    with pytest.raises(ValueError, match=r'"en".*"English".*"auto"'):
        parse_language("xx")


def test_find_language_knows_all_of_whisper() -> None:
    codes = pytest.importorskip("faster_whisper.tokenizer")._LANGUAGE_CODES
    assert {code for code in codes if find_language(code) != code} == {"jw"}  # Javanese: jv
