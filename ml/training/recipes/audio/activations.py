"""Cache of what the frozen trunk of a SpeechMixture answers for each utterance and for a few other recordings of it.

Training then costs the readers alone. Utterances of more than five seconds are split as in serving.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ml.inference.api import TimeSpan
from ml.inference.voice.segments import split_segments, waveform
from ml.networks.mel import SAMPLE_RATE, log_mel
from ml.networks.speech_mixture import Activations, SpeechTrunk
from ml.training.datasets.cache import digest, replacing
from ml.training.recipes.audio.data import Sounds
from ml.training.recipes.audio.rerecording import rerecord

EXTRACT_BATCH_SIZE = 32
LENGTH_STEP_FRAMES = 32
"""Frames to a multiple of which batches are padded, so that there are few shapes."""
_VERSION = 1
"""Version of extraction and of simulated recordings; caches of another one are not read."""


@dataclass(frozen=True)
class Recordings:
    """Activations of one copy of all segments: frames [F, H] of all, first and number of each segment's, statistics."""

    frames_FH: NDArray[np.float16]
    first_S: NDArray[np.int64]
    count_S: NDArray[np.int64]
    statistics_SD: NDArray[np.float32]


@dataclass(frozen=True)
class CachedActivations:
    """Activations of utterances; the first copy is the sound itself. `utterance_S`: utterance of each segment."""

    copies: list[Recordings]
    utterance_S: NDArray[np.int64]

    def batch(self, segments: NDArray[np.int64], copies: NDArray[np.int64]) -> Activations:
        """Return the activations of segments, each in one of its copies."""
        chosen = [self.copies[copy] for copy in copies]
        counts = [int(each.count_S[segment]) for each, segment in zip(chosen, segments, strict=True)]
        length = -(-max(counts) // LENGTH_STEP_FRAMES) * LENGTH_STEP_FRAMES
        frames = torch.zeros(len(segments), length, self.copies[0].frames_FH.shape[1])
        for row, (each, segment, count) in enumerate(zip(chosen, segments, counts, strict=True)):
            first = int(each.first_S[segment])
            frames[row, :count] = torch.from_numpy(each.frames_FH[first : first + count].astype(np.float32))
        mask = torch.arange(length) < torch.tensor(counts)[:, None]
        return Activations(frames, mask, self.statistics(segments, copies))

    def segments_of(self, utterances: Sequence[int]) -> NDArray[np.int64]:
        return np.flatnonzero(np.isin(self.utterance_S, utterances))

    def lengths(self, segments: NDArray[np.int64], copies: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of frames of segments, each in one of its copies."""
        return np.array(
            [self.copies[copy].count_S[segment] for segment, copy in zip(segments, copies, strict=True)], np.int64
        )

    def statistics(self, segments: NDArray[np.int64], copies: NDArray[np.int64]) -> Tensor:
        """Return the statistics [N, D] of segments, each in one of its copies."""
        pairs = zip(segments, copies, strict=True)
        return torch.from_numpy(np.stack([self.copies[copy].statistics_SD[segment] for segment, copy in pairs]))


def load_or_extract(trunk: SpeechTrunk, sounds: Sounds, copies: int, cache: Path, *, bf16: bool) -> CachedActivations:
    """Return the activations of all sounds in `copies` recordings, from files in `cache` or newly extracted.

    `bf16`: whether the trunk runs in bf16.
    """
    segments = [Segment(row, span) for row, sound in enumerate(sounds.waveforms) for span in split(sound)]
    key = digest(_VERSION, _digest_of_trunk(trunk), bf16, _digest_of_sounds(sounds.waveforms))
    folder = cache / f"activations-{key}"
    recordings = [_load_or_extract_copy(trunk, sounds, segments, copy, folder, bf16=bf16) for copy in range(copies)]
    return CachedActivations(recordings, np.array([segment.utterance for segment in segments], np.int64))


class Segment(NamedTuple):
    """Part of an utterance, in seconds."""

    utterance: int
    span: TimeSpan


def split(sound: NDArray[np.int16]) -> list[TimeSpan]:
    """Return the segments of an utterance, as serving reads them."""
    whole = TimeSpan(0.0, len(sound) / SAMPLE_RATE)
    return split_segments([whole], whole)


def _load_or_extract_copy(
    trunk: SpeechTrunk, sounds: Sounds, segments: Sequence[Segment], copy: int, folder: Path, *, bf16: bool
) -> Recordings:
    index, frames = folder / f"{copy}.npz", folder / f"{copy}.frames"
    if not index.exists():
        with replacing(frames) as staging:
            arrays = _extract(trunk, sounds, segments, copy, staging, bf16=bf16)
        with replacing(index) as staging:
            np.savez(staging, allow_pickle=False, **arrays)
    with np.load(index) as found:
        first, count, statistics = found["first"], found["count"], found["statistics"]
    shape = (int(count.sum()), trunk.config.hidden)
    return Recordings(np.memmap(frames, np.float16, "r", shape=shape), first, count, statistics)


@torch.inference_mode()
def _extract(
    trunk: SpeechTrunk, sounds: Sounds, segments: Sequence[Segment], copy: int, frames: Path, *, bf16: bool
) -> dict[str, NDArray[np.generic]]:
    """Write the frames of all segments to a file. Return the place of each segment's frames, and its statistics."""
    order = np.argsort([segment.span.length for segment in segments], kind="stable")
    first, count = np.zeros(len(segments), np.int64), np.zeros(len(segments), np.int64)
    statistics = np.zeros((len(segments), trunk.config.statistics), np.float32)
    written = 0
    with frames.open("wb") as file:
        for begin in tqdm(range(0, len(order), EXTRACT_BATCH_SIZE), f"activations of copy {copy}", mininterval=10):
            rows = order[begin : begin + EXTRACT_BATCH_SIZE]
            mels = log_mel([torch.from_numpy(_recording(sounds, segments[row], copy, int(row))) for row in rows])
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                found = trunk(mels.maps_NMT, mels.mask_NT)
            statistics[rows] = found.statistics_NS.float().numpy()
            for row, own_TH, kept_T in zip(rows, found.frames_NTH, found.mask_NT, strict=True):
                first[row], count[row] = written, int(kept_T.sum())
                written += int(count[row])
                file.write(own_TH[kept_T].half().numpy().tobytes())
    return {"first": first, "count": count, "statistics": statistics}


def _recording(sounds: Sounds, segment: Segment, copy: int, row: int) -> NDArray[np.float32]:
    sound = waveform(sounds.waveforms[segment.utterance], segment.span)
    return rerecord(sound, np.random.default_rng([copy, row])) if copy else sound


def _digest_of_sounds(sounds: Sequence[NDArray[np.int16]]) -> str:
    found = hashlib.sha256()
    for sound in sounds:
        found.update(len(sound).to_bytes(8, "little") + sound.tobytes())
    return found.hexdigest()


def _digest_of_trunk(trunk: SpeechTrunk) -> str:
    """Return a digest that is the same for the trunk in training and as the store keeps it, in half precision."""
    found = hashlib.sha256(f"{trunk.config.heads} {trunk.config.read_layers}".encode())
    for name, tensor in sorted(trunk.state_dict().items()):
        found.update(name.encode() + (tensor.half() + 0).numpy().tobytes())  # averaging turns −0 into 0
    return found.hexdigest()
