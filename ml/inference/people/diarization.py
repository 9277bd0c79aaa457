"""Speaker diarization: who speaks when, with overlap. The embeddings of all pieces of speech are clustered."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import FloatArray, TimeSpan
from ml.inference.people.clustering import Item, cluster
from ml.inference.people.speech_pieces import SpeechPieces, joined

SAME_SPEAKER = 0.47
"""Minimum cosine of two groups of pieces that are joined."""
MIN_SPEAKER_SECONDS = 3.0
"""Seconds of speech below which a speaker is taken for the most similar other one."""
MAX_GAP_SECONDS = 0.3
MIN_TURN_SECONDS = 0.15


@dataclass(frozen=True)
class Turn:
    """Span in which a speaker is heard without a longer pause. `speaker`: from 0, the one who speaks most first."""

    span: TimeSpan
    speaker: int


def diarize(
    pieces: SpeechPieces,
    *,
    min_speakers: int = 1,
    max_speakers: int | None = None,
    threshold: float = SAME_SPEAKER,
) -> list[Turn]:
    """Return the turns of all speakers, ordered by time. Speakers are numbered by falling time of speech."""
    clear_Q = pieces.weights_Q > 0
    if not clear_Q.any():
        return []
    embeddings, weights = pieces.embeddings_QE[clear_Q], pieces.weights_Q[clear_Q]
    items = [Item(row, float(weight), frozenset()) for row, weight in zip(embeddings, weights, strict=True)]
    clusters = cluster(items, threshold, min_clusters=min_speakers, max_clusters=max_speakers)
    clusters = _reassigned(embeddings, weights, clusters, min_speakers)
    spans: dict[int, list[TimeSpan]] = {}
    for (start, end), speaker in zip(
        pieces.spans_Q2.tolist(), _of_all(pieces, clear_Q, clusters).tolist(), strict=True
    ):
        spans.setdefault(speaker, []).append(TimeSpan(start, end))
    order = sorted(spans, key=lambda speaker: (-sum(span.length for span in spans[speaker]), speaker))
    turns = [
        Turn(span, number)
        for number, speaker in enumerate(order)
        for span in joined(spans[speaker], MAX_GAP_SECONDS)
        if span.length >= MIN_TURN_SECONDS
    ]
    return sorted(turns, key=lambda turn: (turn.span.start, turn.speaker))


def _reassigned(
    embeddings: FloatArray, weights: FloatArray, clusters: NDArray[np.int64], min_speakers: int
) -> NDArray[np.int64]:
    """Return for each embedding the nearest mean of the clusters that hold enough speech, twice."""
    seconds = np.bincount(clusters, weights)
    count = max(int((seconds >= MIN_SPEAKER_SECONDS).sum()), min(min_speakers, len(seconds)), 1)
    for _ in range(2):
        members = clusters == np.arange(count)[:, None]
        means = (members * weights) @ embeddings
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
        clusters = (embeddings @ means.T).argmax(1)
    return clusters


def _of_all(pieces: SpeechPieces, clear_Q: NDArray[np.bool_], clusters: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the speaker of each piece: without an embedding, that of the piece that is nearest in time."""
    starts = pieces.spans_Q2[:, 0]
    speakers = np.zeros(len(starts), np.int64)
    speakers[clear_Q] = clusters
    for place in np.flatnonzero(~clear_Q):
        speakers[place] = clusters[np.abs(starts[clear_Q] - starts[place]).argmin()]
    return speakers
