"""Training data of the audio networks: decoded utterances and their weights."""

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
from ml.networks.mel import SAMPLE_RATE, trim_silence
from ml.training.datasets.audio_corpora import FOLDS, read_voices, split_in_folds
from ml.training.datasets.cache import digest, file_state, replacing
from ml.training.datasets.example import Example, examples_of
from ml.training.duplicates import near_duplicate_sounds
from ml.training.preprocess import Preprocessing, preprocess
from ml.training.recipes.audio.config import AudioTrainConfig


@dataclass(frozen=True)
class Sounds:
    """Decoded utterances (int16 [samples] each), and their examples."""

    waveforms: list[NDArray[np.int16]]
    examples: list[Example]

    def waveform(self, row: int) -> NDArray[np.float32]:
        """Return the samples at 16 kHz, mono, in −1..1."""
        return np.asarray(self.waveforms[row] / 32768, np.float32)

    @property
    def labels(self) -> Tensor:
        return torch.tensor([example.index for example in self.examples])

    def select(self, rows: Sequence[int]) -> "Sounds":
        return Sounds([self.waveforms[row] for row in rows], [self.examples[row] for row in rows])


def load_sounds(examples: list[Example], cache: Path) -> Sounds:
    """Decode all files, or load them from a file in the folder `cache` that an earlier run has written.

    Data sets are trusted, unlike uploads: files are decoded in this process. Raises InvalidManifest if a file cannot be
    decoded.
    """
    paths = [example.path for example in examples if example.path]
    cached = cache / f"voices-{digest([file_state(path) for path in paths])}.npz"
    if not cached.exists():
        gc.freeze()  # the decoder collects garbage after each file; frozen objects of torch are not scanned
        decoded = [_decode(path) for path in tqdm(paths, "decode")]
        with replacing(cached) as staging:
            np.savez(staging, samples=np.concatenate(decoded), counts=[len(sound) for sound in decoded])
    with np.load(cached) as arrays:
        return Sounds(np.split(arrays["samples"], np.cumsum(arrays["counts"])[:-1]), examples)


def _decode(path: Path) -> NDArray[np.int16]:
    try:
        sound = np.asarray(decode_audio(str(path), sampling_rate=SAMPLE_RATE))
    except (FFmpegError, LookupError) as error:
        raise InvalidManifest(f"{path} cannot be decoded as sound") from error
    if not len(sound):
        raise InvalidManifest(f"{path} holds no sound")
    return np.asarray(trim_silence(torch.from_numpy(sound)).clamp(-1, 1) * 32767, dtype=np.int16)


def balance(examples: Sequence[Example]) -> Tensor:
    """Return weights [N] of mean 1 by how rare a label is within its data set.

    Each data set weighs as much as the square root of its size.
    """
    keys = [f"{example.dataset}/{example.label}" for example in examples]
    _, index, counts = np.unique(keys, return_inverse=True, return_counts=True)
    weights = 1 / counts[index]
    datasets, dataset_index = np.unique([example.dataset for example in examples], return_inverse=True)
    for index_of_dataset in range(len(datasets)):
        own = dataset_index == index_of_dataset
        weights[own] *= own.sum() ** 0.5 / weights[own].sum()
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)


def read_sides(config: AudioTrainConfig, fold: int | None) -> tuple[Sounds, Sounds]:
    """Return training and held-out utterances. Those that are held out too are removed from the training side."""
    listed = config.data.is_file()
    both = listed_sounds(config, fold) if listed else collected_sounds(config.data, config.cache, fold)
    parts = [[row for row, e in enumerate(both.examples) if (e.split == "train") == wanted] for wanted in (True, False)]
    training, held_out = (both.select(rows) for rows in parts)
    twins = near_duplicate_sounds(training.waveforms, held_out.waveforms)
    training = training.select([row for row, twin in enumerate(twins) if not twin])
    return training, held_out


def collected_sounds(data: Path, cache: Path, fold: int | None) -> Sounds:
    """Return the utterances of a folder's `manifest.csv`.

    Raises InvalidManifest if it lists none, or one cannot be read.
    """
    examples = examples_of(read_voices(data, fold))
    if not examples:
        raise InvalidManifest(f"{data.name} lists no voice")
    return load_sounds(examples, cache)


def listed_sounds(config: AudioTrainConfig, fold: int | None) -> Sounds:
    """Return the sound of a list of recordings and videos. With a fold, its speakers are split in five parts.

    Raises InvalidManifest if there is no sound.
    """
    cache = preprocess(config.data, config.cache / "prepared", Preprocessing(), config.store, workers=config.workers)
    prepared = [each for each in cache if len(each.samples) and each.example.label]
    if not prepared:
        raise InvalidManifest(f"there is no sound in the files that {config.data.name} lists")
    waveforms = [_trim(each.samples) for each in prepared]
    examples = [each.example for each in prepared]
    return Sounds(waveforms, examples if fold is None else split_in_folds(examples, fold, FOLDS))


def _trim(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    sound = trim_silence(torch.from_numpy(samples.astype(np.float32) / 32768))
    return np.asarray(sound * 32768, np.int16)
