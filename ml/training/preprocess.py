"""`python -m ml preprocess`: extract crops, sound and words of files once, as serving does.

The work is split into shards of a few examples. The name of a shard is a digest of its configuration and its rows; it
is written by one rename, and only once: a killed run resumes with the missing shards, and a list that grew makes only
the new ones. A worker process holds one example at a time, so memory does not grow with the list.
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
from ml.networks.crops import LANDMARKS, normalize_landmarks, resize_crop
from ml.networks.face import FaceConfig
from ml.paths import MODEL_STORE
from ml.training.datasets.cache import digest, file_state, replacing
from ml.training.datasets.example import Example
from ml.training.datasets.generic import PICTURES
from ml.training.datasets.manifest import read_examples
from ml.training.datasets.media import read_picture
from ml.training.options import bind, option

VERSION = 2
"""Version of the contents: raised if the same configuration gives other ones."""
EXAMPLES_PER_SHARD = 32
_STAGING = ".shard-"
_ARRAYS, _WORDS = ("crops", "times", "landmarks", "samples"), "transcript"
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Preprocessing:
    """Configuration of the preprocessing.

    `crop_size`: side in pixels; `frame_rate`: frames sampled per second of video; `crops`: pictures are face crops
    already; `landmarks`: keep the mesh of each face; `whisper`: model that transcribes speech, None to skip it.
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
    """One preprocessed example.

    `crops` uint8 [F, size, size] with `times` [F] in seconds; `landmarks` [F, 468, 3] normalised (zeros for a face
    without a mesh; [0, 468, 3] if they are not kept); `samples` int16 [S] at 16 kHz.
    """

    example: Example
    crops: Image
    times: NDArray[np.float32]
    landmarks: NDArray[np.float16]
    samples: NDArray[np.int16]
    transcript: str | None


@dataclass(frozen=True)
class ShardCache:
    """Shards of one list, in order. `peaks`: maximum bytes of each process that made some of them, by process id."""

    folder: Path
    shards: tuple[str, ...]
    rows: tuple[tuple[Example, ...], ...]
    peaks: dict[int, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Prepared]:
        for name, examples in zip(self.shards, self.rows, strict=True):
            yield from _read_shard(self.folder / f"{name}.npz", examples)

    @cached_property
    def skipped(self) -> Counter[str]:
        """Reasons why examples were skipped, with their counts."""
        documents = (json.loads((self.folder / f"{name}.json").read_text())["skipped"] for name in self.shards)
        return Counter(reason for reasons in documents for reason in reasons.values())


