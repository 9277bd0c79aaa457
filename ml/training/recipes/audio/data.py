"""Training data of the audio networks: decoded utterances and their weights."""

import gc
from collections.abc import Collection, Sequence
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
from ml.networks.mel import MAX_SECONDS, SAMPLE_RATE, trim_silence
from ml.training.datasets.audio_corpora import FOLDS, read_voices, split_in_folds
from ml.training.datasets.cache import digest, file_state, replacing
from ml.training.datasets.example import Example, examples_of
from ml.training.duplicates import near_duplicate_sounds
from ml.training.preprocess import Preprocessing, preprocess
from ml.training.recipes.audio.config import AudioTrainConfig

TALK = "talk"
"""Name of the data set of ordinary talk."""
TALK_SUFFIXES = (".opus", ".ogg", ".wav", ".flac", ".mp3", ".m4a")


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

    def __add__(self, other: "Sounds") -> "Sounds":
        return Sounds(self.waveforms + other.waveforms, self.examples + other.examples)

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


@dataclass(frozen=True)
class Sides:
    """All utterances, and the rows of those to train on and of those that are held out.

    Sounds that are held out too are not trained on.
    """

    sounds: Sounds
    training: list[int]
    held_out: list[int]

    @property
    def training_sounds(self) -> Sounds:
        return self.sounds.select(self.training)

    @property
    def held_out_sounds(self) -> Sounds:
        return self.sounds.select(self.held_out)


def read_sides(config: AudioTrainConfig, fold: int | None) -> Sides:
    """Return the utterances with the speakers of `fold` and the corpora of the configuration held out."""
    listed = config.data.is_file()
    both = (
        listed_sounds(config, fold) if listed else collected_sounds(config.data, config.cache, fold, config.leave_out)
    )
    if config.neutral_talk:
        both = both + neutral_talk(config.neutral_talk, config.cache)
    training, held_out = (
        [row for row, e in enumerate(both.examples) if (e.split == "train") == wanted] for wanted in (True, False)
    )
    twins = near_duplicate_sounds([both.waveforms[row] for row in training], [both.waveforms[row] for row in held_out])
    return Sides(both, [row for row, twin in zip(training, twins, strict=True) if not twin], held_out)


def neutral_talk(folder: Path, cache: Path) -> Sounds:
    """Return five-second pieces of the recordings in a folder, all labelled neutral, to train on.

    Raises InvalidManifest if it holds none.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix in TALK_SUFFIXES)
    if not paths:
        raise InvalidManifest(f"{folder} holds no recording of talk")
    recordings = load_sounds([_talk(path) for path in paths], cache)
    length = round(MAX_SECONDS * SAMPLE_RATE)
    pieces = [
        (sound[first : first + length], example)
        for sound, example in zip(recordings.waveforms, recordings.examples, strict=True)
        for first in range(0, len(sound) - length + 1, length)
    ]
    return Sounds([sound for sound, _ in pieces], [example for _, example in pieces])


def _talk(path: Path) -> Example:
    return Example(label="neutral", dataset=TALK, split="train", path=path, speaker=f"{TALK}/{path.stem}")


def collected_sounds(data: Path, cache: Path, fold: int | None, left_out: Collection[str] = ()) -> Sounds:
    """Return the utterances of a folder's `manifest.csv`, as `read_voices` reads it.

    Raises InvalidManifest if it lists none, or one cannot be read.
    """
    examples = examples_of(read_voices(data, fold, left_out))
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
