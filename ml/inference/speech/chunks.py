"""Chunks of speech: pieces of a sound that a recognizer hears at once, without the silence between them."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ml.inference.api import FloatArray, TimeSpan
from ml.inference.speech.recognizer import RecognizedWord
from ml.inference.voice.vad import Pcm, as_float, pad_segments
from ml.media import SAMPLE_RATE

PAD_SECONDS = 0.4
"""Seconds of sound left around each segment of speech: Whisper expects pauses between sentences."""
MAX_CHUNK_SECONDS = 15
"""Maximum seconds of a chunk. In chunks of 30 s of similar sentences, half of the words got the times of others."""
MIN_CHUNK_SECONDS = 4
"""Seconds from which a chunk ends at the next silence of more than MAX_CHUNK_GAP_SECONDS."""
MAX_CHUNK_GAP_SECONDS = 0.2
"""Seconds of silence between the padded segments of a chunk that is long enough."""
MIN_STRETCH_SECONDS = 2.5
"""Seconds from which a stretch ends at the next silence: fewer are too few to detect a language."""
MAX_STRETCH_SECONDS = 6.0
"""Maximum seconds of a piece of a stretch: longer speech is cut at its quietest places, and may change its language."""

Piece = tuple[int, int]
"""Part of a sound: samples [first, last)."""


@dataclass(frozen=True)
class PackedChunk:
    """Pieces of a sound, in order and disjoint, that are heard as one."""

    pieces: tuple[Piece, ...]

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
    padded = pad_segments(speech, PAD_SECONDS, len(pcm) / SAMPLE_RATE)
    edges = ((round(segment.start * SAMPLE_RATE), round(segment.end * SAMPLE_RATE)) for segment in padded)
    pieces = ((min(first, len(pcm)), min(last, len(pcm))) for first, last in edges)
    return pack_pieces(cut_pieces(pcm, pieces, MAX_CHUNK_SECONDS))


def split_stretches(pcm: Pcm, chunks: Iterable[PackedChunk]) -> list[PackedChunk]:
    """Split chunks into stretches: few enough seconds to be of one language, and enough to detect which."""
    pieces = cut_pieces(pcm, (piece for chunk in chunks for piece in chunk.pieces), MAX_STRETCH_SECONDS)
    return pack_pieces(pieces, MIN_STRETCH_SECONDS, max_gap_seconds=-1)


def pack_pieces(
    pieces: Iterable[Piece],
    min_seconds: float = MIN_CHUNK_SECONDS,
    max_gap_seconds: float = MAX_CHUNK_GAP_SECONDS,
) -> list[PackedChunk]:
    """Pack pieces of at most MAX_CHUNK_SECONDS, in order, into chunks. Pieces of a chunk that touch become one.

    `min_seconds`: seconds from which a chunk ends at the next silence of more than `max_gap_seconds`.
    """
    max_samples, min_samples, max_gap = (
        round(seconds * SAMPLE_RATE) for seconds in (MAX_CHUNK_SECONDS, min_seconds, max_gap_seconds)
    )
    chunks: list[list[Piece]] = []
    length = previous = 0
    for first, last in pieces:
        if not chunks or length + last - first > max_samples or (length >= min_samples and first - previous > max_gap):
            chunks.append([])
            length = 0
        start = chunks[-1].pop()[0] if chunks[-1] and first == previous else first
        chunks[-1].append((start, last))
        length += last - first
        previous = last
    return [PackedChunk(tuple(chunk)) for chunk in chunks]


def cut_pieces(pcm: Pcm, pieces: Iterable[Piece], max_seconds: float) -> Iterator[Piece]:
    """Yield the pieces that are not empty, those longer than `max_seconds` cut at their quietest places."""
    max_samples = round(max_seconds * SAMPLE_RATE)
    for first, last in pieces:
        start = first
        while last - start > max_samples:
            cut = _quietest_sample(pcm, start + max_samples * 2 // 3, start + max_samples)
            yield start, cut
            start = cut
        if last > start:
            yield start, last


def _quietest_sample(pcm: Pcm, first: int, last: int) -> int:
    """Return the middle of the quietest tenth of a second in [first, last)."""
    frame = SAMPLE_RATE // 10
    sound = as_float(pcm[first:last])
    energy = np.square(sound[: len(sound) // frame * frame].reshape(-1, frame)).sum(axis=1)
    return first + int(energy.argmin()) * frame + frame // 2
