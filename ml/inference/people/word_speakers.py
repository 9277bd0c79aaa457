"""Speakers of the words of a transcript, found by the times of the words."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from ml.inference.api import TimeSpan
from ml.inference.people.turns import TurnIndex
from ml.results import Segment, Transcript, Word

MAX_ISLAND_WORDS = 1
"""Words of another speaker inside a sentence that are taken for an error of the times."""
MAX_ISLAND_SECONDS = 0.5


def with_people(transcript: Transcript, turns: TurnIndex, numbers: Mapping[int, int]) -> Transcript:
    """Return the transcript with the person of each word and sentence.

    `numbers`: of the person of each speaker; words of a channel are of the speaker with its number. A recognised
    sentence is cut where the person changes; one of the caller stays whole and has the person of most of its words.
    Sentences without times of words have that of their span.
    """
    is_recognized = transcript.source == "whisper"
    segments = (_with_people(segment, turns, numbers) for segment in transcript.segments)
    parts = (part for segment in segments for part in (_by_person(segment) if is_recognized else (segment,)))
    return transcript.model_copy(update={"segments": tuple(parts)})


def segments_of(transcript: Transcript, person: int) -> list[Segment]:
    """Return the sentences, or parts of them, that one person says."""
    return [part for segment in transcript.segments for part in _by_person(segment) if part.person == person]


def _with_people(segment: Segment, turns: TurnIndex, numbers: Mapping[int, int]) -> Segment:
    def person_of(span: TimeSpan) -> int | None:
        speaker = turns.speaker(span) if segment.channel is None else segment.channel
        return None if speaker is None else numbers.get(speaker)

    if not segment.words:
        return segment.model_copy(update={"person": person_of(TimeSpan(segment.start, segment.end))})
    people = _smoothed([person_of(TimeSpan(word.start, word.end)) for word in segment.words], segment.words)
    pairs = zip(segment.words, people, strict=True)
    words = tuple(word.model_copy(update={"person": person}) for word, person in pairs)
    return segment.model_copy(update={"words": words, "person": Counter(people).most_common(1)[0][0]})


def _by_person(segment: Segment) -> Iterator[Segment]:
    """Yield the parts of a sentence, cut where the person of the words changes."""
    groups = [list(group) for _, group in groupby(segment.words, key=lambda word: word.person)]
    if len(groups) < 2:
        yield segment
        return
    for number, (group, text) in enumerate(zip(groups, _texts(segment.text, groups), strict=True)):
        start = segment.start if not number else group[0].start
        end = segment.end if number == len(groups) - 1 else group[-1].end
        fields = {"start": start, "end": end, "text": text, "words": tuple(group), "person": group[0].person}
        yield segment.model_copy(update=fields)


def _smoothed(people: Sequence[int | None], words: Sequence[Word]) -> list[int | None]:
    """Return the person of each word, without short islands between words of one person. Words without a person join
    those before them, or else after them."""
    smoothed = list(people)
    for place, person in enumerate(smoothed):
        if person is None and place:
            smoothed[place] = smoothed[place - 1]
    for place in reversed(range(len(smoothed) - 1)):
        if smoothed[place] is None:
            smoothed[place] = smoothed[place + 1]
    first = 0
    for _, group in groupby(list(smoothed)):
        last = first + len(list(group))
        is_short = last - first <= MAX_ISLAND_WORDS and words[last - 1].end - words[first].start <= MAX_ISLAND_SECONDS
        if is_short and first > 0 and last < len(words) and smoothed[first - 1] == people[last]:
            smoothed[first:last] = [smoothed[first - 1]] * (last - first)
        first = last
    return smoothed


def _texts(text: str, groups: Sequence[Sequence[Word]]) -> Iterator[str]:
    """Yield the text of each group of words: up to the first word of the next group."""
    starts, position = [], 0
    for group in groups:
        for place, word in enumerate(group):
            found = text.find(word.word, position)
            if not place:
                starts.append(max(found, position))
            if found >= 0:
                position = found + len(word.word)
    for group, first, last in zip(groups, [0, *starts[1:]], [*starts[1:], len(text)], strict=True):
        yield text[first:last].strip() or " ".join(word.word for word in group)
