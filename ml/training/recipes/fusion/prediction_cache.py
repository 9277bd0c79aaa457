"""Predictions of single-modality networks for the held-out samples that clips are composed of."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, cast

import numpy as np
import torch

from ml.errors import InvalidManifest
from ml.inference.api import EmotionOutputs, ModalityFeatures
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
from ml.training.recipes.text.data import has_one_label
from ml.training.recipes.text.recipe import predict_sentences
from ml.vocabulary import EMOTIONS

Side = Literal["train", "selection", "test"]
"""Part of the samples: to train on, to select and calibrate on, to evaluate on."""
SIDES: tuple[Side, ...] = ("train", "selection", "test")
TEXT_SETS = ("goemotions", "meld")
FACE_VARIANTS = 4
"""Number of frames made of one picture: it moves, turns and changes its light a little."""
Random = np.random.Generator


@dataclass(frozen=True)
class SamplePool:
    """Samples by label: `readings[label]` has one entry for each picture, utterance or sentence.

    An entry has one reading for each variant of the sample.
    """

    readings: tuple[tuple[tuple[ModalityFeatures, ...], ...], ...]

    @classmethod
    def group(cls, labels: Sequence[int], readings: Sequence[tuple[ModalityFeatures, ...]]) -> Self:
        """Group readings by label. Raises InvalidManifest if an emotion has no sample."""
        grouped = tuple(
            tuple(reading for label, reading in zip(labels, readings, strict=True) if label == own)
            for own in range(len(EMOTIONS))
        )
        empty = [name for name, samples in zip(EMOTIONS, grouped, strict=True) if not samples]
        if empty:
            raise InvalidManifest(f"no sample to compose clips of is labelled {', '.join(empty)}")
        return cls(grouped)

    def draw(self, random: Random, label: int) -> tuple[ModalityFeatures, ...]:
        samples = self.readings[label]
        return samples[random.integers(len(samples))]


@dataclass(frozen=True)
class SamplePools:
    face: SamplePool
    audio: SamplePool
    text: SamplePool


@dataclass(frozen=True)
class PredictionCache:
    """Cache of predictions by model and examples.

    `train`, `calibrate` and `publish` need the same ones, and so do bundles that share a model.
    """

    folder: Path
    store: ModelStore
    bundle: Bundle

    def load_or_predict(
        self, role: str, examples: Sequence[Example], predict: Callable[[], Sequence[EmotionOutputs]]
    ) -> Sequence[EmotionOutputs]:
        manifest = self.store.manifest(self.bundle.models()[role])
        inputs = [(file_state(example.path), example.text) for example in examples]
        path = self.folder / f"{digest(manifest.sha256, manifest.temperature, inputs)}.npz"
        if not path.exists():
            pairs = ((each.embeddings_NE, each.log_probabilities_NC) for each in predict())
            embeddings, logs = zip(*pairs, strict=True)
            with replacing(path) as staging:
                np.savez(staging, embeddings=np.stack(embeddings), logs=np.stack(logs))
        with np.load(path) as arrays:
            return [EmotionOutputs(*pair) for pair in zip(arrays["embeddings"], arrays["logs"], strict=True)]


@dataclass(frozen=True)
class Predictors:
    """Single-modality predictors that a fusion combines."""

    face: FacePredictor
    audio: VoicePredictor
    text: TextPredictor

    @classmethod
    def load(cls, bundle: Bundle, store: ModelStore) -> Self:
        assert bundle.face and bundle.audio and bundle.text
        device = torch.device("cpu")
        return cls(
            FacePredictor.load(store, bundle.face, device),
            VoicePredictor.load(store, bundle.audio, device),
            TextPredictor.load(store, bundle.text, device),
        )


def side_of(source: str) -> Side:
    """Return the side of all samples of a person or source: test for half of them, a quarter each for the others."""
    place = hashlib.sha256(source.encode()).digest()[0] % 4
    return "test" if place % 2 == 0 else "train" if place == 3 else "selection"


def read_pools(data: Path, store: ModelStore, bundle: Bundle, cache: Path) -> dict[Side, SamplePools]:
    """Return the samples of each side, with the predictions of the bundle's models."""
    assert bundle.audio
    models = Predictors.load(bundle, store)
    predictions = PredictionCache(cache / "readings", store, bundle)
    faces = _face_samples(models.face, data / "faces", predictions)
    fold = store.manifest(bundle.audio).preprocessing["held_out_fold"]
    voices = _voice_samples(models.audio, data / "audio", fold, cache, predictions)
    sentences = _sentence_samples(models.text, data / "text", predictions)
    return {side: SamplePools(*(_pool(samples, side) for samples in (faces, voices, sentences))) for side in SIDES}


