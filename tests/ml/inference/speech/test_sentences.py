from ml.inference.api import TimeSpan
from ml.inference.speech.chunks import PackedChunk
from ml.inference.speech.recognizer import RecognizedClip, RecognizedWord
from ml.inference.speech.sentences import MAX_SEGMENT_SECONDS, Sentence, SpokenChunk, certainty, split_sentences
from ml.media import SAMPLE_RATE
from tests.recognized_clips import heard


def test_split_sentences_cuts_words_at_pauses() -> None:
    chunk = SpokenChunk(PackedChunk(((0, 4 * SAMPLE_RATE),)), "en")
    spans = [TimeSpan(0.2, 1.0), TimeSpan(2.0, 3.5)]
    words = (
        RecognizedWord(0.2, 0.9, " one", 0.9),
        RecognizedWord(0.9, 2.6, " two", 0.9),
        RecognizedWord(2.6, 3.9, " three", 0.9),
    )
    (sentence,) = split_sentences(chunk, RecognizedClip(words, -0.1, 0.0, 1.0), spans)[1:] or [None]
    assert sentence is not None
    assert [(word.start, word.end) for word in sentence.words] == [(2.0, 2.6), (2.6, 3.5)]


def test_split_sentences_at_full_stops_and_maximum_length() -> None:
    chunk = SpokenChunk(PackedChunk(((0, 15 * SAMPLE_RATE),)), "en")
    spans = [TimeSpan(0, 15)]
    two = split_sentences(chunk, heard("this is one. this is two", seconds=0.4), spans)
    assert ["".join(word.text for word in sentence.words).strip() for sentence in two] == [
        "this is one.",
        "this is two",
    ]
    long = split_sentences(chunk, heard(" ".join(f"word{number}" for number in range(35)), seconds=0.4), spans)
    assert sum(len(sentence.words) for sentence in long) == 35
    assert all(sentence.words[-1].end - sentence.words[0].start <= MAX_SEGMENT_SECONDS for sentence in long)


def test_split_sentences_without_words_is_empty() -> None:
    assert (
        split_sentences(SpokenChunk(PackedChunk(((0, SAMPLE_RATE),)), "en"), RecognizedClip(), [TimeSpan(0, 1)]) == []
    )


def test_split_sentences_cuts_loops_but_not_repeated_sentences() -> None:
    spoken, spans = SpokenChunk(PackedChunk(((0, 15 * SAMPLE_RATE),)), "en"), [TimeSpan(0, 15)]
    for loop, kept in (("peace be upon you and " + "upon you " * 9, 11), ("no " * 8, 3), ("stop it. " * 5, 10)):
        found = split_sentences(spoken, heard(loop, seconds=0.4), spans)
        assert sum(len(sentence.words) for sentence in found) == kept


def test_split_sentences_drops_words_of_one_letter_drawn_out() -> None:
    spoken, spans = SpokenChunk(PackedChunk(((0, 15 * SAMPLE_RATE),)), "en"), [TimeSpan(0, 15)]
    (sentence,) = split_sentences(spoken, heard("well R" + "é" * 20 + " soooo good"), spans)
    assert [word.text.strip() for word in sentence.words] == ["well", "soooo", "good"]
    assert split_sentences(spoken, heard("ㅎ" * 15, compression=5.0), spans) == []


def test_certainty_weighs_words_more_than_sound() -> None:
    word = RecognizedWord(0, 1, " word", 0.9)
    clear, doubtful = Sentence((word,) * 5, -0.2, "pl", 0.1), Sentence((word,) * 5, -0.9, "cs", 0.9)
    assert certainty([clear]) > certainty([clear, doubtful]) > certainty([doubtful]) > certainty([])
