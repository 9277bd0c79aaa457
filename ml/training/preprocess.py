"""`python -m ml preprocess`: files → crops, sound and words, once, as serving makes them.

The work is cut into shards of a few examples. A shard is named by the sha256 of what it depends on (the configuration
and its rows), is written by one rename, and is never made twice: a killed run goes on with the shards that are missing,
and a list that grew makes only the new ones. A worker holds one example at a time; memory does not grow with the list.
"""

import argparse
import fcntl
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ml.cpu import cpu_count
from ml.errors import AffectError, MediaInvalid, ModelStoreError
from ml.inference.face.detector import DetectedFace, FaceDetector
from ml.inference.speech.transcriber import Transcriber
from ml.inference.voice.vad import speech_segments
from ml.media import SAMPLE_RATE, Decoder, DecodeRequest, MediaLimits, probe
from ml.memory import peak_bytes
from ml.networks.crops import LANDMARKS, normalize_landmarks, resized
from ml.networks.face import FaceConfig
from ml.paths import MODEL_STORE
from ml.training.datasets.cache import digest, file_state, replacing
from ml.training.datasets.example import Example
from ml.training.datasets.generic import PICTURES
from ml.training.datasets.manifest import read_examples
from ml.training.datasets.media import read_picture

VERSION = 2
"""Raised when the same configuration would give other contents."""
EXAMPLES_PER_SHARD = 32
_STAGING = ".shard-"
_ARRAYS, _WORDS = ("crops", "times", "landmarks", "samples"), "transcript"
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Preprocessing:
    """What is made of each example, and how.

    `crop_size`: side in pixels; `frame_rate`: looks at a video a second; `crops`: pictures are face crops already;
    `landmarks`: keep the mesh of each face; `whisper`: the model that writes down speech, null for none.
    """

    crop_size: int = FaceConfig.size
    frame_rate: float = 4.0
    crops: bool = False
    landmarks: bool = False
    whisper: str | None = None

    @property
    def digest(self) -> str:
        return digest(VERSION, asdict(self))


@dataclass(frozen=True)
class Prepared:
    """One example, ready to be learnt from.

    `crops` uint8 [F, size, size] with `times` [F] in seconds, `landmarks` [F, 468, 3] normalised (zeros where the mesh
    saw nothing; F is 0 of them when they were not asked for); `samples` int16 [S] at 16 kHz.
    """

    example: Example
    crops: Image
    times: NDArray[np.float32]
    landmarks: NDArray[np.float16]
    samples: NDArray[np.int16]
    transcript: str | None


@dataclass(frozen=True)
class Cache:
    """The shards of one list, in order. `peaks`: the most bytes that each process held, by its number, while it made
    some of them."""

    folder: Path
    shards: tuple[str, ...]
    rows: tuple[tuple[Example, ...], ...]
    peaks: dict[int, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Prepared]:
        for name, examples in zip(self.shards, self.rows, strict=True):
            yield from _read_shard(self.folder / f"{name}.npz", examples)

    @cached_property
    def skipped(self) -> Counter[str]:
        """Reasons for which examples were left out."""
        told = (json.loads((self.folder / f"{name}.json").read_text())["skipped"] for name in self.shards)
        return Counter(reason for reasons in told for reason in reasons.values())


def preprocess(
    manifest: Path, out: Path, config: Preprocessing, store: Path, *, workers: int = 1, bar: bool = True
) -> Cache:
    """Makes the shards that are missing below `out` and returns all. Examples that cannot be read are counted.

    Raises InvalidManifest, and ModelStoreError when the Whisper model is not there.
    """
    examples = [example for example in read_examples(manifest) if example.path]
    rows = [
        tuple(examples[first : first + EXAMPLES_PER_SHARD]) for first in range(0, len(examples), EXAMPLES_PER_SHARD)
    ]
    folder = out / config.digest[:16]
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / "config.json", json.dumps(asdict(config), indent=2) + "\n")
    cache = Cache(folder, tuple(_shard_name(config, part) for part in rows), tuple(rows))
    missing = [(name, part) for name, part in zip(cache.shards, rows, strict=True) if not _done(folder, name)]
    make = partial(_make_shard, folder, config, store)
    with ExitStack() as stack:
        stack.enter_context(_at_work(folder))
        done = stack.enter_context(
            tqdm(total=len(rows), desc="shards", initial=len(rows) - len(missing), disable=not bar)
        )
        if workers > 1 and len(missing) > 1:
            pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=get_context("spawn")))
            made: Iterator[tuple[int, int]] = pool.map(make, missing)
        else:
            made = map(make, missing)
        for process, peak in made:
            cache.peaks[process] = peak
            done.update()
    return cache


