import pytest

from ml.reports.caption_text import has_names, is_name, spoken_text, stamp


def words(text: str, *, captions: bool = True, named: bool = False) -> str:
    return " ".join(spoken_text(text, captions=captions, named=named).split())


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("[MUSIC PLAYING]", ""),
        ("[MUSIC\nPLAYING] Hello", "Hello"),
        ("♪ I will survive ♪", "I will survive"),
        ("# Happy birthday #", "Happy birthday"),
        ("(laughs) JANE: >> That is wonderful.", "That is wonderful."),
        (">> JANE (whispering): Hush.", "Hush."),
        (">>> Good evening.", "Good evening."),
        ("- Yes?\n- No.", "Yes? No."),
        ("Jane Doe: I agree: yes.", "I agree: yes."),
        ("Jane Doe (she/her): Hello", "Hello"),
        ("[Jane Doe]: Hello", "Hello"),
        ("Ludwig van Beethoven: Hello", "Hello"),
        ("Dr. O'Brien-Smith: Hello", "Hello"),
        ("Speaker 1: Hello", "Hello"),
        ("SPEAKER_00: Hello", "Hello"),
        ("JANE:\nHello", "Hello"),
        ("[a [b] c] Hello", "Hello"),
        ("*sighs* Well", "Well"),
        ("（笑い）【拍手】 Hello", "Hello"),
        ("♪♪", ""),
    ],
)
def test_spoken_text_leaves_only_words(text: str, spoken: str) -> None:
    assert words(text) == spoken


@pytest.mark.parametrize(
    "text",
    [
        "We meet at 10:30",
        "https://example.org",
        "I said this: go",
        "Remember: never again",
        "-5 degrees",
        "she was so-so",
        "number #1",
        "1: first",
        "What I said: go",
    ],
)
def test_spoken_text_keeps_words(text: str) -> None:
    assert words(text) == text


def test_spoken_text_first_names_need_several_lines_with_names() -> None:
    assert has_names(["Jane: Hello", "John: Hi"], captions=True)
    assert not has_names(["Jane: Hello", "How are you?"], captions=True)
    assert words("Jane: Hello", named=True) == "Hello"
    assert words("Jane: Hello", named=False) == "Jane: Hello"
    assert words("田中：こんにちは", named=True) == "こんにちは"


def test_spoken_text_plain_text_keeps_round_brackets() -> None:
    assert words("[laughs] so (I think) *yes*", captions=False) == "so (I think) *yes*"


def test_spoken_text_keeps_stamps() -> None:
    text = f"{stamp(1.0)}JANE: {stamp(2.0)}so [{stamp(3.0)}laughs] {stamp(4.0)}we"
    assert spoken_text(text, captions=True, named=False) == (f"{stamp(1.0)}{stamp(2.0)}so {stamp(3.0)} {stamp(4.0)}we")


@pytest.mark.parametrize("text", ["", " ", "jane", "jane Doe", "One Two Three Four Five Six", "5 apples"])
def test_is_name_other_texts_are_no_names(text: str) -> None:
    assert not is_name(text)
