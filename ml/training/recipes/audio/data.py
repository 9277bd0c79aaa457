"""What the nets for the tone of voice learn from: decoded sounds, and how much each counts."""

import argparse
import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from av.error import FFmpegError
from faster_whisper import decode_audio
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ml.errors import InvalidManifest
from ml.networks.mel import RATE, trimmed
from ml.training.datasets.audio_corpora import FOLDS, folded, read_voices
from ml.training.datasets.cache import digest, file_state, replacing
from ml.training.datasets.example import Example, examples_of
from ml.training.duplicates import near_duplicate_sounds
from ml.training.preprocess import Preprocessing, preprocess


@dataclass(frozen=True)
class Sounds:
    """Decoded utterances: int16 [samples] each, and the examples that they are of."""

    waveforms: list[NDArray[np.int16]]
    examples: list[Example]

    def waveform(self, row: int) -> NDArray[np.float32]:
        """16 kHz mono in −1..1."""
        return np.asarray(self.waveforms[row] / 32768, np.float32)

    @property
    def labels(self) -> Tensor:
        return torch.tensor([example.index for example in self.examples])

    def only(self, rows: Sequence[int]) -> "Sounds":
        return Sounds([self.waveforms[row] for row in rows], [self.examples[row] for row in rows])


def load_sounds(examples: list[Example], cache: Path) -> Sounds:
    """Decodes all files once; a file in the folder `cache` keeps them for the next run. Data sets are trusted, unlike
    uploads: one call of a library a file, no child process. Raises InvalidManifest when one cannot be decoded."""
    paths = [example.path for example in examples if example.path]
    kept = cache / f"voices-{digest([file_state(path) for path in paths])}.npz"
    if not kept.exists():
        gc.freeze()  # the library collects garbage after each file: without this, all of torch's objects
        decoded = [_decoded(path) for path in tqdm(paths, "decode")]
        with replacing(kept) as staging:
            np.savez(staging, samples=np.concatenate(decoded), counts=[len(sound) for sound in decoded])
    with np.load(kept) as arrays:
        return Sounds(np.split(arrays["samples"], np.cumsum(arrays["counts"])[:-1]), examples)


def _decoded(path: Path) -> NDArray[np.int16]:
    try:
        sound = np.asarray(decode_audio(str(path), sampling_rate=RATE))
    except (FFmpegError, LookupError) as error:
        raise InvalidManifest(f"{path} cannot be decoded as sound") from error
    if not len(sound):
        raise InvalidManifest(f"{path} holds no sound")
    return np.asarray(trimmed(torch.from_numpy(sound)).clamp(-1, 1) * 32767, dtype=np.int16)


def balance(examples: Sequence[Example]) -> Tensor:
    """Weights [N] of mean 1: how rare a label is within its data set."""
    keys = [f"{example.dataset}/{example.label}" for example in examples]
    _, index, counts = np.unique(keys, return_inverse=True, return_counts=True)
    weights = 1 / counts[index]
    datasets, place = np.unique([example.dataset for example in examples], return_inverse=True)
    for own in range(len(datasets)):
        weights[place == own] *= (place == own).sum() ** 0.5 / weights[place == own].sum()
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)


def read_sides(args: argparse.Namespace, fold: int | None) -> tuple[Sounds, Sounds]:
    """Training and held-out sounds. Sounds that are held out too are taken from the training side."""
    every = listed_sounds(args, fold) if args.data.is_file() else collected_sounds(args.data, args.cache, fold)
    parts = [
        [row for row, e in enumerate(every.examples) if (e.split == "train") == wanted] for wanted in (True, False)
    ]
    training, held_out = (every.only(rows) for rows in parts)
    twins = near_duplicate_sounds(training.waveforms, held_out.waveforms)
    training = training.only([row for row, twin in enumerate(twins) if not twin])
    return training, held_out


def collected_sounds(data: Path, cache: Path, fold: int | None) -> Sounds:
    """The sounds of a folder's `manifest.csv`. Raises InvalidManifest when it lists none, or what cannot be read."""
    examples = examples_of(read_voices(data, fold))
    if not examples:
        raise InvalidManifest(f"{data.name} lists no voice")
    return load_sounds(examples, cache)


def listed_sounds(args: argparse.Namespace, fold: int | None) -> Sounds:
    """The sounds of a list of recordings and videos; with `--fold`, its speakers are split anew, in five parts.

    Raises InvalidManifest when there is no sound.
    """
    cache = preprocess(args.data, args.cache / "prepared", Preprocessing(), args.store, workers=args.workers)
    prepared = [one for one in cache if len(one.samples) and one.example.label]
    if not prepared:
        raise InvalidManifest(f"there is no sound in what {args.data.name} lists")
    waveforms = [_trimmed_samples(one.samples) for one in prepared]
    examples = [one.example for one in prepared]
    return Sounds(waveforms, examples if fold is None else folded(examples, fold, FOLDS))


def _trimmed_samples(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    sound = trimmed(torch.from_numpy(samples.astype(np.float32) / 32768))
    return np.asarray(sound * 32768, np.int16)
