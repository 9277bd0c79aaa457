"""Sentences of a transcript: words of a chunk, cut at full stops and pauses, with a score by which they are kept."""

import math
import re
import string
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ml.inference.api import TimeSpan
from ml.inference.speech.chunks import PackedChunk
from ml.inference.speech.recognizer import RecognizedClip, RecognizedWord

MAX_NO_SPEECH = 0.5
NO_SPEECH_PENALTY = 0.2
"""How much higher the minimum score is if the decoder itself takes a chunk for no speech (above MAX_NO_SPEECH)."""
MAX_COMPRESSION = 2.4
"""Compression ratio by zlib above which text repeats itself. The decoder is sure of what it has just said, so only word
pairs that occur for the first time count then (real repetition reaches -0.3, invented loops -1.1 at most)."""
MAX_REPETITIONS = 3
MAX_LOOP_WORDS = 5
"""Maximum number of times that up to MAX_LOOP_WORDS words follow one another inside a sentence: more is a loop."""
SOUND_WEIGHT = 0.05
"""Weight of the logarithm of a language's probability by the sound, in addition to the score of the words in it."""
MIN_WORD_SECONDS = 1 / 12
"""Minimum seconds per word, over a sentence: faster is no speech, but a loop for which the alignment found no sound."""
MAX_SEGMENT_SECONDS = 10.0
MAX_PAUSE_SECONDS = 1.0
_STRETCHED_LETTER = re.compile(r"([^\W\d_])\1{7}")
"""A letter eight times in a row: what a decoder makes of laughter and screams, and more than people write."""
_PUNCTUATION = string.whitespace + string.punctuation + "…"
_SENTENCE_END = re.compile(r"[.?!…。？！][\"'”’)\]]*$")


@dataclass(frozen=True)
class SpokenChunk:
    """Chunk, the language in which it is recognized, and the probability of that language by its sound alone."""

    chunk: PackedChunk
    language: str
    confidence: float = 1.0


@dataclass(frozen=True)
class Sentence:
    """Words in media time.

    `score`: mean log-probability by which they are accepted or dropped. `language`: in which they were recognized, and
    `confidence`: its probability by the sound alone; 1 if there was no choice.
    """

    words: tuple[RecognizedWord, ...]
    score: float
    language: str = "en"
    confidence: float = 1.0

    @property
    def seconds(self) -> float:
        return sum(word.end - word.start for word in self.words)

    def reaches(self, min_score: float) -> bool:
        """Return whether the score is high enough and the words are no faster than speech."""
        return self.score >= min_score and self.seconds >= MIN_WORD_SECONDS * len(self.words)


def certainty(sentences: Sequence[Sentence]) -> float:
    """Return how certain it is that sentences were spoken in their languages: a mean log-probability by words.

    The words say more than the sound. Minus infinity for no sentence.
    """
    count = sum(len(sentence.words) for sentence in sentences)
    if not count:
        return -math.inf
    return (
        sum(
            len(sentence.words) * (sentence.score + SOUND_WEIGHT * math.log(max(sentence.confidence, 1e-6)))
            for sentence in sentences
        )
        / count
    )


def split_sentences(spoken: SpokenChunk, clip: RecognizedClip, speech: Sequence[TimeSpan]) -> list[Sentence]:
    """Split the words of a chunk at ends of sentences and at pauses.

    The score of a sentence is half that of its own words and half that of its chunk: an unusual name in clear speech
    stays, and a word that fits by chance in a foreign language does not.
    """
    words = list(_words_in_media(spoken.chunk, without_loops(clip.words), speech))
    logs = [math.log(max(word.probability, 1e-6)) for word in words]
    chunk_score = clip.log_probability
    counted = [True] * len(words)
    if words and clip.compression > MAX_COMPRESSION:
        counted = _is_first_occurrence(words)
        chunk_score = _mean(log for log, counts in zip(logs, counted, strict=True) if counts)
    if clip.no_speech > MAX_NO_SPEECH:
        chunk_score -= 2 * NO_SPEECH_PENALTY
    sentences = []
    for first, last in pairwise(_sentence_edges(words)):
        own = [log for log, counts in zip(logs[first:last], counted[first:last], strict=True) if counts]
        score = (_mean(own or [chunk_score]) + chunk_score) / 2
        sentences.append(Sentence(tuple(words[first:last]), score, spoken.language, spoken.confidence))
    return sentences


def without_loops(words: Sequence[RecognizedWord]) -> list[RecognizedWord]:
    """Return the words without what repeats the same few words more than MAX_REPETITIONS times in a row, or a letter.

    Whole sentences are repeated by people too, and stay.
    """
    kept: list[RecognizedWord] = []
    for word in words:
        if _STRETCHED_LETTER.search(word.text):
            continue
        kept.append(word)
        plain = [each.text.strip(_PUNCTUATION).lower() for each in kept[-MAX_LOOP_WORDS * (MAX_REPETITIONS + 1) :]]
        for length in range(1, MAX_LOOP_WORDS + 1):
            is_loop = plain[-length * (MAX_REPETITIONS + 1) :] == plain[-length:] * (MAX_REPETITIONS + 1)
            if is_loop and not any(_SENTENCE_END.search(each.text) for each in kept[-length:]):
                del kept[-length:]
                break
    return kept


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _is_first_occurrence(words: Sequence[RecognizedWord]) -> list[bool]:
    """Return for each word whether it follows the word before it for the first time."""
    plain = ["", *(word.text.strip(_PUNCTUATION).lower() for word in words)]
    pairs = list(pairwise(plain))
    first = {pair: index for index, pair in reversed(list(enumerate(pairs)))}
    return [first[pair] == index for index, pair in enumerate(pairs)]


def _words_in_media(
    chunk: PackedChunk, words: Iterable[RecognizedWord], speech: Sequence[TimeSpan]
) -> Iterator[RecognizedWord]:
    """Yield the words in media time, in order, each cut to its segment of speech: alignments reach into silence."""
    starts, ends = [segment.start for segment in speech], [segment.end for segment in speech]
    latest = 0.0
    for word in words:
        start, end = chunk.media_time(word)
        overlaps = [
            (max(start, segment.start), min(end, segment.end))
            for segment in speech[bisect_right(ends, start) : bisect_left(starts, end)]
        ]
        start, end = max(overlaps, key=lambda overlap: overlap[1] - overlap[0], default=(start, end))
        start = max(start, latest)
        latest = end = max(start, end)
        yield RecognizedWord(round(start, 3), round(end, 3), word.text, word.probability)


def _sentence_edges(words: Sequence[RecognizedWord]) -> list[int]:
    """Return the indices at which sentences begin, and the number of words."""
    ends = [
        index
        for index, (left, right) in enumerate(pairwise(words), start=1)
        if _SENTENCE_END.search(left.text) or right.start - left.end > MAX_PAUSE_SECONDS
    ]
    edges = [0, *ends, len(words)] if words else []
    return sorted({*edges, *(cut for first, last in pairwise(edges) for cut in _cuts(words, first, last))})


def _cuts(words: Sequence[RecognizedWord], first: int, last: int) -> list[int]:
    """Return where a sentence that is too long is cut: at the longest pause of its middle half, recursively."""
    count = last - first
    if count < 2 or words[last - 1].end - words[first].start <= MAX_SEGMENT_SECONDS:
        return []
    middle = range(first + max(1, count // 4), last - count // 4)
    cut = max(middle, key=lambda index: words[index].start - words[index - 1].end)
    return [*_cuts(words, first, cut), cut, *_cuts(words, cut, last)]