@contextmanager
def _at_work(folder: Path) -> Iterator[None]:
    """Where nobody else is at work in `folder`, what killed runs left half made is removed first."""
    with (folder / ".lock").open("w") as lock:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in folder.glob(f"{_STAGING}*"):
                shutil.rmtree(left, ignore_errors=True)
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _shard_name(config: Preprocessing, examples: Sequence[Example]) -> str:
    """Of the configuration, the rows, and the size and time of each file: a file that was replaced is read again."""
    return digest(config.digest, [(file_state(e.path), e.start, e.end, e.text, e.language) for e in examples])


def _done(folder: Path, name: str) -> bool:
    """The figures are renamed last: where they lie, the arrays do too."""
    return (folder / f"{name}.json").exists()


def _make_shard(
    folder: Path, config: Preprocessing, store: Path, task: tuple[str, Sequence[Example]]
) -> tuple[int, int]:
    """Gives the number of this process, and the most bytes that it has held."""
    name, examples = task
    skipped: dict[int, str] = {}
    with Preparer(config, store) as preparer, tempfile.TemporaryDirectory(dir=folder, prefix=_STAGING) as staging:
        with ZipFile(Path(staging) / name, "w") as shard:
            for row, example in enumerate(examples):
                try:
                    _write(shard, row, preparer.prepare(example))
                except AffectError as error:
                    skipped[row] = error.message
        os.replace(Path(staging) / name, folder / f"{name}.npz")
    _replace(folder / f"{name}.json", json.dumps({"skipped": skipped}))
    return os.getpid(), peak_bytes()


def _write(shard: ZipFile, row: int, prepared: Prepared) -> None:
    """The arrays of one example, as `numpy.load` finds them."""
    words = [] if prepared.transcript is None else [prepared.transcript]
    arrays = {name: getattr(prepared, name) for name in _ARRAYS} | {_WORDS: np.array(words, np.str_)}
    for name, array in arrays.items():
        with shard.open(f"{row}/{name}.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, array)


def _read_shard(path: Path, examples: Sequence[Example]) -> Iterator[Prepared]:
    with np.load(path) as kept:
        for row, example in enumerate(examples):
            if f"{row}/{_WORDS}" in kept:
                words = kept[f"{row}/{_WORDS}"]
                arrays = {name: kept[f"{row}/{name}"] for name in _ARRAYS}
                yield Prepared(example=example, transcript=str(words[0]) if len(words) else None, **arrays)


def _replace(path: Path, content: str) -> None:
    with replacing(path) as staging:
        staging.write_text(content)


class Preparer:
    """Decoder, face detector and Whisper, as they serve; a context manager."""

    def __init__(self, config: Preprocessing, store: Path) -> None:
        self._config, self._limits = config, MediaLimits()
        self._transcriber = _transcriber(config.whisper, store)

    def __enter__(self) -> "Preparer":
        self._stack = ExitStack()
        self._scratch = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="affect-")))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def prepare(self, example: Example) -> Prepared:
        """Raises AffectError when the file cannot be read, or shows no face and holds no sound."""
        assert example.path
        if not example.path.is_file():
            raise MediaInvalid("There is no such file.")
        if example.path.suffix.lower() in PICTURES:
            return self._picture(example, read_picture(example.path))
        return self._recording(example, example.path)

    def _picture(self, example: Example, image: Image) -> Prepared:
        if self._config.crops:
            crop = resized(_grey(image), self._config.crop_size)
            return self._assembled(example, [(0.0, crop, None)])
        face = self._main_face(image)
        if face is None:
            raise MediaInvalid("No face was found in the picture.")
        return self._assembled(example, [(0.0, face.crop, face.landmarks)])

    def _recording(self, example: Example, path: Path) -> Prepared:
        info = probe(path, self._limits)
        start, end = example.start or 0.0, example.end
        looks: list[tuple[float, Image, NDArray[np.float32] | None]] = []
        with Decoder(
            path,
            info,
            DecodeRequest(self._config.frame_rate, audio=True, start=start, end=end),
            limits=self._limits,
            scratch=self._scratch,
        ) as decoder:
            for frame in decoder.frames():
                face = self._main_face(frame.image)
                if face is not None:
                    looks.append((frame.time - start, face.crop, face.landmarks))
            samples = np.array(decoder.pcm())
        if not looks and not len(samples):
            raise MediaInvalid("There is no face and no sound in the file.")
        return self._assembled(example, looks, samples)

    @cached_property
    def _detector(self) -> FaceDetector:
        return self._stack.enter_context(FaceDetector(self._config.crop_size))

    def _main_face(self, image: Image) -> DetectedFace | None:
        found = self._detector.detect(image, 1)
        return found[0] if found else None

    def _assembled(
        self,
        example: Example,
        looks: Sequence[tuple[float, Image, NDArray[np.float32] | None]],
        samples: NDArray[np.int16] | None = None,
    ) -> Prepared:
        size, meshes = self._config.crop_size, []
        if self._config.landmarks:
            meshes = [normalize_landmarks(mesh).astype(np.float16) for _, _, mesh in looks]
        heard = np.zeros(0, np.int16) if samples is None else samples
        return Prepared(
            example=example,
            crops=np.stack([crop for _, crop, _ in looks]) if looks else np.zeros((0, size, size), np.uint8),
            times=np.array([time for time, _, _ in looks], np.float32),
            landmarks=np.stack(meshes) if meshes else np.zeros((0, LANDMARKS, 3), np.float16),
            samples=heard,
            transcript=example.text if example.text is not None else self._transcribed(heard, example.language),
        )

    def _transcribed(self, samples: NDArray[np.int16], language: str | None) -> str | None:
        if self._transcriber is None or not len(samples):
            return None
        spans = speech_segments(samples, lambda: None)
        found = self._transcriber.transcribe(samples, spans, language, lambda: None, lambda share: None)
        return " ".join(segment.text.strip() for segment in found.segments)


