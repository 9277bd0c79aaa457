"""Speech → words with their times in the media.

Stretches of speech are packed into chunks that Whisper hears at once; silence between them is left out. What it makes
of laughter, music, noise or a language that it does not know is told from words by its own doubts and dropped.
"""

import math
import re
import string
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ml.inference.api import TimeSpan
from ml.inference.speech.whisper import RecognizedClip, RecognizedWord, Whisper
from ml.inference.voice.vad import Pcm, as_float, widen
from ml.media import SAMPLE_RATE
from ml.results import Notice, Segment, Word

MARGIN = 0.4
"""Seconds of sound left around each stretch of speech: Whisper expects pauses between sentences."""
LONGEST_CHUNK = 15
ENOUGH = 4
SILENCE_LEFT_OUT = 0.2
"""Seconds. A chunk holds at most the first, and ends at the first silence longer than the third (beyond the margins)
once it holds the second. In chunks of 30 s full of like sentences, half of the words were put at the time of others."""
CHUNK_BATCH_SIZE = 4
"""Chunks decoded together: 0.6 of the time of one by one on two CPU cores; a cancelled job waits for one batch."""
GPU_BATCHES = 4
"""Of these, decoded together on a GPU."""
DETECTED_CHUNKS = 3

MIN_SCORE = {"en": -0.7}
DEFAULT_MIN_SCORE = -1.0
"""A sentence whose mean log-probability is lower is no transcript. Measured with tiny.en: of clips of acted or noisy
English that were understood 2 in 100 lie below, of noisy ones that were not 5 in 6, of Polish and Urdu ones 95 in 100.
The bound for other languages is Whisper's own."""
CONFIDENT_SCORE = -0.4
"""Reached by no Polish or Urdu clip: what is kept of a file that is mostly not the model's language."""
NO_SPEECH = 0.5
NO_SPEECH_PENALTY = 0.2
"""Where the decoder itself takes a chunk for no speech, the bound is higher by this much."""
MOST_COMPRESSION = 2.4
"""Text that zlib makes smaller than this many times repeats itself. The decoder is sure of what it has just said: only
words that are new beside the one before them count then (real repetition reaches -0.3, invented loops -1.1 at most)."""
SHORTEST_WORD = 1 / 12
"""Seconds a word, over a sentence: faster is no speech, but a loop that the alignment found no sound for."""
MOSTLY = 0.7
HALF = 0.5
"""Shares of the speech that lie under kept words: clear English has 0.8 to 1.0. Below the first the caller is told that
the transcript has holes (a decoder that skips a sentence says nothing of it); below the second the language is unknown.
"""

LONGEST_SEGMENT = 10.0
LONGEST_PAUSE = 1.0
_PUNCTUATION = string.whitespace + string.punctuation + "…"
_SENTENCE_END = re.compile(r"[.?!…。？！][\"'”’)\]]*$")


class SpeechRecognizer(Protocol):
    """What `Whisper` offers."""

    @property
    def languages(self) -> tuple[str, ...]: ...

    def detect(self, sound: NDArray[np.float32]) -> dict[str, float]: ...

    def recognise(self, sounds: Sequence[NDArray[np.float32]], language: str) -> list[RecognizedClip]: ...


@dataclass(frozen=True)
class Transcription:
    """`language` is null where it is not known; there may be segments all the same. `notices` are for the result."""

    segments: tuple[Segment, ...] = ()
    language: str | None = None
    notices: tuple[Notice, ...] = ()


def unavailable_notice(name: str) -> Notice:
    """The notice of a job for which the Whisper model `name` could not be loaded."""
    return Notice(
        code="transcript_unavailable",
        message=f"Speech was not recognised: no Whisper model {name} is there (`python -m ml fetch whisper {name}`).",
    )