@dataclass(frozen=True)
class ModalitySamples:
    """Examples of one modality with their readings. `source`: returns the person or source of an example."""

    examples: list[Example]
    readings: list[tuple[ModalityFeatures, ...]]
    source: Callable[[Example], str]


def _pool(samples: ModalitySamples, side: Side) -> SamplePool:
    rows = [row for row, e in enumerate(samples.examples) if side_of(samples.source(e)) == side]
    return SamplePool.group([samples.examples[row].index for row in rows], [samples.readings[row] for row in rows])


def _face_samples(predictor: FacePredictor, data: Path, predictions: PredictionCache) -> ModalitySamples:
    examples = [example for example in examples_of(read_faces(data)) if example.split != "train"]
    variants = predictions.load_or_predict("face", examples, lambda: _predict_variants(predictor, examples))
    return ModalitySamples(examples, list(zip(*map(features_of, variants), strict=True)), _person_or_picture)


def _predict_variants(predictor: FacePredictor, examples: Sequence[Example]) -> list[EmotionOutputs]:
    """Return the outputs of each variant of all pictures; the first variant is the picture itself."""
    crops = np.stack([load_crop(cast(Path, example.path), predictor.crop_size) for example in examples])
    torch.manual_seed(0)
    variants = [crops]
    for _ in range(FACE_VARIANTS - 1):
        images = random_shift(torch.from_numpy(crops), strength=0.4)
        variants.append((images.squeeze(1) * 255).round().to(torch.uint8).numpy())
    return [predictor.predict([FaceSample(crop) for crop in variant]) for variant in variants]


def _person_or_picture(example: Example) -> str:
    """Return the person of a posed picture (CK+, JAFFE), or the name of any other picture."""
    stem = cast(Path, example.path).stem
    if example.dataset == "ckplus48":
        return stem.split("_")[0]
    return stem[:2] if example.dataset == "jaffe" else stem


def _voice_samples(
    predictor: VoicePredictor, data: Path, fold: int, cache: Path, predictions: PredictionCache
) -> ModalitySamples:
    examples = [example for example in examples_of(read_voices(data, fold)) if example.split != "train"]

    def predict() -> list[EmotionOutputs]:
        sounds = collected_sounds(data, cache, fold)
        rows = [row for row, example in enumerate(sounds.examples) if example.split != "train"]
        return [predictor.predict([sounds.waveform(row) for row in rows])]

    (outputs,) = predictions.load_or_predict("audio", examples, predict)
    return ModalitySamples(
        examples, [(reading,) for reading in features_of(outputs)], lambda example: example.speaker or ""
    )


def _sentence_samples(predictor: TextPredictor, data: Path, predictions: PredictionCache) -> ModalitySamples:
    sentences = read_sentences(data, TEXT_SETS)
    examples = [example for example in sentences if example.split != "train" and has_one_label(example)]
    (outputs,) = predictions.load_or_predict("text", examples, lambda: [predict_sentences(predictor, examples)])
    return ModalitySamples(
        examples, [(reading,) for reading in features_of(outputs)], lambda example: example.text or ""
    )


def features_of(outputs: EmotionOutputs) -> list[ModalityFeatures]:
    return [outputs.features(row) for row in range(len(outputs.embeddings_NE))]
