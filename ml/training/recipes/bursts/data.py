"""Training data of the vocal bursts: clips of bursts and other sounds of the mouth, and speech without any."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ml.errors import InvalidManifest
from ml.media import SAMPLE_RATE
from ml.networks.bursts import BANDS, FRAMES_PER_STEP, HOP_SAMPLES, mel_powers
from ml.training.datasets.audio_corpora import read_voices
from ml.training.datasets.cache import digest, file_state, replacing
from ml.training.datasets.example import Example, examples_of
from ml.training.datasets.tables import table
from ml.training.recipes.audio.data import load_sounds
from ml.vocabulary import BURSTS, Burst

KINDS: dict[str, Burst] = {
    "laughing": "laugh",
    "crying": "cry",
    "sighing": "sigh",
    "screaming": "scream",
    "panting": "gasp",
    "moaning": "groan",
    "coughing": "cough",
    "sneezing": "sneeze",
    "nose-blowing": "sniff",
}
"""Kind of burst of each original label; the other sounds of the mouth are no bursts."""
FOLDS = 5
ACTIVE_DECIBELS = 25.0
"""Decibels below the loudest part of a clip down to which the burst lasts."""
_JOINED_FRAMES = 30
"""Frames of 10 ms of a pause within a burst that count as the burst."""


@dataclass(frozen=True)
class Clip:
    """Powers of the mel bands [T, 64] of a recording, and what it is.

    `kind`: of the burst; null for other sounds. `active`: bool [T], when it lasts. `speaker` with its data set: `fold`
    is the part of a cross-validation in which it is held out.
    """

    powers: NDArray[np.float16]
    kind: Burst | None
    label: str
    dataset: str
    speaker: str
    fold: int
    active: NDArray[np.bool_]

    @property
    def seconds(self) -> float:
        return len(self.powers) * HOP_SAMPLES / SAMPLE_RATE

    @property
    def is_speech(self) -> bool:
        return not self.active.any()


def read_clips(data: Path, cache: Path) -> list[Clip]:
    """Return the clips that `data/bursts.csv` lists, and the utterances of `data/manifest.csv`, which are speech.

    Files in `cache` keep them decoded. Raises InvalidManifest if the lists cannot be read.
    """
    rows = list(table(data / "bursts.csv", "path", "original_label", "dataset", "speaker"))
    bursts = [
        Example(label="neutral", dataset=row["dataset"], split="train", path=data / row["path"], speaker=row["speaker"])
        for row in rows
    ]
    voices = examples_of(read_voices(data, None))
    if not bursts or not voices:
        raise InvalidManifest(f"{data.name} lists no burst, or no speech")
    labels = [row["original_label"] for row in rows] + ["speech"] * len(voices)
    examples = [*bursts, *voices]
    powers = _load_powers(bursts, cache) + _load_powers(voices, cache)
    folds = _folds(examples)
    return [
        _clip(own, label, example, fold)
        for own, label, example, fold in zip(powers, labels, examples, folds, strict=True)
    ]


def _clip(powers: NDArray[np.float16], label: str, example: Example, fold: int) -> Clip:
    active = active_frames(powers) if label != "speech" else np.zeros(len(powers), bool)
    return Clip(powers, KINDS.get(label), label, example.dataset, str(example.speaker), fold, active)


def _folds(examples: Sequence[Example]) -> list[int]:
    """Return the fold of each example, by the rank of its speaker among those of its data set."""
    ranks: dict[tuple[str, str | None], int] = {}
    for dataset in {example.dataset for example in examples}:
        speakers = sorted({str(example.speaker) for example in examples if example.dataset == dataset})
        ranks |= {(dataset, speaker): rank % FOLDS for rank, speaker in enumerate(speakers)}
    return [ranks[example.dataset, str(example.speaker)] for example in examples]


def active_frames(powers: NDArray[np.float16]) -> NDArray[np.bool_]:
    """Return when a clip of one burst is loud: bool [T], without its short pauses."""
    levels = 10 * np.log10(powers.astype(np.float32).sum(1) + 1e-9)
    loud = np.flatnonzero(levels > levels.max() - ACTIVE_DECIBELS)
    active = np.zeros(len(powers), bool)
    for first, following in zip(loud, [*loud[1:], loud[-1]], strict=True):
        active[first : following + 1 if following - first <= _JOINED_FRAMES else first + 1] = True
    return active


def _load_powers(examples: list[Example], cache: Path) -> list[NDArray[np.float16]]:
    file = cache / f"mel-{digest([file_state(each.path) for each in examples])}.npz"
    if not file.exists():
        sounds = load_sounds(examples, cache)
        torch.set_num_threads(1)
        maps = [_scaled(sounds.waveform(row)) for row in tqdm(range(len(examples)), "mel")]
        with replacing(file) as staging:
            np.savez(staging, powers=np.concatenate(maps), counts=[len(each) for each in maps])
    with np.load(file) as arrays:
        return list(np.split(arrays["powers"], np.cumsum(arrays["counts"])[:-1]))


def _scaled(sound: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return the powers of a sound at a level of −20 dBFS, so that half precision holds them."""
    level = max(float(np.sqrt(np.square(sound).mean())), 1e-5)
    return mel_powers(torch.from_numpy(sound * (0.1 / level))).numpy().astype(np.float16)


