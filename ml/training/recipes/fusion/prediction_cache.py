"""What single nets say of pieces that they were not trained on: faces, utterances and sentences to compose clips of."""

import argparse
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ml.errors import InvalidManifest
from ml.inference.api import ModalityFeatures
from ml.inference.face.predictor import FacePredictor, FaceSample
from ml.inference.text.predictor import TextPredictor
from ml.inference.voice.predictor import VoicePredictor
from ml.registry import Bundle, ModelStore
from ml.training.datasets.audio_corpora import read_voices
from ml.training.datasets.cache import digest, file_state, replacing
from ml.training.datasets.example import Example, examples_of
from ml.training.datasets.face_corpora import read_faces
from ml.training.datasets.text_corpora import read_sentences
from ml.training.recipes.audio.data import collected_sounds
from ml.training.recipes.face.augment import random_shift
from ml.training.recipes.face.data import load_crop
from ml.training.recipes.text.recipe import predicted
from ml.vocabulary import EMOTIONS

Side = Literal["training", "fitting", "measuring"]
SIDES: tuple[Side, ...] = ("training", "fitting", "measuring")
SENTENCES = ("goemotions", "meld")
TTA_VIEWS = 4
"""How many frames are made of one picture: it moves, turns and changes its light a little."""
Random = np.random.Generator


@dataclass(frozen=True)
class SamplePool:
    """Readings of pieces by label: `readings[label]` has one entry for each picture, utterance or sentence, which has
    one reading for each of its looks."""

    readings: tuple[tuple[tuple[ModalityFeatures, ...], ...], ...]

    @classmethod
    def of(cls, labels: Sequence[int], readings: Sequence[tuple[ModalityFeatures, ...]]) -> Self:
        """Raises InvalidManifest when an emotion has no piece."""
        grouped = tuple(
            tuple(found for label, found in zip(labels, readings, strict=True) if label == own)
            for own in range(len(EMOTIONS))
        )
        empty = [name for name, found in zip(EMOTIONS, grouped, strict=True) if not found]
        if empty:
            raise InvalidManifest(f"no piece to compose clips of is labelled {', '.join(empty)}")
        return cls(grouped)

    def draw(self, random: Random, label: int) -> tuple[ModalityFeatures, ...]:
        pieces = self.readings[label]
        return pieces[random.integers(len(pieces))]


@dataclass(frozen=True)
class SamplePools:
    face: SamplePool
    audio: SamplePool
    text: SamplePool


class Outputs(Protocol):
    """What every single net answers."""

    @property
    def embeddings_NE(self) -> NDArray[np.float32]: ...

    @property
    def log_probabilities_NC(self) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class CachedPredictions:
    embeddings_NE: NDArray[np.float32]
    log_probabilities_NC: NDArray[np.float32]


@dataclass(frozen=True)
class PredictionCache:
    """Readings that were made once, by model and by what was read: train, calibrate and publish need the same ones, and
    so do bundles that share a model."""

    folder: Path
    store: ModelStore
    bundle: Bundle

    def kept(self, role: str, examples: Sequence[Example], read: Callable[[], Sequence[Outputs]]) -> Sequence[Outputs]:
        manifest = self.store.manifest(self.bundle.models()[role])
        read_of = [(file_state(example.path), example.text) for example in examples]
        path = self.folder / f"{digest(manifest.sha256, manifest.temperature, read_of)}.npz"
        if not path.exists():
            found = read()
            embeddings, logs = zip(*((one.embeddings_NE, one.log_probabilities_NC) for one in found), strict=True)
            with replacing(path) as staging:
                np.savez(staging, embeddings=np.stack(embeddings), logs=np.stack(logs))
        with np.load(path) as kept:
            return [CachedPredictions(*pair) for pair in zip(kept["embeddings"], kept["logs"], strict=True)]


@dataclass(frozen=True)
class Predictors:
    """The single nets whose readings are fused."""

    face: FacePredictor
    audio: VoicePredictor
    text: TextPredictor

    @classmethod
    def of(cls, bundle: Bundle, store: ModelStore) -> Self:
        assert bundle.face and bundle.audio and bundle.text
        device = torch.device("cpu")
        return cls(
            FacePredictor.load(store, bundle.face, device),
            VoicePredictor.load(store, bundle.audio, device),
            TextPredictor.load(store, bundle.text, device),
        )


