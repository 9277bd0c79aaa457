from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from ml.inference.api import TimeSpan
from ml.inference.people.diarization import Turn
from ml.inference.people.turns import TurnIndex
from ml.inference.people.word_speakers import segments_of, with_people
from ml.results import Segment, Transcript, Word

TURNS = TurnIndex([Turn(TimeSpan(0, 2), 0), Turn(TimeSpan(2, 4), 1), Turn(TimeSpan(10, 12), 0)])
NUMBERS = {0: 1, 1: 2}


def transcript(*words: tuple[str, float, float], source: Literal["whisper", "caller"] = "whisper") -> Transcript:
    spoken = tuple(Word(word=word, start=start, end=end) for word, start, end in words)
    text = " ".join(word for word, _, _ in words)
    segment = Segment(start=words[0][1], end=words[-1][2], text=text, words=spoken)
    return Transcript(source=source, language="en", text=text, segments=(segment,))


def people(found: Transcript) -> list[tuple[int | None, str]]:
    return [(segment.person, segment.text) for segment in found.segments]


def test_a_recognized_sentence_is_cut_where_the_person_changes() -> None:
    found = with_people(
        transcript(("Are", 1, 1.5), ("you?", 1.5, 2), ("Yes,", 2.2, 2.6), ("I", 3, 3.2), ("am.", 3.2, 3.6)),
        TURNS,
        NUMBERS,
    )
    assert people(found) == [(1, "Are you?"), (2, "Yes, I am.")]
    assert [(segment.start, segment.end) for segment in found.segments] == [(1, 2), (2.2, 3.6)]
    assert [word.person for segment in found.segments for word in segment.words] == [1, 1, 2, 2, 2]
    assert found.text == "Are you? Yes, I am."


def test_a_caption_of_the_caller_stays_whole() -> None:
    spoken = transcript(("Are", 1, 1.5), ("you?", 1.5, 2), ("Yes.", 2.2, 2.6), source="caller")
    found = with_people(spoken, TURNS, NUMBERS)
    assert people(found) == [(1, "Are you? Yes.")]
    assert [word.person for word in found.segments[0].words] == [1, 1, 2]
    assert [segment.text for segment in segments_of(found, 2)] == ["Yes."]


def test_one_short_word_between_those_of_another_is_theirs() -> None:
    found = with_people(transcript(("one", 0.5, 1), ("two", 2.1, 2.3), ("three", 1.2, 1.6)), TURNS, NUMBERS)
    assert people(found) == [(1, "one two three")]


def test_words_beside_a_turn_belong_to_it_and_far_ones_to_nobody() -> None:
    assert people(with_people(transcript(("late", 4.3, 4.8)), TURNS, NUMBERS)) == [(2, "late")]
    assert people(with_people(transcript(("lost", 6, 6.5)), TURNS, NUMBERS)) == [(None, "lost")]


def test_words_of_a_channel_are_of_its_speaker() -> None:
    segment = Segment(start=0, end=1, text="Hello", channel=1)
    spoken = Transcript(source="whisper", language="en", text="Hello", segments=(segment,))
    assert people(with_people(spoken, TURNS, NUMBERS)) == [(2, "Hello")]


@given(st.lists(st.tuples(st.sampled_from(["a", "ab", "a b", "ä", "—"]), st.floats(0, 15)), min_size=1, max_size=12))
def test_no_word_is_lost_or_moved(drawn: list[tuple[str, float]]) -> None:
    spoken = transcript(*((word, start, start + 0.3) for word, start in drawn))
    found = with_people(spoken, TURNS, NUMBERS)
    assert [word.word for segment in found.segments for word in segment.words] == [word for word, _ in drawn]
    assert " ".join(segment.text for segment in found.segments).split() == spoken.text.split()
    assert all(segment.text for segment in found.segments)
