"""Speaker diarization: who speaks when, with overlap. The embeddings of all pieces of speech are clustered."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import FloatArray, TimeSpan
from ml.inference.people.clustering import Item, cluster
from ml.inference.people.speech_pieces import SpeechPieces, joined

COMMON_SHARE = 0.6
"""Share of the mean of a long recording's embeddings that is removed from each: what all its speakers have in common,
such as the room and the microphone. Emotions change a voice by as much as that."""
COMMON_SECONDS = 20.0
"""Seconds of speech at which half of COMMON_SHARE is removed: a short recording may have one speaker alone."""
SAME_SPEAKER, SAME_SPEAKER_SLOPE = 0.46, 0.55
"""Minimum cosine of two groups of pieces that are joined, and by how much less it is for each share removed."""
MIN_SPEAKER_SECONDS, MIN_SPEAKER_SHARE = 4.5, 0.004
"""Seconds of speech, and share of a recording's in addition, below which a speaker is taken for the most similar other
one: the longer a recording is, the more odd pieces agree with each other."""
MIN_CLEAR_SECONDS = 0.5
"""Weight of a piece from which on its speaker is certain enough to exclude that of another who overlaps."""
OTHER_LOCAL_SECONDS = 5.0
"""Seconds that count as between a piece and one of another local speaker, in addition to those that lie between."""
MAX_GAP_SECONDS = 0.8
"""Seconds of silence inside a turn."""
MIN_TURN_SECONDS = 0.15


@dataclass(frozen=True)
class Turn:
    """Span in which a speaker is heard without a longer pause. `speaker`: from 0, the one who speaks most first."""

    span: TimeSpan
    speaker: int


def diarize(pieces: SpeechPieces, *, min_speakers: int = 1, max_speakers: int | None = None) -> list[Turn]:
    """Return the turns of all speakers, ordered by time. Speakers are numbered by falling time of speech."""
    clear_Q = pieces.weights_Q > 0
    if not clear_Q.any():
        return []
    clear = pieces.chosen(clear_Q)
    embeddings, threshold = _without_common(clear)
    clusters = cluster(_items(clear, embeddings), threshold, min_clusters=min_speakers, max_clusters=max_speakers)
    speakers = _of_all(pieces, clear_Q, _reassigned(clear, embeddings, clusters, min_speakers))
    spans: dict[int, list[TimeSpan]] = {}
    for (start, end), speaker in zip(pieces.spans_Q2.tolist(), speakers.tolist(), strict=True):
        spans.setdefault(speaker, []).append(TimeSpan(start, end))
    order = sorted(spans, key=lambda speaker: (-sum(span.length for span in spans[speaker]), speaker))
    turns = [
        Turn(span, number)
        for number, speaker in enumerate(order)
        for span in joined(spans[speaker], MAX_GAP_SECONDS)
        if span.length >= MIN_TURN_SECONDS
    ]
    return sorted(turns, key=lambda turn: (turn.span.start, turn.speaker))


def _items(pieces: SpeechPieces, embeddings: FloatArray) -> list[Item]:
    """Return the pieces as items to cluster: two that overlap clearly are of two speakers."""
    excludes: dict[int, set[int]] = {}
    is_clear = pieces.weights_Q >= MIN_CLEAR_SECONDS
    pairs = [(one, other) for one, others in pieces.overlapping().items() for other in others if one < other]
    for number, (one, other) in enumerate(pairs):
        if is_clear[one] and is_clear[other]:
            excludes.setdefault(one, set()).add(number)
            excludes.setdefault(other, set()).add(number)
    return [
        Item(row, float(weight), frozenset(excludes.get(place, ())))
        for place, (row, weight) in enumerate(zip(embeddings, pieces.weights_Q, strict=True))
    ]


def _without_common(pieces: SpeechPieces) -> tuple[FloatArray, float]:
    """Return the embeddings without a share of their mean, as unit vectors [Q, E], and the threshold for them."""
    weights_Q = pieces.weights_Q
    seconds = float(pieces.seconds_Q.sum())
    share = COMMON_SHARE * seconds / (seconds + COMMON_SECONDS)
    mean_E = np.average(pieces.embeddings_QE, axis=0, weights=weights_Q)
    rest_QE = pieces.embeddings_QE - share * mean_E
    rest_QE /= np.maximum(np.linalg.norm(rest_QE, axis=1, keepdims=True), 1e-9)
    return np.asarray(rest_QE, np.float32), SAME_SPEAKER - SAME_SPEAKER_SLOPE * share


def _reassigned(
    pieces: SpeechPieces, embeddings: FloatArray, clusters: NDArray[np.int64], min_speakers: int
) -> NDArray[np.int64]:
    """Return for each embedding the nearest mean of the clusters that hold enough speech, twice.

    Pieces of two local speakers that overlap are of two speakers: the clearer one chooses first.
    """
    seconds = np.bincount(clusters, pieces.seconds_Q)
    enough = MIN_SPEAKER_SECONDS + MIN_SPEAKER_SHARE * seconds.sum()
    count = max(int((seconds >= enough).sum()), min(min_speakers, len(seconds)), 1)
    order = np.argsort(-seconds, kind="stable")
    clusters = np.argsort(order, kind="stable")[clusters]
    for _ in range(2):
        members = clusters == np.arange(count)[:, None]
        means = (members * pieces.weights_Q) @ embeddings
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
        similarities_QC = embeddings @ means.T
        clusters = similarities_QC.argmax(1)
    return _exclusive(pieces, similarities_QC)


def _exclusive(pieces: SpeechPieces, similarities_QC: FloatArray) -> NDArray[np.int64]:
    """Return the most similar speaker of each piece that no clearer piece has which overlaps with it."""
    speakers = similarities_QC.argmax(1)
    overlapping = pieces.overlapping()
    chosen: dict[int, int] = {}
    for piece in sorted(overlapping, key=lambda place: (-pieces.weights_Q[place], place)):
        taken = {chosen[other] for other in overlapping[piece] if other in chosen}
        free = [speaker for speaker in range(similarities_QC.shape[1]) if speaker not in taken]
        if free:
            speakers[piece] = max(free, key=lambda speaker: similarities_QC[piece, speaker])
        chosen[piece] = int(speakers[piece])
    return speakers


def _of_all(pieces: SpeechPieces, clear_Q: NDArray[np.bool_], clusters: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the speaker of each piece: without an embedding, that of the nearest piece, best of its local speaker."""
    middles_Q, locals_Q = pieces.spans_Q2.mean(1), pieces.locals_Q
    speakers = np.zeros(len(pieces), np.int64)
    speakers[clear_Q] = clusters
    for place in np.flatnonzero(~clear_Q):
        distances = np.abs(middles_Q[clear_Q] - middles_Q[place])
        distances = distances + OTHER_LOCAL_SECONDS * (locals_Q[clear_Q] != locals_Q[place])
        speakers[place] = clusters[distances.argmin()]
    return speakers