def side_of(source: str) -> Side:
    """What the pieces of a person or source are for: half of them for measuring, a quarter each for the others."""
    place = hashlib.sha256(source.encode()).digest()[0] % 4
    return "measuring" if place % 2 == 0 else "training" if place == 3 else "fitting"


def read_pools(args: argparse.Namespace, bundle: Bundle) -> dict[Side, SamplePools]:
    """Pieces to train on, to choose and calibrate on, and to measure on."""
    assert bundle.audio
    store = ModelStore(args.store)
    models = Predictors.of(bundle, store)
    shelf = PredictionCache(args.cache / "readings", store, bundle)
    faces = _face_pieces(models.face, args.data / "faces", shelf)
    fold = store.manifest(bundle.audio).preprocessing["held_out_fold"]
    voices = _voice_pieces(models.audio, args.data / "audio", fold, args.cache, shelf)
    sentences = _sentence_pieces(models.text, args.data / "text", shelf)
    return {side: SamplePools(*(_pool(pieces, side) for pieces in (faces, voices, sentences))) for side in SIDES}


@dataclass(frozen=True)
class ModalitySamples:
    examples: list[Example]
    readings: list[tuple[ModalityFeatures, ...]]
    source: Callable[[Example], str]


def _pool(pieces: ModalitySamples, side: Side) -> SamplePool:
    rows = [row for row, e in enumerate(pieces.examples) if side_of(pieces.source(e)) == side]
    return SamplePool.of([pieces.examples[row].index for row in rows], [pieces.readings[row] for row in rows])


def _face_pieces(predictor: FacePredictor, data: Path, shelf: PredictionCache) -> ModalitySamples:
    examples = [example for example in examples_of(read_faces(data)) if example.split != "train"]
    found = shelf.kept("face", examples, lambda: _looks(predictor, examples))
    return ModalitySamples(examples, list(zip(*map(evidence_from, found), strict=True)), _depicted)


def _looks(predictor: FacePredictor, examples: Sequence[Example]) -> list[Outputs]:
    crops = np.stack([load_crop(cast(Path, example.path), predictor.crop_size) for example in examples])
    torch.manual_seed(0)
    looks = [crops]
    for _ in range(TTA_VIEWS - 1):
        images = random_shift(torch.from_numpy(crops), strength=0.4)
        looks.append((images.squeeze(1) * 255).round().to(torch.uint8).numpy())
    return [predictor.predict([FaceSample(crop) for crop in look]) for look in looks]


def _depicted(example: Example) -> str:
    """The person of a posed picture (CK+, JAFFE), elsewhere the picture."""
    stem = cast(Path, example.path).stem
    if example.dataset == "ckplus48":
        return stem.split("_")[0]
    return stem[:2] if example.dataset == "jaffe" else stem


def _voice_pieces(
    predictor: VoicePredictor, data: Path, fold: int, cache: Path, shelf: PredictionCache
) -> ModalitySamples:
    examples = [example for example in examples_of(read_voices(data, fold)) if example.split != "train"]

    def read() -> list[Outputs]:
        sounds = collected_sounds(data, cache, fold)
        rows = [row for row, example in enumerate(sounds.examples) if example.split != "train"]
        return [predictor.predict([sounds.waveform(row) for row in rows])]

    (found,) = shelf.kept("audio", examples, read)
    return ModalitySamples(
        examples, [(reading,) for reading in evidence_from(found)], lambda example: example.speaker or ""
    )


def _sentence_pieces(predictor: TextPredictor, data: Path, shelf: PredictionCache) -> ModalitySamples:
    every = [example for example in read_sentences(data, SENTENCES) if example.split != "train"]
    examples = [example for example in every if example.target is not None and max(example.target) == 1.0]
    (found,) = shelf.kept("text", examples, lambda: [predicted(predictor, examples)])
    return ModalitySamples(
        examples, [(reading,) for reading in evidence_from(found)], lambda example: example.text or ""
    )


def evidence_from(outputs: Outputs) -> list[ModalityFeatures]:
    rows = zip(outputs.embeddings_NE, outputs.log_probabilities_NC, strict=True)
    return [ModalityFeatures(embedding, logs) for embedding, logs in rows]