def preprocess(
    manifest: Path, out: Path, config: Preprocessing, store: Path, *, workers: int = 1, bar: bool = True
) -> ShardCache:
    """Make the missing shards below `out`, and return all of them. Examples that cannot be read are counted.

    Raises InvalidManifest, and ModelStoreError if the Whisper model is missing.
    """
    examples = [example for example in read_examples(manifest) if example.path]
    rows = [
        tuple(examples[first : first + EXAMPLES_PER_SHARD]) for first in range(0, len(examples), EXAMPLES_PER_SHARD)
    ]
    folder = out / config.digest[:16]
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / "config.json", json.dumps(asdict(config), indent=2) + "\n")
    cache = ShardCache(folder, tuple(_shard_name(config, part) for part in rows), tuple(rows))
    missing = [(name, part) for name, part in zip(cache.shards, rows, strict=True) if not _is_done(folder, name)]
    make = partial(_make_shard, folder, config, store)
    with ExitStack() as stack:
        stack.enter_context(_lock(folder))
        done = stack.enter_context(
            tqdm(total=len(rows), desc="shards", initial=len(rows) - len(missing), disable=not bar)
        )
        if workers > 1 and len(missing) > 1:
            pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=get_context("spawn")))
            peaks: Iterator[tuple[int, int]] = pool.map(make, missing)
        else:
            peaks = map(make, missing)
        for process, peak in peaks:
            cache.peaks[process] = peak
            done.update()
    return cache


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Mark `folder` as in use. If no other process uses it, remove partial shards of killed runs first."""
    with (folder / ".lock").open("w") as lock:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for partial_shard in folder.glob(f"{_STAGING}*"):
                shutil.rmtree(partial_shard, ignore_errors=True)
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _shard_name(config: Preprocessing, examples: Sequence[Example]) -> str:
    """Return a digest of configuration, rows, and size and time of each file: a replaced file is read again."""
    return digest(config.digest, [(file_state(e.path), e.start, e.end, e.text, e.language) for e in examples])


def _is_done(folder: Path, name: str) -> bool:
    """Return whether a shard is complete: its JSON file is renamed after its arrays."""
    return (folder / f"{name}.json").exists()


def _make_shard(
    folder: Path, config: Preprocessing, store: Path, task: tuple[str, Sequence[Example]]
) -> tuple[int, int]:
    """Make one shard. Return the id of this process, and its peak memory in bytes."""
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
    """Write the arrays of one example as `numpy.load` reads them."""
    words = [] if prepared.transcript is None else [prepared.transcript]
    arrays = {name: getattr(prepared, name) for name in _ARRAYS} | {_WORDS: np.array(words, np.str_)}
    for name, array in arrays.items():
        with shard.open(f"{row}/{name}.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, array)


def _read_shard(path: Path, examples: Sequence[Example]) -> Iterator[Prepared]:
    with np.load(path) as shard:
        for row, example in enumerate(examples):
            if f"{row}/{_WORDS}" in shard:
                words = shard[f"{row}/{_WORDS}"]
                arrays = {name: shard[f"{row}/{name}"] for name in _ARRAYS}
                yield Prepared(example=example, transcript=str(words[0]) if len(words) else None, **arrays)


def _replace(path: Path, content: str) -> None:
    with replacing(path) as staging:
        staging.write_text(content)


class Preparer:
    """Decoder, face detector and Whisper as in serving. A context manager."""

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
        """Preprocess one example. Raises AffectError if the file cannot be read, or has neither a face nor sound."""
        assert example.path
        if not example.path.is_file():
            raise MediaInvalid("There is no such file.")
        if example.path.suffix.lower() in PICTURES:
            return self._picture(example, read_picture(example.path))
        return self._recording(example, example.path)

    def _picture(self, example: Example, image: Image) -> Prepared:
        if self._config.crops:
            crop = resize_crop(_grey(image), self._config.crop_size)
            return self._assemble(example, [(0.0, crop, None)])
        face = self._main_face(image)
        if face is None:
            raise MediaInvalid("No face was found in the picture.")
        return self._assemble(example, [(0.0, face.crop, face.landmarks)])

    def _recording(self, example: Example, path: Path) -> Prepared:
        info = probe(path, self._limits)
        start, end = example.start or 0.0, example.end
        faces: list[tuple[float, Image, NDArray[np.float32] | None]] = []
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
                    faces.append((frame.time - start, face.crop, face.landmarks))
            samples = np.array(decoder.pcm())
        if not faces and not len(samples):
            raise MediaInvalid("There is no face and no sound in the file.")
        return self._assemble(example, faces, samples)

    @cached_property
    def _detector(self) -> FaceDetector:
        return self._stack.enter_context(FaceDetector(self._config.crop_size))

    def _main_face(self, image: Image) -> DetectedFace | None:
        faces = self._detector.detect(image, 1)
        return faces[0] if faces else None

    def _assemble(
        self,
        example: Example,
        faces: Sequence[tuple[float, Image, NDArray[np.float32] | None]],
        samples: NDArray[np.int16] | None = None,
    ) -> Prepared:
        size, meshes = self._config.crop_size, []
        if self._config.landmarks:
            meshes = [normalize_landmarks(mesh).astype(np.float16) for _, _, mesh in faces]
        sound = np.zeros(0, np.int16) if samples is None else samples
        return Prepared(
            example=example,
            crops=np.stack([crop for _, crop, _ in faces]) if faces else np.zeros((0, size, size), np.uint8),
            times=np.array([time for time, _, _ in faces], np.float32),
            landmarks=np.stack(meshes) if meshes else np.zeros((0, LANDMARKS, 3), np.float16),
            samples=sound,
            transcript=example.text if example.text is not None else self._transcribe(sound, example.language),
        )

    def _transcribe(self, samples: NDArray[np.int16], language: str | None) -> str | None:
        if self._transcriber is None or not len(samples):
            return None
        spans = speech_segments(samples, lambda: None)
        transcript = self._transcriber.transcribe(samples, spans, language, lambda: None, lambda share: None)
        return " ".join(segment.text.strip() for segment in transcript.segments)


def _transcriber(name: str | None, store: Path) -> Transcriber | None:
    import torch

    if name is None:
        return None
    transcriber = Transcriber.load(name, store, torch.device("cpu"), threads=1)
    if transcriber is None:
        raise ModelStoreError(f"there is no Whisper model {name}: `python -m ml fetch whisper {name}`")
    return transcriber


def _grey(image: Image) -> Image:
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


@dataclass(frozen=True, kw_only=True)
class PreprocessConfig:
    """Options of `python -m ml preprocess`."""

    manifest: Path = option(help="list of examples, as `datasets import` writes it")
    out: Path = option(help="folder of the shards", default=Path(".cache/prepared"))
    crop_size: int = option(help="side of a face crop in pixels", default=Preprocessing.crop_size)
    frame_rate: float = option(help="frames sampled per second of video", default=Preprocessing.frame_rate)
    crops: bool = option(help="the pictures are face crops already", default=False)
    landmarks: bool = option(help="keep the mesh of each face", default=False)
    whisper: str | None = option(
        help="model that transcribes speech (tiny.en, or a fetched model)", metavar="NAME", default=None
    )
    workers: int = option(help="number of processes", default=cpu_count())
    store: Path = option(help="model store", default=MODEL_STORE)


def parser(_: str = "preprocess") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ml preprocess", description=__doc__)
    bind(parser, PreprocessConfig, run)
    return parser


def run(config: PreprocessConfig) -> None:
    """Make the shards, and print how much they contain and why examples were skipped."""
    steps = Preprocessing(config.crop_size, config.frame_rate, config.crops, config.landmarks, config.whisper)
    cache = preprocess(config.manifest, config.out, steps, config.store, workers=config.workers)
    examples, frames, seconds = 0, 0, 0.0
    for prepared in cache:
        examples += 1
        frames += len(prepared.crops)
        seconds += len(prepared.samples) / SAMPLE_RATE
    print(f"{examples:,} examples, {frames:,} faces, {seconds / 60:,.1f} minutes of sound in {cache.folder}")
    for reason, count in cache.skipped.most_common():
        print(f"skipped, {reason} {count:,}")
    megabytes = [peak / 1e6 for peak in {**cache.peaks, os.getpid(): peak_bytes()}.values()]
    print(
        f"maximum memory of a process: {max(megabytes):,.0f} MB; of all processes together: at most"
        f" {sum(megabytes):,.0f} MB"
    )
