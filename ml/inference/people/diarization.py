"""Speaker diarization: who speaks when, with overlap.

Each stretch of ten seconds is heard by itself: a network finds which of up to three local speakers are heard at each
moment. What one of them says without a pause is an utterance; long ones are cut into pieces of a second and a half.
Each piece gets an embedding of its speaker, and the embeddings of the whole recording are clustered. Stretches lie on a
grid of absolute times, and each moment belongs to the stretch whose middle is nearest, so the parts of a long recording
give the same as the whole.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from ml.inference.api import FloatArray, TimeSpan
from ml.inference.people.clustering import Item, cluster
from ml.inference.people.speaker_networks import SpeakerNetworks
from ml.inference.voice.vad import Pcm, as_float
from ml.media import SAMPLE_RATE
from ml.networks.speaker_embedding import MEL_BANDS
from ml.networks.speaker_segmentation import FRAME_STEP, SPEAKER_SETS, SPEAKERS
from ml.networks.torchaudio_compat import kaldi

BoolArray = NDArray[np.bool_]

STRETCH_SECONDS = 10.0
HOP_SECONDS = 5.0
"""Seconds from one stretch to the next."""
FRAME_SECONDS = FRAME_STEP / SAMPLE_RATE
MEL_SECONDS = 0.01
PIECE_SECONDS = 1.5
PIECE_HOP_SECONDS = 0.75
MAX_WHOLE_SECONDS = 2.0
"""Seconds up to which an utterance is not cut."""
MAX_PAUSE_SECONDS = 0.1
"""Seconds of silence that do not end an utterance."""
MIN_EMBEDDING_SECONDS = 0.25
MIN_ALONE_SECONDS = 0.5
"""Seconds in which no other voice is heard, from which on only these count for the embedding."""
OVERLAP_WEIGHT = 0.3
"""Weight of an embedding of overlapping voices, for each second."""
SAME_SPEAKER = 0.47
"""Minimum cosine of two groups of pieces that are joined."""
MIN_SPEAKER_SECONDS = 3.0
"""Seconds of speech below which a speaker is taken for the most similar other one."""
MAX_GAP_SECONDS = 0.3
MIN_TURN_SECONDS = 0.15


@dataclass(frozen=True)
class Piece:
    """Speech of one local speaker.

    Attributes:
        span: moments that the piece speaks for.
        embedding: unit vector [192] of the speaker; null if too little is heard.
        weight: seconds that the embedding is made of, less if voices overlap.
    """

    span: TimeSpan
    embedding: FloatArray | None
    weight: float


@dataclass(frozen=True)
class Turn:
    """Span in which a speaker is heard without a longer pause. `speaker`: from 0, the one who speaks most first."""

    span: TimeSpan
    speaker: int


class Diarizer:
    """Hears the pieces of speech of a recording. Threads may share it."""

    def __init__(self, networks: SpeakerNetworks) -> None:
        self._networks = networks
        self._device = next(networks.embedding.parameters()).device

    def listen(self, pcm: Pcm, speech: Sequence[TimeSpan], part: TimeSpan, check: Callable[[], None]) -> list[Piece]:
        """Return the pieces of the stretches that begin in `part` and hold speech. `check` is called for each."""
        duration = len(pcm) / SAMPLE_RATE
        pieces: list[Piece] = []
        for start in stretch_starts(duration, speech, part):
            check()
            pieces += self._listen_at(pcm, start, duration)
        return pieces

    @torch.inference_mode()
    def _listen_at(self, pcm: Pcm, start: float, duration: float) -> list[Piece]:
        first, count = round(start * SAMPLE_RATE), round(STRETCH_SECONDS * SAMPLE_RATE)
        sound = as_float(pcm[first : first + count])
        padded = torch.from_numpy(np.pad(sound, (0, count - len(sound)))).unsqueeze(0)
        probabilities = self._networks.segmentation(padded.to(self._device))[0].float().cpu().numpy()
        active = _active(probabilities)
        active[round(len(sound) / FRAME_STEP) :] = False
        mel = kaldi.fbank(padded, num_mel_bins=MEL_BANDS, sample_frequency=SAMPLE_RATE, dither=0.0)
        own = _own_span(start, duration)
        return [
            Piece(TimeSpan(start + moments.start, start + moments.end), *self._embedding(mel, active, speaker, heard))
            for speaker in range(SPEAKERS)
            for heard, moments in _pieces(active[:, speaker], own)
        ]

    def _embedding(
        self, mel: torch.Tensor, active: BoolArray, speaker: int, heard: TimeSpan
    ) -> tuple[FloatArray | None, float]:
        """Return the embedding of a local speaker in a span of the stretch, and its weight."""
        times = np.arange(len(active)) * FRAME_SECONDS
        mine = active[:, speaker] & (times >= heard.start - FRAME_SECONDS) & (times < heard.end)
        alone = mine & (active.sum(1) == 1)
        is_alone = alone.sum() * FRAME_SECONDS >= MIN_ALONE_SECONDS
        frames = np.minimum((np.arange(len(mel)) * MEL_SECONDS / FRAME_SECONDS).astype(int), len(active) - 1)
        chosen = mel[torch.from_numpy((alone if is_alone else mine)[frames])]
        seconds = len(chosen) * MEL_SECONDS
        if seconds < MIN_EMBEDDING_SECONDS:
            return None, 0.0
        centred = (chosen - chosen.mean(0)).unsqueeze(0).to(self._device)
        embedding = self._networks.embedding(centred)[0].float().cpu().numpy()
        return embedding / np.linalg.norm(embedding), seconds * (1.0 if is_alone else OVERLAP_WEIGHT)


def stretch_starts(duration: float, speech: Sequence[TimeSpan], part: TimeSpan) -> Iterator[float]:
    """Yield the starts of the stretches that begin in `part` and overlap with speech.

    The last stretch of the grid is the first that reaches the end of the sound.
    """
    count = 1 + max(0, int(np.ceil((duration - STRETCH_SECONDS) / HOP_SECONDS)))
    for number in range(count):
        start = number * HOP_SECONDS
        end = start + STRETCH_SECONDS
        if part.start <= start < part.end and any(span.start < end and span.end > start for span in speech):
            yield start


def _own_span(start: float, duration: float) -> TimeSpan:
    """Return the moments of a stretch, from its start, that it and no other decides."""
    margin = (STRETCH_SECONDS - HOP_SECONDS) / 2
    is_last = start + STRETCH_SECONDS >= duration
    return TimeSpan(margin if start else 0.0, STRETCH_SECONDS - (0.0 if is_last else margin))


def _active(probabilities: FloatArray) -> BoolArray:
    """Return who is heard [frames, 3], by the most probable set of speakers of each frame [frames, 7]."""
    members = np.zeros((len(SPEAKER_SETS), SPEAKERS), bool)
    for number, speakers in enumerate(SPEAKER_SETS):
        members[number, list(speakers)] = True
    return members[probabilities.argmax(-1)]


def _pieces(active: BoolArray, own: TimeSpan) -> Iterator[tuple[TimeSpan, TimeSpan]]:
    """Yield the spans to hear, and the moments that each speaks for: neighbours overlap when they are heard."""
    for utterance in spans_of(active, MAX_PAUSE_SECONDS):
        extra = utterance.length - PIECE_SECONDS
        count = 1 if utterance.length <= MAX_WHOLE_SECONDS else int(np.ceil(extra / PIECE_HOP_SECONDS)) + 1
        starts = [utterance.start + min(number * PIECE_HOP_SECONDS, extra) for number in range(count)]
        middles = [(left + right + PIECE_SECONDS) / 2 for left, right in pairwise(starts)]
        edges = [utterance.start, *middles, utterance.end]
        for number, start in enumerate(starts):
            moments = TimeSpan(max(edges[number], own.start), min(edges[number + 1], own.end))
            if moments.length > 0:
                yield (TimeSpan(start, start + PIECE_SECONDS) if count > 1 else utterance), moments


def spans_of(active: BoolArray, max_gap: float) -> list[TimeSpan]:
    """Return the spans in which a flag of frames is set, joined over gaps of up to `max_gap` seconds."""
    padded = np.concatenate([[False], active, [False]])
    spans = [
        TimeSpan(float(first * FRAME_SECONDS), float(last * FRAME_SECONDS))
        for first, last in np.flatnonzero(padded[1:] != padded[:-1]).reshape(-1, 2)
    ]
    return joined(spans, max_gap)


def joined(spans: Iterable[TimeSpan], max_gap: float) -> list[TimeSpan]:
    """Return the spans in order, joined over gaps of up to `max_gap` seconds."""
    found: list[TimeSpan] = []
    for span in sorted(spans, key=lambda each: (each.start, each.end)):
        if found and span.start - found[-1].end <= max_gap:
            last = found.pop()
            span = TimeSpan(last.start, max(last.end, span.end))
        found.append(span)
    return found


def diarize(
    pieces: Sequence[Piece],
    *,
    min_speakers: int = 1,
    max_speakers: int | None = None,
    threshold: float = SAME_SPEAKER,
) -> list[Turn]:
    """Return the turns of all speakers, ordered by time. Speakers are numbered by falling time of speech."""
    clear = [piece for piece in pieces if piece.embedding is not None]
    if not clear:
        return []
    embeddings = np.stack([piece.embedding for piece in clear if piece.embedding is not None])
    weights = np.array([piece.weight for piece in clear], np.float32)
    items = [Item(row, float(weight), frozenset()) for row, weight in zip(embeddings, weights, strict=True)]
    clusters = cluster(items, threshold, min_clusters=min_speakers, max_clusters=max_speakers)
    clusters = _reassigned(embeddings, weights, clusters, min_speakers)
    spans: dict[int, list[TimeSpan]] = {}
    for piece, speaker in _with_nearest(pieces, clear, clusters):
        spans.setdefault(speaker, []).append(piece.span)
    order = sorted(spans, key=lambda speaker: -sum(span.length for span in spans[speaker]))
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


def _with_nearest(
    pieces: Sequence[Piece], clear: Sequence[Piece], clusters: NDArray[np.int64]
) -> Iterator[tuple[Piece, int]]:
    """Yield each piece with its speaker: without an embedding, that of the piece that is nearest in time."""
    starts = np.array([piece.span.start for piece in clear])
    number = 0
    for piece in pieces:
        if piece.embedding is not None:
            yield piece, int(clusters[number])
            number += 1
        else:
            yield piece, int(clusters[np.abs(starts - piece.span.start).argmin()])
