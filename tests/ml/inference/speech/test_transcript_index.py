from hypothesis import given
from hypothesis import strategies as st

from ml.inference.api import TimeSpan
from ml.inference.fusion.windows import windows_over
from ml.inference.speech.transcript_index import MAX_CONTEXT_WORDS, TranscriptIndex
from ml.results import Segment, Word


def segment(text: str, *times: tuple[float, float]) -> Segment:
    words = tuple(
        Word(start=start, end=end, word=word) for word, (start, end) in zip(text.split(), times, strict=False)
    )
    return Segment(start=times[0][0], end=times[-1][1], text=text, words=words)


HELLO = segment("Hello there, friend.", (0.0, 0.5), (3.6, 4.2), (4.3, 4.8))


def test_text_in_has_the_words_with_their_middle_in_the_window() -> None:
    spoken = TranscriptIndex([HELLO])
    assert spoken.text_in(TimeSpan(0, 3.9)) == "Hello"
    assert spoken.text_in(TimeSpan(3.9, 8)) == "there, friend."
    assert spoken.text_in(TimeSpan(0, 8)) == "Hello there, friend."
    assert spoken.text_in(TimeSpan(8, 12)) == ""


def test_text_in_takes_the_span_as_half_open() -> None:
    spoken = TranscriptIndex([segment("now", (1.0, 3.0))])
    assert spoken.text_in(TimeSpan(2.0, 4.0)) == "now"
    assert spoken.text_in(TimeSpan(0.0, 2.0)) == ""


def test_text_before_ends_at_the_start_of_the_span() -> None:
    spoken = TranscriptIndex([HELLO, segment("You came.", (5.0, 5.2), (5.3, 5.6))])
    assert [spoken.text_before(TimeSpan(start, 9)) for start in (0, 3.9, 5.25)] == [
        "",
        "Hello",
        "Hello there, friend. You",
    ]
    many = " ".join(map(str, range(MAX_CONTEXT_WORDS + 9)))
    told = TranscriptIndex([Segment(start=0, end=10, text=many)]).text_before(TimeSpan(10, 12))
    assert told.split() == many.split()[-MAX_CONTEXT_WORDS:]


def test_text_in_joins_segments_in_reading_order() -> None:
    later = segment("You came.", (5.0, 5.2), (5.3, 5.6))
    overlapping = segment("(Yes, yes)", (5.1, 5.25), (5.35, 5.5))
    assert TranscriptIndex([HELLO, later, overlapping]).text_in(TimeSpan(4.25, 9)) == "friend. You came. (Yes, yes)"


def test_text_in_keeps_text_without_spaces() -> None:
    words = tuple(Word(start=n, end=n + 0.5, word=word) for n, word in enumerate(["今日", "は", "雨"]))
    spoken = TranscriptIndex([Segment(start=0, end=2.5, text="今日は雨。", words=words)])
    assert spoken.text_in(TimeSpan(0, 2)) == "今日は"


def test_text_in_spreads_captions_without_word_times() -> None:
    spoken = TranscriptIndex([Segment(start=10, end=20, text="first half and last half")])
    assert spoken.text_in(TimeSpan(0, 10)) == ""
    assert spoken.text_in(TimeSpan(10, 14)) == "first half"
    assert spoken.text_in(TimeSpan(14, 20)) == "and last half"


def test_text_in_of_an_empty_transcript_is_empty() -> None:
    assert TranscriptIndex([]).text_in(TimeSpan(0, 10)) == ""
    assert TranscriptIndex([Segment(start=0, end=0, text="")]).text_in(TimeSpan(0, 10)) == ""


@given(st.lists(st.tuples(st.floats(0, 30), st.text("abc", min_size=1, max_size=4)), max_size=12))
def test_text_in_adjacent_windows_have_every_word_once(said: list[tuple[float, str]]) -> None:
    ordered = sorted(said)
    words = tuple(Word(start=time, end=time, word=word) for time, word in ordered)
    text = " ".join(word for _, word in ordered)
    spoken = TranscriptIndex([Segment(start=0, end=30, text=text, words=words)])
    parts = [spoken.text_in(window) for window in windows_over(31, 4, 4)]
    assert " ".join(part for part in parts if part) == text


@given(st.text(max_size=40), st.floats(0, 50), st.floats(0, 50))
def test_text_in_adjacent_windows_have_whole_captions(text: str, start: float, length: float) -> None:
    spoken = TranscriptIndex([Segment(start=start, end=start + length, text=text)])
    parts = [spoken.text_in(window).split() for window in windows_over(101, 3, 3)]
    assert [word for part in parts for word in part] == text.split()
