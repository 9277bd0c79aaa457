"""Stretches of a transcript that get one prediction: words, sentences, utterances, turns, or all of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from app.compat.hume.schemas import Granularity
from ml.results import Segment, Transcript

UTTERANCE_PAUSE_SECONDS = 1.0
"""Minimum silence between two utterances of a speaker, in seconds."""


@dataclass(frozen=True)
class Piece:
    """A stretch of a transcript: its text, characters [begin, end) in the whole text, seconds and speaker."""

    text: str
    begin: int
    end: int
    start_seconds: float
    end_seconds: float
    person: int | None = None


def pieces_of(transcript: Transcript, granularity: Granularity) -> list[Piece]:
    """Return the pieces of a transcript, in order of time."""
    sentences = list(_sentences(transcript))
    if granularity == "word":
        return [piece for segment, sentence in sentences for piece in _words(segment, sentence)]
    pieces = [sentence for _, sentence in sentences]
    if granularity == "sentence":
        return pieces
    if granularity == "passage":
        return [_joined(pieces)] if pieces else []
    turns = [list(turn) for _, turn in groupby(pieces, key=lambda piece: piece.person)]
    if granularity == "conversational_turn":
        return [_joined(turn) for turn in turns]
    return [_joined(utterance) for turn in turns for utterance in _utterances(turn)]


def _sentences(transcript: Transcript) -> Iterator[tuple[Segment, Piece]]:
    place = 0
    for segment in transcript.segments:
        begin = max(transcript.text.find(segment.text, place), place)
        place = begin + len(segment.text)
        yield segment, Piece(segment.text, begin, place, segment.start, segment.end, segment.person)


def _words(segment: Segment, sentence: Piece) -> Iterator[Piece]:
    place = 0
    for word in segment.words:
        text = word.word.strip()
        first = max(segment.text.find(text, place), place)
        place = first + len(text)
        person = segment.person if word.person is None else word.person
        yield Piece(text, sentence.begin + first, sentence.begin + place, word.start, word.end, person)


def _utterances(turn: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Yield the pieces of a turn between its pauses."""
    utterance: list[Piece] = []
    for piece in turn:
        if utterance and piece.start_seconds - utterance[-1].end_seconds >= UTTERANCE_PAUSE_SECONDS:
            yield utterance
            utterance = []
        utterance.append(piece)
    if utterance:
        yield utterance


def _joined(pieces: Sequence[Piece]) -> Piece:
    """Return neighbouring pieces as one."""
    return Piece(
        " ".join(piece.text for piece in pieces),
        pieces[0].begin,
        pieces[-1].end,
        pieces[0].start_seconds,
        max(piece.end_seconds for piece in pieces),
        pieces[0].person,
    )
