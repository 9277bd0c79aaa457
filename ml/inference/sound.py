"""What is heard: speech in each window → the tone of voice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ml.inference.fusion import Evidence
from ml.inference.windows import Span
from ml.media import SAMPLE_RATE

LEAST_SPEECH = 0.1
"""A window with a smaller share of speech has no tone of voice (design: `missing`)."""

LONGEST_PIECE = 5.0
BATCH = 32


class AudioOutputs(Protocol):
    """Embeddings [N, E] and calibrated log-probabilities [N, 7]."""

    @property
    def embeddings_NE(self) -> NDArray[np.float32]: ...

    @property
    def log_probabilities_NC(self) -> NDArray[np.float32]: ...


class AudioPredictor(Protocol):
    """What a model of the tone of voice offers."""

    def predict(self, waveforms: Sequence[NDArray[np.float32]]) -> AudioOutputs:
        """`waveforms`: 16 kHz mono in −1..1, [samples] each, at most `LONGEST_PIECE` seconds."""


@dataclass(frozen=True)
class Voice:
    """The sound of a window: its share of speech, and the tone of voice where there is enough."""

    speech: float
    evidence: Evidence | None


def speech_share(speech: Sequence[Span], window: Span) -> float:
    """Share of the window that is speech, 0..1."""
    spoken = sum(max(0.0, min(span.end, window.end) - max(span.start, window.start)) for span in speech)
    return min(spoken / window.length, 1.0) if window.length > 0 else 0.0


def pieces_of(speech: Sequence[Span], window: Span) -> list[Span]:
    """From the first to the last speech of the window, cut into equal pieces of at most `LONGEST_PIECE` seconds."""
    inside = [span for span in speech if span.start < window.end and span.end > window.start]
    if not inside:
        return []
    start, end = max(inside[0].start, window.start), min(inside[-1].end, window.end)
    count = max(1, int(np.ceil((end - start) / LONGEST_PIECE - 1e-9)))
    edges = np.linspace(start, end, count + 1)
    return [Span(float(left), float(right)) for left, right in pairwise(edges)]


def waveform(pcm: NDArray[np.int16], span: Span) -> NDArray[np.float32]:
    """A stretch of int16 PCM [samples] as float32 in −1..1."""
    first, last = (round(edge * SAMPLE_RATE) for edge in (span.start, span.end))
    return np.asarray(pcm[first:last], dtype=np.float32) / 32768.0


def listen(
    predictor: AudioPredictor | None,
    pcm: NDArray[np.int16],
    speech: Sequence[Span],
    windows: Sequence[Span],
    progress: Callable[[float], None],
    check: Callable[[], None],
) -> list[Voice]:
    """The voice of each window. `pcm`: 16 kHz mono int16 [samples]; `speech` in order of time. Without a predictor
    only the share of speech is told."""
    shares = [speech_share(speech, window) for window in windows]
    parts = [
        (index, piece)
        for index, (share, window) in enumerate(zip(shares, windows, strict=True))
        if predictor and share >= LEAST_SPEECH
        for piece in pieces_of(speech, window)
    ]
    heard: dict[int, list[Evidence]] = {}
    for first in range(0, len(parts), BATCH):
        check()
        batch = parts[first : first + BATCH]
        assert predictor is not None
        outputs = predictor.predict([waveform(pcm, piece) for _, piece in batch])
        rows = zip(batch, outputs.embeddings_NE, outputs.log_probabilities_NC, strict=True)
        for (index, _), embedding, log_probabilities in rows:
            heard.setdefault(index, []).append(Evidence(embedding, log_probabilities))
        progress((first + len(batch)) / len(parts))
    return [Voice(share, _mean(heard.get(index, []))) for index, share in enumerate(shares)]


def _mean(pieces: Sequence[Evidence]) -> Evidence | None:
    """The mean of the pieces' embeddings and probabilities."""
    if not pieces:
        return None
    probabilities = np.mean([np.exp(piece.log_probabilities) for piece in pieces], axis=0)
    return Evidence(np.mean([piece.embedding for piece in pieces], axis=0), np.log(probabilities))