def _transcriber(name: str | None, store: Path) -> Transcriber | None:
    import torch

    if name is None:
        return None
    found = Transcriber.load(name, store, torch.device("cpu"), threads=1)
    if found is None:
        raise ModelStoreError(f"there is no Whisper model {name}: `python -m ml fetch whisper {name}`")
    return found


def _grey(image: Image) -> Image:
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def parser(_: str = "preprocess") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ml preprocess", description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="a list, as `datasets import` writes it")
    parser.add_argument("--out", type=Path, default=Path(".cache/prepared"))
    parser.add_argument("--crop-size", type=int, default=Preprocessing.crop_size)
    parser.add_argument("--frame-rate", type=float, default=Preprocessing.frame_rate, help="looks at a video a second")
    parser.add_argument("--crops", action="store_true", help="pictures are face crops already")
    parser.add_argument("--landmarks", action="store_true", help="keep the mesh of each face")
    parser.add_argument("--whisper", metavar="NAME", help="write down what is said (tiny.en, or a fetched model)")
    parser.add_argument("--workers", type=int, default=cpu_count())
    parser.add_argument("--store", type=Path, default=MODEL_STORE)
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> None:
    config = Preprocessing(args.crop_size, args.frame_rate, args.crops, args.landmarks, args.whisper)
    cache = preprocess(args.manifest, args.out, config, args.store, workers=args.workers)
    ready, frames, seconds = 0, 0, 0.0
    for prepared in cache:
        ready += 1
        frames += len(prepared.crops)
        seconds += len(prepared.samples) / SAMPLE_RATE
    print(f"{ready:,} examples, {frames:,} faces, {seconds / 60:,.1f} minutes of sound in {cache.folder}")
    for reason, count in cache.skipped.most_common():
        print(f"skipped, {reason} {count:,}")
    megabytes = [peak / 1e6 for peak in {**cache.peaks, os.getpid(): peak_bytes()}.values()]
    told = f"most memory held by a process: {max(megabytes):,.0f} MB"
    print(f"{told}; by all together: at most {sum(megabytes):,.0f} MB")
