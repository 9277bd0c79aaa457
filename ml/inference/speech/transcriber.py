"""Transcription: speech → words with their times in the media.

Segments of speech are packed into chunks that the recognizer hears at once, without the silence between them. What it
makes of laughter, music, noise or an unknown language is recognized by its own doubts and dropped.
"""

import math
import re
import string
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
import torch

from ml.inference.api import FloatArray, TimeSpan
from ml.inference.speech.recognizer import RecognizedClip, RecognizedWord, SpeechRecognizer
from ml.inference.speech.whisper import Whisper
from ml.inference.voice.vad import Pcm, as_float, pad_segments
from ml.media import SAMPLE_RATE
from ml.results import Notice, Segment, Word

PAD_SECONDS = 0.4
"""Seconds of sound left around each segment of speech: Whisper expects pauses between sentences."""
MAX_CHUNK_SECONDS = 15
"""Maximum seconds of a chunk. In chunks of 30 s of similar sentences, half of the words got the times of others."""
MIN_CHUNK_SECONDS = 4
"""Seconds from which a chunk ends at the next silence of more than MAX_CHUNK_GAP_SECONDS."""
MAX_CHUNK_GAP_SECONDS = 0.2
"""Seconds of silence between the padded segments of a chunk that is long enough."""
CHUNK_BATCH_SIZE = 4
"""Chunks decoded together: 0.6 of the time of one by one on two CPU cores; a cancelled job waits for one batch."""
BATCHES_PER_GPU_CALL = 4
"""Number of chunk batches decoded together on a GPU."""
LANGUAGE_CHUNKS = 3
"""Number of chunks from which the language is detected."""

MIN_SCORE = {"en": -0.7}
DEFAULT_MIN_SCORE = -1.0
"""Minimum mean log-probability of a sentence, by language. Measured with tiny.en: below are 2 in 100 clips of acted or
noisy English that were understood, 5 in 6 noisy ones that were not, and 95 in 100 Polish and Urdu clips. Whisper's own
bound serves for other languages."""
CONFIDENT_SCORE = -0.4
"""Minimum score of a sentence that is kept if most of the file is not in the model's language: no Polish or Urdu clip
reaches it."""
MAX_NO_SPEECH = 0.5
NO_SPEECH_PENALTY = 0.2
"""How much higher the minimum score is if the decoder itself takes a chunk for no speech (above MAX_NO_SPEECH)."""
MAX_COMPRESSION = 2.4
"""Compression ratio by zlib above which text repeats itself. The decoder is sure of what it has just said, so only word
pairs that occur for the first time count then (real repetition reaches -0.3, invented loops -1.1 at most)."""
MIN_WORD_SECONDS = 1 / 12
"""Minimum seconds per word, over a sentence: faster is no speech, but a loop for which the alignment found no sound."""
COMPLETE_SHARE = 0.7
UNDERSTOOD_SHARE = 0.5
"""Shares of the speech that kept words cover: clear English has 0.8 to 1.0. Below the first a notice says that the
transcript has holes (a decoder that skips a sentence reports nothing); below the second the language is unknown."""

MAX_SEGMENT_SECONDS = 10.0
MAX_PAUSE_SECONDS = 1.0
_PUNCTUATION = string.whitespace + string.punctuation + "…"
_SENTENCE_END = re.compile(r"[.?!…。？！][\"'”’)\]]*$")


@dataclass(frozen=True)
class Transcription:
    """Words of a sound. `language`: null if it is unknown, though there may be segments. `notices`: for the result."""

    segments: tuple[Segment, ...] = ()
    language: str | None = None
    notices: tuple[Notice, ...] = ()


def unavailable_notice(name: str) -> Notice:
    """Return the notice of a job for which the Whisper model `name` could not be loaded."""
    return Notice(
        code="transcript_unavailable",
        message=f"Speech was not recognised: no Whisper model {name} is there (`python -m ml fetch whisper {name}`).",
    )


@dataclass(frozen=True)
class PackedChunk:
    """Pieces of the media, in order and disjoint, that are heard as one sound: sample ranges [first, last)."""

    pieces: tuple[tuple[int, int], ...]

    @property
    def seconds(self) -> float:
        return sum(last - first for first, last in self.pieces) / SAMPLE_RATE

    def sound(self, pcm: Pcm) -> FloatArray:
        """Return the pieces as one sound [samples]."""
        return np.concatenate([as_float(pcm[first:last]) for first, last in self.pieces])

    def media_time(self, word: RecognizedWord) -> tuple[float, float]:
        """Return start and end in the media. A word belongs to the piece of its midpoint, and stays inside it."""
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