@dataclass(frozen=True)
class Mixer:
    """Makes training examples: a burst, or another sound of the mouth, in speech, in noise or alone.

    `clips`: sounds to put in; `speech`: what they are put into, or heard alone. `frames`: length of an example.
    """

    clips: Sequence[Clip]
    speech: Sequence[Clip]
    frames: int = 192

    def batches(self, size: int, count: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield `count` batches: powers [N, frames, 64] and whether each burst lasts [N, frames / 8, 9]."""
        weights = self._weights()
        for _ in range(count):
            examples = [self._example(weights) for _ in range(size)]
            powers, targets = zip(*examples, strict=True)
            yield torch.from_numpy(np.stack(powers)), torch.from_numpy(np.stack(targets))

    def _weights(self) -> NDArray[np.float64]:
        """Return how often each clip is taken: each kind as often, other sounds together as two kinds."""
        labels = [clip.kind or "other" for clip in self.clips]
        share = {label: (2.0 if label == "other" else 1.0) / labels.count(label) for label in labels}
        weights = np.array([share[label] for label in labels])
        return weights / weights.sum()

    def _example(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        powers = _noise(self.frames) * 10 ** np.random.uniform(-7, -4)
        targets = np.zeros((self.frames, len(BURSTS)), np.float32)
        has_clip = np.random.random() < 0.6
        if not has_clip or np.random.random() < 0.5:
            speech = self.speech[np.random.randint(len(self.speech))]
            level = 10 ** np.random.uniform(-2.5, 0) if has_clip else 1.0
            powers += level * self._cut(_varied(speech.powers.astype(np.float32)))[0]
        if has_clip:
            clip = self.clips[np.random.choice(len(self.clips), p=weights)]
            own, active = self._cut(_varied(clip.powers.astype(np.float32)), clip.active)
            powers += own
            if clip.kind:
                targets[active, BURSTS.index(clip.kind)] = 1
        powers = powers * 10 ** np.random.uniform(-3, 0.8)
        steps = targets.reshape(-1, FRAMES_PER_STEP, len(BURSTS)).mean(1)
        return powers.astype(np.float32), (steps >= 0.5).astype(np.float32)

    def _cut(
        self, powers: NDArray[np.float32], active: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return a stretch of a sound of the length of an example; a shorter sound is at a place in silence."""
        flags = np.zeros(len(powers), bool) if active is None else _resampled(active, len(powers))
        spare = self.frames - len(powers)
        if spare <= 0:
            first = np.random.randint(-spare + 1)
            return powers[first : first + self.frames], flags[first : first + self.frames]
        before = np.random.randint(spare + 1)
        margins = (before, spare - before)
        return np.pad(powers, (margins, (0, 0))), np.pad(flags, margins)


def _resampled(active: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    return active[(np.arange(length) * len(active) / length).astype(int)]


def _noise(frames: int) -> NDArray[np.float32]:
    """Return noise of a random colour [frames, 64]."""
    tilt = np.random.uniform(-2, 0.5) * np.arange(BANDS) / BANDS
    return np.asarray(np.random.exponential(1, (frames, BANDS)) * 10**tilt, np.float32)


def _varied(powers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a sound faster or slower, higher or lower, and through another microphone."""
    length = max(round(len(powers) * np.random.uniform(0.85, 1.18)), 1)
    powers = powers[(np.arange(length) * len(powers) / length).astype(int)]
    shift = np.random.randint(-3, 4)
    if shift:
        edge = powers[:, :1] if shift > 0 else powers[:, -1:] * 0.1
        filling = np.repeat(edge, abs(shift), 1)
        powers = np.hstack([filling, powers[:, :-shift]] if shift > 0 else [powers[:, -shift:], filling])
    low, middle, high = np.random.normal(0, 0.25, 3)
    curve = np.interp(np.arange(BANDS), [0, BANDS / 2, BANDS - 1], [low, middle, high])
    return np.asarray(powers * 10**curve, np.float32)
