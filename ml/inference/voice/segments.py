"""Voice of windows: segments of speech → features of each segment → features of each window."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import BatchPredictor, FloatArray, ModalityFeatures, TimeSpan
from ml.inference.voice.quality import QUALITIES, voice_quality
from ml.inference.voice.vad import Pcm, as_float
from ml.media import SAMPLE_RATE

MIN_SPEECH_SHARE = 0.1
"""Minimum share of speech of a window whose voice is read (design: `missing`)."""
MAX_SEGMENT_SECONDS = 5.0
SEGMENT_BATCH_SIZE = 32
"""Number of segments that form a batch. Batches are the same, whichever worker reads them."""

SampleRange = tuple[int, int]
"""Segment of a sound: samples [first, last)."""


@dataclass(frozen=True)
class WindowVoice:
    """Voice of a window: its share of speech, and its features, null if there is not enough speech."""

    speech: float
    features: ModalityFeatures | None


@dataclass(frozen=True)
class SegmentOutputs:
    """Outputs of the voice model for segments of one sound: samples [first, last), embeddings and log-probabilities.

    `qualities_PQ`: `voice.quality.QUALITIES`; null in a features file of an older version. The names of the fields are
    keys of the features file.
    """

    pieces_P2: NDArray[np.int64]
    embeddings_PE: FloatArray
    log_probabilities_PC: FloatArray
    qualities_PQ: FloatArray | None = None

    @property
    def known_qualities_PQ(self) -> FloatArray:
        """Qualities of the segments, NaN if unknown."""
        unknown_PQ = np.full((len(self.pieces_P2), len(QUALITIES)), np.nan, np.float32)
        return unknown_PQ if self.qualities_PQ is None else self.qualities_PQ

    @classmethod
    def empty(cls, embedding_size: int = 1) -> Self:
        """Return the outputs for no segment."""
        return cls(np.zeros((0, 2), np.int64), np.zeros((0, embedding_size), np.float32), np.zeros((0, 7), np.float32))

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        """Concatenate parts, of which there is at least one; those with segments have one embedding size."""
        filled = [part for part in parts if len(part.pieces_P2)] or parts[:1]
        return cls(
            np.concatenate([part.pieces_P2 for part in filled]),
            np.concatenate([part.embeddings_PE for part in filled]),
            np.concatenate([part.log_probabilities_PC for part in filled]),
            np.concatenate([part.known_qualities_PQ for part in filled]),
        )

    def by_segment(self) -> dict[SampleRange, ModalityFeatures]:
        """Return the features of each segment."""
        outputs = (self.embeddings_PE, self.log_probabilities_PC, self.known_qualities_PQ)
        rows = zip(self.pieces_P2.tolist(), *outputs, strict=True)
        return {(first, last): ModalityFeatures(*features) for (first, last), *features in rows}


def speech_share(speech: Sequence[TimeSpan], window: TimeSpan) -> float:
    """Return the share of the window that is speech, 0..1."""
    seconds = sum(max(0.0, min(span.end, window.end) - max(span.start, window.start)) for span in speech)
    return min(seconds / window.length, 1.0) if window.length > 0 else 0.0


def split_segments(speech: Sequence[TimeSpan], window: TimeSpan) -> list[TimeSpan]:
    """Split the window, from its first to its last speech, into equal segments of at most `MAX_SEGMENT_SECONDS`."""
    inside = [span for span in speech if span.start < window.end and span.end > window.start]
    if not inside:
        return []
    start, end = max(inside[0].start, window.start), min(inside[-1].end, window.end)
    count = max(1, int(np.ceil((end - start) / MAX_SEGMENT_SECONDS - 1e-9)))
    edges = np.linspace(start, end, count + 1)
    return [TimeSpan(float(left), float(right)) for left, right in pairwise(edges)]


def waveform(pcm: Pcm, span: TimeSpan) -> FloatArray:
    """Return a span of int16 PCM [samples] as float32 in −1..1."""
    first, last = sample_range(span)
    return as_float(pcm[first:last])


def sample_range(span: TimeSpan) -> SampleRange:
    """Return the samples of a span."""
    return round(span.start * SAMPLE_RATE), round(span.end * SAMPLE_RATE)


def segments_by_window(speech: Sequence[TimeSpan], windows: Sequence[TimeSpan]) -> dict[TimeSpan, list[SampleRange]]:
    """Return the segments of each window that has enough speech. Windows that overlap may share segments."""
    return {
        window: [sample_range(segment) for segment in split_segments(speech, window)]
        for window in windows
        if speech_share(speech, window) >= MIN_SPEECH_SHARE
    }


def batch_segments(segments: Iterable[SampleRange]) -> list[list[SampleRange]]:
    """Return the distinct segments in batches for the model, in order of time."""
    order = sorted(set(segments))
    return [order[first : first + SEGMENT_BATCH_SIZE] for first in range(0, len(order), SEGMENT_BATCH_SIZE)]


def predict_segments(
    predictor: BatchPredictor[FloatArray],
    pcm: Pcm,
    batches: Sequence[Sequence[SampleRange]],
    progress: Callable[[float], None],
    check: Callable[[], None],
) -> SegmentOutputs:
    """Return the outputs for each segment.

    `pcm`: 16 kHz mono [samples]. `check` is called before each batch, `progress` after it with the share that is done.
    """
    parts = [SegmentOutputs.empty()]
    for number, batch in enumerate(batches, start=1):
        check()
        waveforms = [as_float(pcm[first:last]) for first, last in batch]
        outputs = predictor.predict(waveforms)
        qualities_PQ = np.stack(list(map(voice_quality, waveforms)))
        pieces_P2 = np.array(batch, np.int64)
        parts.append(SegmentOutputs(pieces_P2, outputs.embeddings_NE, outputs.log_probabilities_NC, qualities_PQ))
        progress(number / len(batches))
    return SegmentOutputs.concatenated(parts)


def voices_by_window(
    features: Mapping[SampleRange, ModalityFeatures],
    segments: Mapping[TimeSpan, Sequence[SampleRange]],
    speech: Sequence[TimeSpan],
    windows: Sequence[TimeSpan],
) -> list[WindowVoice]:
    """Return the voice of each window.

    `features`: of the segments that were read; `segments`: of each window, as `segments_by_window` returns them. A
    window without a segment that was read has its share of speech alone.
    """
    return [
        WindowVoice(
            speech_share(speech, window),
            mean_features([features[segment] for segment in segments.get(window, ()) if segment in features]),
        )
        for window in windows
    ]


def predict_utterances(
    predictor: BatchPredictor[FloatArray], utterances: Sequence[Pcm]
) -> list[ModalityFeatures | None]:
    """Return the features of each utterance, read as one window that is all speech; null for one without a sample."""
    waveforms = [_split_utterance(pcm) for pcm in utterances]
    outputs = predictor.predict([segment for of_utterance in waveforms for segment in of_utterance])
    rows = map(outputs.features, range(len(outputs.embeddings_NE)))
    return [mean_features(list(islice(rows, len(of_utterance)))) for of_utterance in waveforms]


def _split_utterance(utterance: Pcm) -> list[FloatArray]:
    whole = TimeSpan(0.0, len(utterance) / SAMPLE_RATE)
    return [waveform(utterance, segment) for segment in split_segments([whole], whole)]


def mean_features(
    segments: Sequence[ModalityFeatures], weights: Sequence[float] | None = None
) -> ModalityFeatures | None:
    """Return the mean of the embeddings, probabilities and known qualities; None for no segment.

    `weights`: of the segments; null for equal ones.
    """
    if not segments:
        return None
    probabilities = np.average([np.exp(segment.log_probabilities) for segment in segments], axis=0, weights=weights)
    known = [segment.quality for segment in segments if segment.quality is not None]
    quality = np.mean(known, axis=0) if known else None
    embedding = np.average([segment.embedding for segment in segments], axis=0, weights=weights)
    return ModalityFeatures(embedding.astype(np.float32), np.log(probabilities).astype(np.float32), quality)