@dataclass(frozen=True)
class PackedChunk:
    """Pieces of the media, in order and apart, that are heard as one sound: sample ranges [first, last)."""

    pieces: tuple[tuple[int, int], ...]

    @property
    def seconds(self) -> float:
        return sum(last - first for first, last in self.pieces) / SAMPLE_RATE

    def sound(self, pcm: Pcm) -> NDArray[np.float32]:
        return np.concatenate([as_float(pcm[first:last]) for first, last in self.pieces])

    def media_time(self, word: RecognizedWord) -> tuple[float, float]:
        """Start and end in the media. A word lies in one piece, that of its midpoint, and does not leave it."""
        offsets = [0]
        for first, last in self.pieces:
            offsets.append(offsets[-1] + last - first)
        middle = round((word.start + word.end) / 2 * SAMPLE_RATE, 3)  # a piece's first sample is not the one before
        index = min(max(bisect_right(offsets, middle) - 1, 0), len(self.pieces) - 1)
        first, last = self.pieces[index]
        start, end = (
            min(max(first + time * SAMPLE_RATE - offsets[index], first), last) / SAMPLE_RATE
            for time in (word.start, word.end)
        )
        return start, end


def pack_speech(pcm: Pcm, spans: Sequence[TimeSpan]) -> list[PackedChunk]:
    """The stretches of speech, each with a margin, packed in order into chunks.

    A stretch that is longer than a chunk is cut where it is quietest.
    """
    most, enough, gap = (round(seconds * SAMPLE_RATE) for seconds in (LONGEST_CHUNK, ENOUGH, SILENCE_LEFT_OUT))
    chunks: list[list[tuple[int, int]]] = []
    held = previous = 0
    for first, last in _pieces(pcm, spans, most):
        if not chunks or held + last - first > most or (held >= enough and first - previous > gap):
            chunks.append([])
            held = 0
        chunks[-1].append((first, last))
        held += last - first
        previous = last
    return [PackedChunk(tuple(pieces)) for pieces in chunks]


