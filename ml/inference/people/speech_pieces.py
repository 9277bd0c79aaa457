"""Pieces of speech with their speakers' embeddings: what diarization needs to know of a recording.

Each stretch of ten seconds is heard by itself: a network finds which of up to three local speakers are heard at each
moment. What one of them says without a pause is an utterance; long ones are cut into pieces. Each piece gets an
embedding of its speaker. Stretches lie on a grid of absolute times and are heard in blocks, and each moment belongs to
the stretch whose middle is nearest, so the parts of a long recording give the same as the whole.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import combinations, pairwise
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ml.inference.api import FloatArray, TimeSpan
from ml.inference.people.speaker_networks import SpeakerNetworks
from ml.inference.voice.vad import Pcm, as_float
from ml.media import SAMPLE_RATE
from ml.networks.speaker_embedding import EMBEDDING_SIZE, MEL_BANDS
from ml.networks.speaker_segmentation import FRAME_STEP, SPEAKER_SETS, SPEAKERS
from ml.networks.torchaudio_compat import kaldi

BoolArray = NDArray[np.bool_]

STRETCH_SECONDS = 10.0
HOP_SECONDS = 8.0
"""Seconds from one stretch to the next."""
BLOCK_STRETCHES = 4
"""Stretches that are heard at once. Blocks are the same, whichever worker hears them."""
FRAME_SECONDS = FRAME_STEP / SAMPLE_RATE
MEL_SECONDS = 0.01
PIECE_SECONDS = 1.5
LONG_SECONDS = 7.0
"""Seconds from which on a piece of an utterance speaks for LONG_PIECE_SECONDS, of which the middle is heard: who talks
on for so long is one speaker."""
LONG_PIECE_SECONDS = 3.0
MAX_PAUSE_SECONDS = 0.1
"""Seconds of silence that do not end an utterance."""
MIN_EMBEDDING_SECONDS = 0.25
MIN_ALONE_SECONDS = 0.5
"""Seconds in which no other voice is heard, from which on only these count for the embedding."""
OVERLAP_WEIGHT = 0.3
"""Weight of an embedding of overlapping voices, for each second."""
MIN_SHARED_SECONDS = 0.1
"""Seconds from which on two pieces overlap."""
MIN_SPEECH_SECONDS = 2.0
"""Seconds of speech in a recording below which its speakers cannot be distinguished."""
_PIECE_FRAMES = round(PIECE_SECONDS / MEL_SECONDS)


@dataclass(frozen=True)
class SpeechPieces:
    """Pieces of the speech of local speakers, as arrays. The names of the fields are keys of the features file.

    `spans_Q2`: start and end of the moments that a piece speaks for, in seconds; `embeddings_QE`: unit vectors;
    `weights_Q`: seconds that the embedding is made of, less if voices overlap, and 0 if too little was heard for one;
    `locals_Q`: number of the local speaker, which no other stretch has.
    """

    spans_Q2: NDArray[np.float64]
    embeddings_QE: FloatArray
    weights_Q: FloatArray
    locals_Q: NDArray[np.int64]

    @classmethod
    def empty(cls) -> Self:
        """Return no piece."""
        embeddings_QE = np.zeros((0, EMBEDDING_SIZE), np.float32)
        return cls(np.zeros((0, 2)), embeddings_QE, np.zeros(0, np.float32), np.zeros(0, np.int64))

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        """Concatenate consecutive parts, of which there is at least one."""
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))

    def __len__(self) -> int:
        return len(self.weights_Q)

    @property
    def seconds_Q(self) -> NDArray[np.float64]:
        """Seconds that each piece speaks for."""
        return np.asarray(self.spans_Q2[:, 1] - self.spans_Q2[:, 0])

    def chosen(self, mask_Q: BoolArray) -> Self:
        """Return some of the pieces."""
        return type(self)(*(getattr(self, each.name)[mask_Q] for each in fields(self)))

    def overlapping(self) -> dict[int, list[int]]:
        """Return the places of the pieces of other local speakers that each piece overlaps with, without those of
        none."""
        found: dict[int, list[int]] = {}
        by_stretch: dict[int, list[int]] = {}
        for place, number in enumerate(self.locals_Q.tolist()):
            by_stretch.setdefault(number // SPEAKERS, []).append(place)
        for places in by_stretch.values():
            for one, other in combinations(places, 2):
                shared = min(self.spans_Q2[[one, other], 1]) - max(self.spans_Q2[[one, other], 0])
                if self.locals_Q[one] != self.locals_Q[other] and shared > MIN_SHARED_SECONDS:
                    found.setdefault(one, []).append(other)
                    found.setdefault(other, []).append(one)
        return found


class _Utterance(NamedTuple):
    """Part of what a local speaker says in a stretch. `heard`: span to hear, `moments`: those that it speaks for, both
    from the start of the stretch."""

    stretch: int
    speaker: int
    heard: TimeSpan
    moments: TimeSpan


class SpeechListener:
    """Hears the pieces of speech of a recording. Threads may share it."""

    def __init__(self, networks: SpeakerNetworks) -> None:
        self._networks = networks
        self._device = next(networks.embedding.parameters()).device

    def warm_up(self) -> None:
        """Run both networks once."""
        with torch.inference_mode():
            self._networks.segmentation(torch.zeros(1, round(STRETCH_SECONDS * SAMPLE_RATE), device=self._device))
            self._networks.embedding(torch.zeros(1, _PIECE_FRAMES, MEL_BANDS, device=self._device))

    def listen(
        self,
        pcm: Pcm,
        speech: Sequence[TimeSpan],
        part: TimeSpan,
        check: Callable[[], None],
        progress: Callable[[float], None] = lambda _: None,
    ) -> SpeechPieces:
        """Return the pieces of the blocks that begin in `part` and hold speech. `check` is called for each, `progress`
        after it with the share that is done."""
        duration = len(pcm) / SAMPLE_RATE
        parts = [SpeechPieces.empty()]
        if sum(span.length for span in speech) < MIN_SPEECH_SECONDS:
            return parts[0]
        blocks = list(stretch_blocks(duration, speech, part))
        for number, starts in enumerate(blocks, start=1):
            check()
            parts.append(self._hear(pcm, starts, duration))
            progress(number / len(blocks))
        return SpeechPieces.concatenated(parts)

    @torch.inference_mode()
    def _hear(self, pcm: Pcm, starts: Sequence[float], duration: float) -> SpeechPieces:
        """Return the pieces of the stretches that begin at `starts`."""
        count = round(STRETCH_SECONDS * SAMPLE_RATE)
        sounds = [as_float(pcm[first : first + count]) for first in (round(start * SAMPLE_RATE) for start in starts)]
        padded_NS = torch.from_numpy(np.stack([np.pad(sound, (0, count - len(sound))) for sound in sounds]))
        probabilities_NFC = self._networks.segmentation(padded_NS.to(self._device)).float().cpu().numpy()
        active_NFS = active_speakers(probabilities_NFC)
        for active_FS, sound in zip(active_NFS, sounds, strict=True):
            active_FS[round(len(sound) / FRAME_STEP) :] = False
        utterances = [
            _Utterance(stretch, speaker, heard, moments)
            for stretch, start in enumerate(starts)
            for speaker in range(SPEAKERS)
            for heard, moments in _pieces(active_NFS[stretch, :, speaker], _own_span(start, duration))
        ]
        if not utterances:
            return SpeechPieces.empty()
        mels = [_mel(sound_S) for sound_S in padded_NS]
        chosen = [_frames(mels[each.stretch], active_NFS[each.stretch], each) for each in utterances]
        spans = [
            [starts[each.stretch] + each.moments.start, starts[each.stretch] + each.moments.end] for each in utterances
        ]
        weights_Q = np.array([weight for _, weight in chosen], np.float32)
        numbers = [round(starts[each.stretch] / HOP_SECONDS) * SPEAKERS + each.speaker for each in utterances]
        embeddings_QE = self._embeddings([frames for frames, _ in chosen])
        return SpeechPieces(np.array(spans), embeddings_QE, weights_Q, np.array(numbers, np.int64))

    def _embeddings(self, frames: Sequence[torch.Tensor | None]) -> FloatArray:
        """Return the embedding of each piece, zeros for one without frames: [pieces, E]."""
        embeddings_QE = np.zeros((len(frames), EMBEDDING_SIZE), np.float32)
        rows = [row for row, each in enumerate(frames) if each is not None]
        if rows:
            batch_NTM = torch.stack([each for each in frames if each is not None]).to(self._device)
            found_NE = self._networks.embedding(batch_NTM).float().cpu().numpy()
            embeddings_QE[rows] = found_NE / np.linalg.norm(found_NE, axis=1, keepdims=True)
        return embeddings_QE


def stretch_blocks(duration: float, speech: Sequence[TimeSpan], part: TimeSpan) -> Iterator[list[float]]:
    """Yield the starts of the stretches that overlap with speech, of each block that begins in `part` and has any.

    The last stretch of the grid is the first that reaches the end of the sound.
    """
    count = 1 + max(0, int(np.ceil((duration - STRETCH_SECONDS) / HOP_SECONDS)))
    for first in range(0, count, BLOCK_STRETCHES):
        if not part.start <= first * HOP_SECONDS < part.end:
            continue
        grid = (number * HOP_SECONDS for number in range(first, min(first + BLOCK_STRETCHES, count)))
        starts = [start for start in grid if _has_speech(speech, TimeSpan(start, start + STRETCH_SECONDS))]
        if starts:
            yield starts


def _has_speech(speech: Sequence[TimeSpan], stretch: TimeSpan) -> bool:
    return any(span.start < stretch.end and span.end > stretch.start for span in speech)


def _own_span(start: float, duration: float) -> TimeSpan:
    """Return the moments of a stretch, from its start, that it and no other decides."""
    margin = (STRETCH_SECONDS - HOP_SECONDS) / 2
    is_last = start + STRETCH_SECONDS >= duration
    return TimeSpan(margin if start else 0.0, STRETCH_SECONDS - (0.0 if is_last else margin))


def active_speakers(probabilities_NFC: FloatArray) -> BoolArray:
    """Return who is heard [N, frames, 3], by the most probable set of speakers of each frame [N, frames, 7]."""
    members = np.zeros((len(SPEAKER_SETS), SPEAKERS), bool)
    for number, speakers in enumerate(SPEAKER_SETS):
        members[number, list(speakers)] = True
    return members[probabilities_NFC.argmax(-1)]


def _mel(sound_S: torch.Tensor) -> torch.Tensor:
    return kaldi.fbank(sound_S.unsqueeze(0), num_mel_bins=MEL_BANDS, sample_frequency=SAMPLE_RATE, dither=0.0)


def _frames(mel_TM: torch.Tensor, active_FS: BoolArray, utterance: _Utterance) -> tuple[torch.Tensor | None, float]:
    """Return the frames of a speaker [_PIECE_FRAMES, M] and the weight of their embedding; null and 0 for too few.

    Frames with one voice are preferred. Fewer than the network is given are repeated, of more the middle is taken; the
    mean of each band is removed.
    """
    times = np.arange(len(active_FS)) * FRAME_SECONDS
    is_heard = (times >= utterance.heard.start - FRAME_SECONDS) & (times < utterance.heard.end)
    mine = active_FS[:, utterance.speaker] & is_heard
    alone = mine & (active_FS.sum(1) == 1)
    is_alone = alone.sum() * FRAME_SECONDS >= MIN_ALONE_SECONDS
    places = np.minimum((np.arange(len(mel_TM)) * MEL_SECONDS / FRAME_SECONDS).astype(int), len(active_FS) - 1)
    rows = np.flatnonzero((alone if is_alone else mine)[places])
    seconds = len(rows) * MEL_SECONDS
    if seconds < MIN_EMBEDDING_SECONDS:
        return None, 0.0
    surplus = max(len(rows) - _PIECE_FRAMES, 0) // 2
    chosen_TM = mel_TM[torch.from_numpy(np.resize(rows[surplus:], _PIECE_FRAMES))]
    return chosen_TM - chosen_TM.mean(0), seconds * (1.0 if is_alone else OVERLAP_WEIGHT)


def _pieces(active_F: BoolArray, own: TimeSpan) -> Iterator[tuple[TimeSpan, TimeSpan]]:
    """Yield the spans to hear, in the middle of the moments that each speaks for."""
    for utterance in spans_of(active_F, MAX_PAUSE_SECONDS):
        is_long = utterance.length >= LONG_SECONDS
        count = max(1, round(utterance.length / (LONG_PIECE_SECONDS if is_long else PIECE_SECONDS)))
        edges = np.linspace(utterance.start, utterance.end, count + 1).tolist()
        for start, end in pairwise(edges):
            moments = TimeSpan(max(start, own.start), min(end, own.end))
            if moments.length > 0:
                margin = max(end - start - PIECE_SECONDS, 0.0) / 2
                yield TimeSpan(start + margin, end - margin), moments


def spans_of(active_F: BoolArray, max_gap: float) -> list[TimeSpan]:
    """Return the spans in which a flag of frames is set, joined over gaps of up to `max_gap` seconds."""
    padded = np.concatenate([[False], active_F, [False]])
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
