"""What is heard: speech in each window → the tone of voice."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import ModalityFeatures, TimeSpan
from ml.inference.voice.vad import Pcm, as_float
from ml.media import SAMPLE_RATE

MIN_SPEECH_SHARE = 0.1
"""A window with a smaller share of speech has no tone of voice (design: `missing`)."""

MAX_SEGMENT_SECONDS = 5.0
SEGMENT_BATCH_SIZE = 32


class AudioOutputs(Protocol):
    """Embeddings [N, E] and calibrated log-probabilities [N, 7]."""

    @property
    def embeddings_NE(self) -> NDArray[np.float32]: ...

    @property
    def log_probabilities_NC(self) -> NDArray[np.float32]: ...


class AudioPredictor(Protocol):
    """What a model of the tone of voice offers."""

    def predict(self, waveforms: Sequence[NDArray[np.float32]]) -> AudioOutputs:
        """`waveforms`: 16 kHz mono in −1..1, [samples] each, at most `MAX_SEGMENT_SECONDS` seconds."""


@dataclass(frozen=True)
class WindowVoice:
    """The sound of a window: its share of speech, and the tone of voice where there is enough."""

    speech: float
    evidence: ModalityFeatures | None


def speech_share(speech: Sequence[TimeSpan], window: TimeSpan) -> float:
    """Share of the window that is speech, 0..1."""
    spoken = sum(max(0.0, min(span.end, window.end) - max(span.start, window.start)) for span in speech)
    return min(spoken / window.length, 1.0) if window.length > 0 else 0.0


def split_segments(speech: Sequence[TimeSpan], window: TimeSpan) -> list[TimeSpan]:
    """From the first to the last speech of the window, cut into equal pieces of at most `MAX_SEGMENT_SECONDS` seconds."""
    inside = [span for span in speech if span.start < window.end and span.end > window.start]
    if not inside:
        return []
    start, end = max(inside[0].start, window.start), min(inside[-1].end, window.end)
    count = max(1, int(np.ceil((end - start) / MAX_SEGMENT_SECONDS - 1e-9)))
    edges = np.linspace(start, end, count + 1)
    return [TimeSpan(float(left), float(right)) for left, right in pairwise(edges)]


def waveform(pcm: Pcm, span: TimeSpan) -> NDArray[np.float32]:
    """A stretch of int16 PCM [samples] as float32 in −1..1."""
    first, last = _sample_range(span)
    return as_float(pcm[first:last])


SampleRange = tuple[int, int]
"""A stretch of sound: samples [first, last)."""


def _sample_range(span: TimeSpan) -> SampleRange:
    return round(span.start * SAMPLE_RATE), round(span.end * SAMPLE_RATE)


@dataclass(frozen=True)
class SegmentOutputs:
    """The tone of voice in pieces of one sound: samples [first, last) of each, embeddings, log-probabilities."""

    pieces_P2: NDArray[np.int64]
    embeddings_PE: NDArray[np.float32]
    log_probabilities_PC: NDArray[np.float32]

    @classmethod
    def empty(cls, embedding: int = 1) -> Self:
        return cls(np.zeros((0, 2), np.int64), np.zeros((0, embedding), np.float32), np.zeros((0, 7), np.float32))

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        """At least one; those that hold something have embeddings of one size."""
        told = [part for part in parts if len(part.pieces_P2)] or parts[:1]
        return cls(
            np.concatenate([part.pieces_P2 for part in told]),
            np.concatenate([part.embeddings_PE for part in told]),
            np.concatenate([part.log_probabilities_PC for part in told]),
        )

    def by_segment(self) -> dict[SampleRange, ModalityFeatures]:
        rows = zip(self.pieces_P2.tolist(), self.embeddings_PE, self.log_probabilities_PC, strict=True)
        return {(first, last): ModalityFeatures(embedding, logs) for (first, last), embedding, logs in rows}


def segments_by_window(speech: Sequence[TimeSpan], windows: Sequence[TimeSpan]) -> dict[TimeSpan, list[SampleRange]]:
    """The pieces of each window that has enough speech. Windows that overlap may share some."""
    return {
        window: [_sample_range(piece) for piece in split_segments(speech, window)]
        for window in windows
        if speech_share(speech, window) >= MIN_SPEECH_SHARE
    }


def batch_segments(pieces: Iterable[SampleRange]) -> list[list[SampleRange]]:
    """What the model hears together, each piece once, in order of time: the same whoever hears which batch."""
    order = sorted(set(pieces))
    return [order[first : first + SEGMENT_BATCH_SIZE] for first in range(0, len(order), SEGMENT_BATCH_SIZE)]


def predict_segments(
    predictor: AudioPredictor,
    pcm: Pcm,
    batches: Sequence[Sequence[SampleRange]],
    progress: Callable[[float], None],
    check: Callable[[], None],
) -> SegmentOutputs:
    """The tone of each piece. `pcm`: 16 kHz mono [samples]."""
    found = [SegmentOutputs.empty()]
    for number, batch in enumerate(batches, start=1):
        check()
        outputs = predictor.predict([as_float(pcm[first:last]) for first, last in batch])
        pieces = np.array(batch, np.int64)
        found.append(SegmentOutputs(pieces, outputs.embeddings_NE, outputs.log_probabilities_NC))
        progress(number / len(batches))
    return SegmentOutputs.concatenated(found)


def voices_by_window(
    tones: dict[SampleRange, ModalityFeatures],
    wanted: dict[TimeSpan, list[SampleRange]],
    speech: Sequence[TimeSpan],
    windows: Sequence[TimeSpan],
) -> list[WindowVoice]:
    """The voice of each window. A window of which no tone is known tells its share of speech alone."""
    return [
        WindowVoice(
            speech_share(speech, window), _mean([tones[piece] for piece in wanted.get(window, ()) if piece in tones])
        )
        for window in windows
    ]


def predict_utterances(predictor: AudioPredictor, utterances: Sequence[Pcm]) -> list[ModalityFeatures | None]:
    """The tone of each utterance, all of it taken for the speech of one window; null where it holds no sound."""
    pieces = [_cut(pcm) for pcm in utterances]
    outputs = predictor.predict([piece for own in pieces for piece in own])
    heard = map(ModalityFeatures, outputs.embeddings_NE, outputs.log_probabilities_NC)
    return [_mean(list(islice(heard, len(own)))) for own in pieces]


def _cut(utterance: Pcm) -> list[NDArray[np.float32]]:
    whole = TimeSpan(0.0, len(utterance) / SAMPLE_RATE)
    return [waveform(utterance, piece) for piece in split_segments([whole], whole)]


def _mean(pieces: Sequence[ModalityFeatures]) -> ModalityFeatures | None:
    """The mean of the pieces' embeddings and probabilities."""
    if not pieces:
        return None
    probabilities = np.mean([np.exp(piece.log_probabilities) for piece in pieces], axis=0)
    return ModalityFeatures(np.mean([piece.embedding for piece in pieces], axis=0), np.log(probabilities))
