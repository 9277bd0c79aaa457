"""Sentences of a transcript: where in their text each word begins, and who says which part."""

from collections.abc import Sequence
from itertools import groupby

from ml.reports.report import sanitize
from ml.results import Segment, Transcript, Word


def word_times(sentence: Segment) -> list[tuple[int, float]]:
    """Return the place of each word in the sentence's text, and its start; [] if the words are not those of the text.

    Recognised words of a script without spaces are parts of words, which follow each other without a space.
    """
    text, place, times = sanitize(sentence.text), 0, []
    for word in sentence.words:
        spoken = sanitize(word.word)
        place += text.startswith(" ", place)
        if not text.startswith(spoken, place):
            return []
        times.append((place, word.start))
        place += len(spoken)
    return times if place == len(text) else []


def text_of_words(sentence: Segment, numbers: Sequence[int]) -> str:
    """Return the part of a sentence's text that some of its words are, spaced as the text is."""
    text, starts = sanitize(sentence.text), [place for place, _ in word_times(sentence)]
    if not starts:
        return " ".join(sanitize(sentence.words[number].word) for number in numbers)
    ends = [*starts[1:], len(text)]
    return "".join(text[starts[number] : ends[number]] for number in numbers).strip()


def said_in(transcript: Transcript, person: int, start: float, end: float) -> str:
    """Return the words of a person whose middle is in an interval."""
    said = (
        text_of_words(sentence, numbers)
        for sentence in transcript.segments
        if sentence.start < end and sentence.end > start
        if (numbers := [number for number, word in enumerate(sentence.words) if _is_in(word, person, start, end)])
    )
    return " ".join(said)


def _is_in(word: Word, person: int, start: float, end: float) -> bool:
    return word.person == person and start <= (word.start + word.end) / 2 < end


def by_speaker(transcript: Transcript) -> list[Segment]:
    """Return the sentences, each divided where another person begins to speak.

    A sentence stays whole if its words do not say who speaks them, or are not those of its text. A word of unknown
    speaker belongs to the speaker before it.
    """
    return [part for sentence in transcript.segments for part in _parts(sentence)]


def _parts(sentence: Segment) -> list[Segment]:
    speakers = _speakers(sentence.words, sentence.person)
    if len(set(speakers)) < 2 or not word_times(sentence):
        return [sentence]
    parts: list[Segment] = []
    for person, run in groupby(range(len(speakers)), key=speakers.__getitem__):
        numbers = list(run)
        words = sentence.words[numbers[0] : numbers[-1] + 1]
        start = words[0].start if parts else sentence.start
        end = words[-1].end if numbers[-1] + 1 < len(speakers) else sentence.end
        said = text_of_words(sentence, numbers)
        update = {"start": start, "end": max(end, start), "text": said, "words": words, "person": person}
        parts.append(sentence.model_copy(update=update))
    return parts


def _speakers(words: Sequence[Word], first: int | None) -> list[int | None]:
    """Return who says each word; `first`: who says those before the first word of a known speaker."""
    speakers: list[int | None] = []
    known = next((word.person for word in words if word.person is not None), first)
    for word in words:
        known = known if word.person is None else word.person
        speakers.append(known)
    return speakers