def pack_speech(pcm: Pcm, speech: Sequence[TimeSpan]) -> list[PackedChunk]:
    """Pack the padded segments of speech, in order, into chunks.

    A segment that is longer than a chunk is cut at its quietest places.
    """
    max_samples, min_samples, max_gap = (
        round(seconds * SAMPLE_RATE) for seconds in (MAX_CHUNK_SECONDS, MIN_CHUNK_SECONDS, MAX_CHUNK_GAP_SECONDS)
    )
    chunks: list[list[tuple[int, int]]] = []
    length = previous = 0
    for first, last in _padded_pieces(pcm, speech, max_samples):
        if not chunks or length + last - first > max_samples or (length >= min_samples and first - previous > max_gap):
            chunks.append([])
            length = 0
        chunks[-1].append((first, last))
        length += last - first
        previous = last
    return [PackedChunk(tuple(pieces)) for pieces in chunks]


def _padded_pieces(pcm: Pcm, speech: Sequence[TimeSpan], max_samples: int) -> Iterator[tuple[int, int]]:
    """Yield sample ranges of the padded segments, none longer than `max_samples`."""
    for segment in pad_segments(speech, PAD_SECONDS, len(pcm) / SAMPLE_RATE):
        first, last = (min(round(edge * SAMPLE_RATE), len(pcm)) for edge in (segment.start, segment.end))
        while last - first > max_samples:
            cut = _quietest_sample(pcm, first + max_samples * 2 // 3, first + max_samples)
            yield first, cut
            first = cut
        if last > first:
            yield first, last


def _quietest_sample(pcm: Pcm, first: int, last: int) -> int:
    """Return the middle of the quietest tenth of a second in [first, last)."""
    frame = SAMPLE_RATE // 10
    sound = as_float(pcm[first:last])
    energy = np.square(sound[: len(sound) // frame * frame].reshape(-1, frame)).sum(axis=1)
    return first + int(energy.argmin()) * frame + frame // 2


@dataclass(frozen=True)
class Sentence:
    """Words in media time. `score`: mean log-probability by which they are accepted or dropped."""

    words: tuple[RecognizedWord, ...]
    score: float

    @property
    def seconds(self) -> float:
        return sum(word.end - word.start for word in self.words)

    def reaches(self, min_score: float) -> bool:
        """Return whether the score is high enough and the words are no faster than speech."""
        return self.score >= min_score and self.seconds >= MIN_WORD_SECONDS * len(self.words)


def split_sentences(chunk: PackedChunk, clip: RecognizedClip, speech: Sequence[TimeSpan]) -> list[Sentence]:
    """Split the words of a chunk at ends of sentences and at pauses.

    The score of a sentence is half that of its own words and half that of its chunk: an unusual name in clear speech
    stays, and a word that fits by chance in a foreign language does not.
    """
    words = list(_words_in_media(chunk, clip.words, speech))
    logs = [math.log(max(word.probability, 1e-6)) for word in words]
    chunk_score = clip.log_probability
    counted = [True] * len(words)
    if clip.compression > MAX_COMPRESSION:
        counted = _is_first_occurrence(words)
        chunk_score = _mean(log for log, counts in zip(logs, counted, strict=True) if counts)
    if clip.no_speech > MAX_NO_SPEECH:
        chunk_score -= 2 * NO_SPEECH_PENALTY
    sentences = []
    for first, last in pairwise(_sentence_edges(words)):
        own = [log for log, counts in zip(logs[first:last], counted[first:last], strict=True) if counts]
        sentences.append(Sentence(tuple(words[first:last]), (_mean(own or [chunk_score]) + chunk_score) / 2))
    return sentences


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


class Transcriber:
    """Transcribes speech with one Whisper model. The same sound gives the same words, alone or after other jobs."""

    def __init__(self, name: str, recognizer: SpeechRecognizer, batches_per_call: int = 1) -> None:
        """`batches_per_call`: batches of chunks that are decoded together."""
        self.name = name
        self._recognizer = recognizer
        self._batches_per_call = batches_per_call

    @classmethod
    def load(cls, name: str, store_root: Path, device: torch.device, threads: int = 0) -> Self | None:
        """Return a transcriber, or None if there is no Whisper model `name`: jobs then have `unavailable_notice(name)`.

        `threads`: CPU threads; 0 takes all that the process may use. Raises ModelStoreError if the model is damaged.
        """
        recognizer = Whisper.load(name, store_root, device, threads)
        if recognizer is None:
            return None
        return cls(name, recognizer, BATCHES_PER_GPU_CALL if device.type == "cuda" else 1)

    def transcribe(
        self,
        pcm: Pcm,
        speech: Sequence[TimeSpan],
        language: str | None,
        check: Callable[[], None],
        progress: Callable[[float], None],
    ) -> Transcription:
        """Return the words of the segments of `speech` (in order) of `pcm`: 16 kHz mono, int16 or float32 [samples].

        `language`: as the caller states it; null lets the model detect it as far as it can. `check` is called before
        each batch of chunks, `progress` after it with the share that is done. Memory does not grow with the length.
        """
        if language is not None and not self.supports(language):
            return Transcription(notices=(self.unsupported_notice(language),))
        batches = self.batches(pcm, speech)
        if not batches:
            return Transcription(language=language)
        spoken = language or self.detect_language(pcm, speech, check)
        sentences = self.recognize(pcm, speech, batches, spoken, check, progress)
        return self.accept(sentences, speech, spoken, certain=language is not None)

    def supports(self, language: str) -> bool:
        """Return whether the model was trained on the language."""
        return language in self._recognizer.languages

    def batches(self, pcm: Pcm, speech: Sequence[TimeSpan]) -> list[list[PackedChunk]]:
        """Return the chunks in batches, which are the same, whichever worker decodes them."""
        chunks = pack_speech(pcm, speech)
        return [chunks[first : first + CHUNK_BATCH_SIZE] for first in range(0, len(chunks), CHUNK_BATCH_SIZE)]

    def recognize(
        self,
        pcm: Pcm,
        speech: Sequence[TimeSpan],
        batches: Sequence[Sequence[PackedChunk]],
        language: str,
        check: Callable[[], None],
        progress: Callable[[float], None],
    ) -> list[Sentence]:
        """Return all sentences of some batches, including doubtful ones."""
        sentences: list[Sentence] = []
        for first in range(0, len(batches), self._batches_per_call):
            check()
            chunks = [chunk for batch in batches[first : first + self._batches_per_call] for chunk in batch]
            clips = self._recognizer.recognize([chunk.sound(pcm) for chunk in chunks], language)
            for chunk, clip in zip(chunks, clips, strict=True):
                sentences += split_sentences(chunk, clip, speech)
            progress(min(first + self._batches_per_call, len(batches)) / len(batches))
        return sentences

    def detect_language(self, pcm: Pcm, speech: Sequence[TimeSpan], check: Callable[[], None]) -> str:
        """Return the most probable language over a few chunks, evenly spread; an English-only model has no choice."""
        if len(self._recognizer.languages) == 1:
            return self._recognizer.languages[0]
        chunks = pack_speech(pcm, speech)
        totals: dict[str, float] = {}
        for chunk in chunks[:: max(1, len(chunks) // LANGUAGE_CHUNKS)][:LANGUAGE_CHUNKS]:
            check()
            for language, probability in self._recognizer.detect_language(chunk.sound(pcm)).items():
                totals[language] = totals.get(language, 0.0) + probability * chunk.seconds
        return max(sorted(totals), key=totals.__getitem__)

    def accept(
        self, sentences: Sequence[Sentence], speech: Sequence[TimeSpan], language: str, *, certain: bool
    ) -> Transcription:
        """Return the sentences of a sound that are certain enough. `certain`: the caller stated the language."""
        speech_seconds = sum(segment.length for segment in speech)
        accepted = [sentence for sentence in sentences if sentence.reaches(MIN_SCORE.get(language, DEFAULT_MIN_SCORE))]
        understood_seconds = sum(sentence.seconds for sentence in accepted)
        if understood_seconds < UNDERSTOOD_SHARE * speech_seconds and not certain:
            confident = [sentence for sentence in accepted if sentence.reaches(CONFIDENT_SCORE)]
            return Transcription(_to_segments(confident), None, (self._undetected_notice(),))
        notices = (_UNCERTAIN,) if understood_seconds < COMPLETE_SHARE * speech_seconds else ()
        return Transcription(_to_segments(accepted), language, notices)

    def unsupported_notice(self, language: str) -> Notice:
        """Return the notice of a job in a language that the model was not trained on."""
        return Notice(
            code="language_unsupported",
            message=f"Speech was not recognised: the Whisper model {self.name} does not know the language {language}.",
        )

    def _undetected_notice(self) -> Notice:
        english_only = len(self._recognizer.languages) == 1
        problem = "does not look like English, the only language of" if english_only else "was not understood by"
        return Notice(
            code="language_undetected",
            message=f"Most of the speech {problem} the Whisper model {self.name}. What is doubtful was left out.",
        )


_UNCERTAIN = Notice(
    code="transcript_uncertain", message="Part of the speech could not be recognised with confidence and is left out."
)


def _to_segments(sentences: Iterable[Sentence]) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            start=sentence.words[0].start,
            end=sentence.words[-1].end,
            text="".join(word.text for word in sentence.words).strip(),
            words=tuple(Word(start=word.start, end=word.end, word=word.text.strip()) for word in sentence.words),
        )
        for sentence in sentences
    )