def _pieces(pcm: Pcm, spans: Sequence[TimeSpan], most: int) -> Iterator[tuple[int, int]]:
    """Sample ranges of the stretches with their margins, none longer than `most` samples."""
    for span in widen(spans, MARGIN, len(pcm) / SAMPLE_RATE):
        first, last = (min(round(edge * SAMPLE_RATE), len(pcm)) for edge in (span.start, span.end))
        while last - first > most:
            cut = _quietest(pcm, first + most * 2 // 3, first + most)
            yield first, cut
            first = cut
        if last > first:
            yield first, last


def _quietest(pcm: Pcm, first: int, last: int) -> int:
    """The middle of the quietest tenth of a second in [first, last)."""
    frame = SAMPLE_RATE // 10
    sound = as_float(pcm[first:last])
    energy = np.square(sound[: len(sound) // frame * frame].reshape(-1, frame)).sum(axis=1)
    return first + int(energy.argmin()) * frame + frame // 2


@dataclass(frozen=True)
class Sentence:
    """Words in media time, and the mean log-probability by which they are judged."""

    words: tuple[RecognizedWord, ...]
    score: float

    @property
    def seconds(self) -> float:
        return sum(word.end - word.start for word in self.words)

    def reaches(self, lowest: float) -> bool:
        return self.score >= lowest and self.seconds >= SHORTEST_WORD * len(self.words)


def split_sentences(chunk: PackedChunk, heard: RecognizedClip, spans: Sequence[TimeSpan]) -> list[Sentence]:
    """What was heard, cut at ends of sentences and at pauses.

    A sentence is judged half by its own words and half by its chunk: an odd name in clear speech stays, and a lucky
    word in a foreign language does not.
    """
    words = list(_placed(chunk, heard.words, spans))
    beliefs = [math.log(max(word.probability, 1e-6)) for word in words]
    company = heard.log_probability
    counted = [True] * len(words)
    if heard.compression > MOST_COMPRESSION:
        counted = _new(words)
        company = _mean(belief for belief, new in zip(beliefs, counted, strict=True) if new)
    if heard.no_speech > NO_SPEECH:
        company -= 2 * NO_SPEECH_PENALTY
    found = []
    for first, last in pairwise(_cuts(words)):
        own = [belief for belief, new in zip(beliefs[first:last], counted[first:last], strict=True) if new]
        found.append(Sentence(tuple(words[first:last]), (_mean(own or [company]) + company) / 2))
    return found


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _new(words: Sequence[RecognizedWord]) -> list[bool]:
    """Whether a word is heard for the first time behind the word before it."""
    plain = ["", *(word.text.strip(_PUNCTUATION).lower() for word in words)]
    pairs = list(pairwise(plain))
    first = {pair: index for index, pair in reversed(list(enumerate(pairs)))}
    return [first[pair] == index for index, pair in enumerate(pairs)]


def _placed(chunk: PackedChunk, words: Iterable[RecognizedWord], spans: Sequence[TimeSpan]) -> Iterator[RecognizedWord]:
    """Words in media time, in order; none reaches into the silence beside its stretch of speech, as alignments do."""
    starts, ends = [span.start for span in spans], [span.end for span in spans]
    latest = 0.0
    for word in words:
        start, end = chunk.media_time(word)
        touched = [
            (max(start, span.start), min(end, span.end))
            for span in spans[bisect_right(ends, start) : bisect_left(starts, end)]
        ]
        start, end = max(touched, key=lambda part: part[1] - part[0], default=(start, end))
        start = max(start, latest)
        latest = end = max(start, end)
        yield RecognizedWord(round(start, 3), round(end, 3), word.text, word.probability)


def _cuts(words: Sequence[RecognizedWord]) -> list[int]:
    """Where sentences begin, and the end of the last."""
    ends = [
        index
        for index, (left, right) in enumerate(pairwise(words), start=1)
        if _SENTENCE_END.search(left.text) or right.start - left.end > LONGEST_PAUSE
    ]
    edges = [0, *ends, len(words)] if words else []
    return sorted({*edges, *(cut for first, last in pairwise(edges) for cut in _breaks(words, first, last))})


def _breaks(words: Sequence[RecognizedWord], first: int, last: int) -> list[int]:
    """Where a sentence that is too long is broken: at the longest pause of its middle half, and again if need be."""
    count = last - first
    if count < 2 or words[last - 1].end - words[first].start <= LONGEST_SEGMENT:
        return []
    middle = range(first + max(1, count // 4), last - count // 4)
    cut = max(middle, key=lambda index: words[index].start - words[index - 1].end)
    return [*_breaks(words, first, cut), cut, *_breaks(words, cut, last)]


class Transcriber:
    """Speech to words by one Whisper model. The same sound gives the same words, alone or after other jobs.

    `at_once`: batches that are decoded together."""

    def __init__(self, name: str, recogniser: SpeechRecognizer, at_once: int = 1) -> None:
        self.name = name
        self._recogniser = recogniser
        self._at_once = at_once

    @classmethod
    def load(cls, name: str, store_root: Path, device: torch.device, threads: int = 0) -> Self | None:
        """None when there is no Whisper model `name`: jobs then carry the notice `unavailable(name)`.

        `threads`: on a CPU; 0 takes all that the process may use. Raises ModelStoreError when the model is damaged.
        """
        recogniser = Whisper.load(name, store_root, device, threads)
        return None if recogniser is None else cls(name, recogniser, GPU_BATCHES if device.type == "cuda" else 1)

    def transcribe(
        self,
        pcm: Pcm,
        spans: Sequence[TimeSpan],
        language: str | None,
        check: Callable[[], None],
        progress: Callable[[float], None],
    ) -> Transcription:
        """The words of the stretches of speech `spans` (in order) of `pcm`: 16 kHz mono, int16 or float32 [samples].

        `language` is what the caller says is spoken; null lets the model find out, as far as it can. `check` is called
        before each batch of chunks; `progress` is told the share that is done. Memory does not grow with the length.
        """
        if language is not None and not self.supports(language):
            return Transcription(notices=(self.unsupported_notice(language),))
        batches = self.batches(pcm, spans)
        if not batches:
            return Transcription(language=language)
        spoken = language or self.detect_language(pcm, spans, check)
        sentences = self.recognize(pcm, spans, batches, spoken, check, progress)
        return self.accept(sentences, spans, spoken, certain=language is not None)

    def supports(self, language: str) -> bool:
        return language in self._recogniser.languages

    def batches(self, pcm: Pcm, spans: Sequence[TimeSpan]) -> list[list[PackedChunk]]:
        """The chunks, as they are decoded together: the same whoever decodes which."""
        chunks = pack_speech(pcm, spans)
        return [chunks[first : first + CHUNK_BATCH_SIZE] for first in range(0, len(chunks), CHUNK_BATCH_SIZE)]

    def recognize(
        self,
        pcm: Pcm,
        spans: Sequence[TimeSpan],
        batches: Sequence[Sequence[PackedChunk]],
        language: str,
        check: Callable[[], None],
        progress: Callable[[float], None],
    ) -> list[Sentence]:
        """What is heard in some batches of the whole, all of it, however doubtful."""
        found: list[Sentence] = []
        for first in range(0, len(batches), self._at_once):
            check()
            chunks = [chunk for batch in batches[first : first + self._at_once] for chunk in batch]
            heard = self._recogniser.recognise([chunk.sound(pcm) for chunk in chunks], language)
            for chunk, words in zip(chunks, heard, strict=True):
                found += split_sentences(chunk, words, spans)
            progress(min(first + self._at_once, len(batches)) / len(batches))
        return found

    def detect_language(self, pcm: Pcm, spans: Sequence[TimeSpan], check: Callable[[], None]) -> str:
        """The most probable language over a few chunks, evenly spread; an English-only model has no choice."""
        if len(self._recogniser.languages) == 1:
            return self._recogniser.languages[0]
        chunks = pack_speech(pcm, spans)
        totals: dict[str, float] = {}
        for chunk in chunks[:: max(1, len(chunks) // DETECTED_CHUNKS)][:DETECTED_CHUNKS]:
            check()
            for language, probability in self._recogniser.detect(chunk.sound(pcm)).items():
                totals[language] = totals.get(language, 0.0) + probability * chunk.seconds
        return max(sorted(totals), key=totals.__getitem__)

    def accept(
        self, sentences: Sequence[Sentence], spans: Sequence[TimeSpan], language: str, *, certain: bool
    ) -> Transcription:
        """What is kept of all the sentences of a sound. `certain`: the caller named the language."""
        speech = sum(span.length for span in spans)
        lowest = MIN_SCORE.get(language, DEFAULT_MIN_SCORE)
        kept = [sentence for sentence in sentences if sentence.reaches(lowest)]
        understood = sum(sentence.seconds for sentence in kept)
        if understood < HALF * speech and not certain:
            sure = [sentence for sentence in kept if sentence.reaches(CONFIDENT_SCORE)]
            return Transcription(_segments(sure), None, (self._undetected(),))
        notices = (_UNCERTAIN,) if understood < MOSTLY * speech else ()
        return Transcription(_segments(kept), language, notices)

    def unsupported_notice(self, language: str) -> Notice:
        """The notice of a job in a language that the model was not trained on."""
        return Notice(
            code="language_unsupported",
            message=f"Speech was not recognised: the Whisper model {self.name} does not know the language {language}.",
        )

    def _undetected(self) -> Notice:
        knows_one = len(self._recogniser.languages) == 1
        problem = "does not look like English, the only language of" if knows_one else "was not understood by"
        return Notice(
            code="language_undetected",
            message=f"Most of the speech {problem} the Whisper model {self.name}. What is doubtful was left out.",
        )


_UNCERTAIN = Notice(
    code="transcript_uncertain", message="Part of the speech could not be recognised with confidence and is left out."
)


def _segments(sentences: Iterable[Sentence]) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            start=sentence.words[0].start,
            end=sentence.words[-1].end,
            text="".join(word.text for word in sentence.words).strip(),
            words=tuple(Word(start=word.start, end=word.end, word=word.text.strip()) for word in sentence.words),
        )
        for sentence in sentences
    )
