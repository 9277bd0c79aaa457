"""Predictions of single-modality networks for the held-out samples that clips are composed of, clean and spoilt."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ml.errors import InvalidManifest
from ml.inference.api import FloatArray
from ml.inference.face import quality as face_quality
from ml.inference.face.predictor import FacePredictor, FaceSample
from ml.inference.fusion.qualities import frame_qualities, voice_qualities, word_qualities
from ml.inference.text.predictor import TextPredictor, TextSample
from ml.inference.voice.predictor import VoicePredictor
from ml.inference.voice.quality import voice_quality
from ml.registry import Bundle, ModelStore
from ml.scripts import count_words
from ml.training.datasets.cache import digest, file_state, replacing
from ml.training.datasets.example import Example, examples_of
from ml.training.datasets.face_corpora import read_faces
from ml.training.datasets.text_corpora import read_sentences
from ml.training.recipes.audio.data import collected_sounds
from ml.training.recipes.face.data import load_crop
from ml.training.recipes.fusion.fold_voices import VoiceReaders
from ml.training.recipes.fusion.spoiling import Random, spoil_face, spoil_sentence, spoil_voice
from ml.training.recipes.text.data import has_one_label
from ml.vocabulary import EMOTIONS

Side = Literal["train", "selection", "test"]
"""Part of the samples: to train on, to select and calibrate on, to evaluate on."""
SIDES: tuple[Side, ...] = ("train", "selection", "test")
TEXT_SETS = ("goemotions", "meld")
MAX_SAMPLES: Mapping[str, int] = {"face": 600, "audio": 400, "text": 600}
MAX_SPOILT: Mapping[str, int] = {"face": 100, "audio": 100, "text": 300}
"""Maximum numbers of samples of an emotion in each modality, and of those that are spoilt as well."""
CALIBRATION_FOLDS = 5
"""Number of parts of the people, of which one is left out to measure readings of one modality."""
CACHE_VERSION = 4


@dataclass(frozen=True)
class Predictions:
    """Log-probabilities and qualities of P samples: of V clean variants [P, V, …], and of S spoilt copies [P, S, …].

    Copies of samples that were not spoilt are NaN.
    """

    clean_PVC: FloatArray
    spoilt_PSC: FloatArray
    clean_quality_PVQ: FloatArray
    spoilt_quality_PSQ: FloatArray

    def select(self, rows: Sequence[int]) -> Self:
        return type(self)(*(getattr(self, each.name)[list(rows)] for each in fields(self)))


@dataclass(frozen=True)
class SamplePool:
    """Samples with their predictions; `rows[label]` are the places of those with a label, `spoilt_rows` of those among
    them that were spoilt as well. `folds_P`: part of the people that each sample belongs to, as `folds_of_people`."""

    predictions: Predictions
    rows: tuple[NDArray[np.int64], ...]
    spoilt_rows: tuple[NDArray[np.int64], ...]
    folds_P: NDArray[np.int64]

    @classmethod
    def group(cls, labels: Sequence[int], predictions: Predictions, folds: Sequence[int]) -> Self:
        """Group samples by label. Raises InvalidManifest if an emotion has no sample, or none that is spoilt."""
        rows = tuple(np.flatnonzero(np.array(labels) == own) for own in range(len(EMOTIONS)))
        is_spoilt = np.asarray(np.isfinite(predictions.spoilt_PSC).all((1, 2)))
        spoilt_rows = tuple(own[is_spoilt[own]] for own in rows)
        empty = [name for name, own in zip(EMOTIONS, spoilt_rows, strict=True) if not len(own)]
        if empty:
            raise InvalidManifest(f"no sample to compose clips of is labelled {', '.join(empty)}")
        return cls(predictions, rows, spoilt_rows, np.array(folds, np.int64))

    @property
    def labels(self) -> NDArray[np.int64]:
        """Label of each sample."""
        labels = np.zeros(len(self.predictions.clean_PVC), np.int64)
        for label, rows in enumerate(self.rows):
            labels[rows] = label
        return labels

    def draw(
        self, random: Random, labels: NDArray[np.int64], spoilt: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """Return the place of a sample for each label, in the shape of the labels; where `spoilt`, of one that was."""
        drawn = _drawn_from(random, self.rows, labels)
        return drawn if spoilt is None else np.where(spoilt, _drawn_from(random, self.spoilt_rows, labels), drawn)


def _drawn_from(random: Random, rows: Sequence[NDArray[np.int64]], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    counts = np.array([len(own) for own in rows])
    places = (random.random(labels.shape) * counts[labels]).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(counts)])
    return np.asarray(np.concatenate(rows)[first[labels] + places])


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
        self, role: str, examples: Sequence[Example], predict: Callable[[], Predictions]
    ) -> Predictions:
        manifest = self.store.manifest(self.bundle.models()[role])
        inputs = [(file_state(example.path), example.text) for example in examples]
        path = self.folder / f"{digest(CACHE_VERSION, manifest.sha256, manifest.temperature, inputs)}.npz"
        if not path.exists():
            made = predict()
            with replacing(path) as staging:
                np.savez(staging, **{each.name: getattr(made, each.name) for each in fields(made)})
        with np.load(path) as arrays:
            return Predictions(**arrays)


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


def folds_of_people(people: Sequence[tuple[str, str]]) -> list[int]:
    """Return the part, 0 to 4, of each sample by its data set and person: the people of each data set by turns."""
    ordered: dict[str, list[str]] = {}
    for dataset, person in sorted(set(people), key=lambda each: hashlib.sha256(each[1].encode()).hexdigest()):
        ordered.setdefault(dataset, []).append(person)
    parts = {
        (dataset, person): place % CALIBRATION_FOLDS
        for dataset, own in ordered.items()
        for place, person in enumerate(own)
    }
    return [parts[each] for each in people]


def limited(examples: Sequence[Example], role: str) -> list[Example]:
    """Return at most `MAX_SAMPLES` of each emotion, in an order that is the same on every machine."""
    order = sorted(examples, key=lambda e: hashlib.sha256(f"{e.path and e.path.name} {e.text}".encode()).digest())
    kept = [[e for e in order if e.index == label][: MAX_SAMPLES[role]] for label in range(len(EMOTIONS))]
    return [example for own in kept for example in own]


def rows_to_spoil(examples: Sequence[Example], role: str) -> list[int]:
    """Return the places of the first `MAX_SPOILT` of each emotion."""
    labels = np.array([example.index for example in examples])
    return [int(row) for label in range(len(EMOTIONS)) for row in np.flatnonzero(labels == label)[: MAX_SPOILT[role]]]


def scattered(values: NDArray[np.floating], rows: Sequence[int], count: int) -> FloatArray:
    """Return the values [R, …] at their rows of an array [count, …] that is NaN elsewhere."""
    whole = np.full((count, *values.shape[1:]), np.nan, np.float32)
    whole[list(rows)] = values
    return whole


def read_pools(
    data: Path, store: ModelStore, bundle: Bundle, cache: Path, voice_folds: Path | None = None
) -> dict[Side, SamplePools]:
    """Return the samples of each side, with the predictions of the bundle's models.

    `voice_folds`: folder of the runs of `evaluate audio --folds`, for a voice model that was trained on all speakers.
    """
    assert bundle.face and bundle.audio and bundle.text
    face, audio, text, device = bundle.face, bundle.audio, bundle.text, torch.device("cpu")
    predictions = PredictionCache(cache / "readings", store, bundle)
    faces = _face_samples(lambda: FacePredictor.load(store, face, device), data / "faces", predictions)
    readers = VoiceReaders(store, audio, voice_folds)
    voices = _voice_samples(readers, data / "audio", cache, predictions)
    sentences = _sentence_samples(lambda: TextPredictor.load(store, text, device), data / "text", predictions)
    return {side: SamplePools(*(_pool(samples, side) for samples in (faces, voices, sentences))) for side in SIDES}


@dataclass(frozen=True)
class ModalitySamples:
    """Examples of one modality with their predictions. `source`: returns the person or source of an example."""

    examples: list[Example]
    predictions: Predictions
    source: Callable[[Example], str]


def _pool(samples: ModalitySamples, side: Side) -> SamplePool:
    rows = [row for row, e in enumerate(samples.examples) if side_of(samples.source(e)) == side]
    folds = folds_of_people([(example.dataset, samples.source(example)) for example in samples.examples])
    labels = [samples.examples[row].index for row in rows]
    return SamplePool.group(labels, samples.predictions.select(rows), [folds[row] for row in rows])


def _face_samples(load: Callable[[], FacePredictor], data: Path, predictions: PredictionCache) -> ModalitySamples:
    examples = limited([example for example in examples_of(read_faces(data)) if example.split != "train"], "face")
    read = predictions.load_or_predict("face", examples, lambda: _predict_faces(load(), examples))
    return ModalitySamples(examples, read, _person_or_picture)


def _predict_faces(predictor: FacePredictor, examples: Sequence[Example]) -> Predictions:
    """Return the predictions of pictures, clean and spoilt."""
    crops = [load_crop(cast(Path, example.path), predictor.crop_size) for example in examples]
    random, rows, count = np.random.default_rng(0), rows_to_spoil(examples, "face"), len(examples)
    spoilt = [spoil_face(random, crops[row]) for row in rows]
    crops_NHW = np.stack([*crops, *(crop for crop, _ in spoilt)])
    logs = _read_crops(predictor, crops_NHW)
    qualities = _crop_qualities(crops_NHW, [*[np.nan] * count, *(side for _, side in spoilt)])
    return Predictions(
        logs[:count, None],
        scattered(logs[count:, None], rows, count),
        qualities[:count, None],
        scattered(qualities[count:, None], rows, count),
    )


def _read_crops(predictor: FacePredictor, crops_NHW: NDArray[np.uint8]) -> FloatArray:
    return predictor.predict([FaceSample(crop) for crop in crops_NHW]).log_probabilities_NC


def _crop_qualities(crops_NHW: NDArray[np.uint8], sides: Sequence[float]) -> FloatArray:
    """Return size and sharpness of crops, as the service measures them; what needs a frame is unknown."""
    values_NQ = np.full((len(crops_NHW), len(face_quality.QUALITIES)), np.nan, np.float32)
    values_NQ[:, face_quality.SIZE] = sides
    values_NQ[:, face_quality.SHARPNESS] = [face_quality.sharpness(crop) for crop in crops_NHW]
    return frame_qualities(values_NQ)


def _person_or_picture(example: Example) -> str:
    """Return the person of a posed picture (CK+, JAFFE), or the name of any other picture."""
    if example.speaker:
        return example.speaker
    stem = cast(Path, example.path).stem
    if example.dataset == "ckplus48":
        return stem.split("_")[0]
    return stem[:2] if example.dataset == "jaffe" else stem


def _voice_samples(readers: VoiceReaders, data: Path, cache: Path, predictions: PredictionCache) -> ModalitySamples:
    folds = readers.examples(data)
    examples = limited(list(folds), "audio")

    def predict() -> Predictions:
        return predict_voices(readers, data, examples, [folds[example] for example in examples], cache)

    read = predictions.load_or_predict("audio", examples, predict)
    return ModalitySamples(examples, read, lambda example: example.speaker or "")


def predict_voices(
    readers: VoiceReaders, data: Path, examples: Sequence[Example], folds: Sequence[int], cache: Path
) -> Predictions:
    """Return the predictions of utterances, clean and spoilt, by networks that did not hear their speakers."""
    sounds = collected_sounds(data, cache, None)
    places = {example.path: row for row, example in enumerate(sounds.examples)}
    waveforms = [sounds.waveform(places[example.path]) for example in examples]
    random, rows = np.random.default_rng(0), rows_to_spoil(examples, "audio")
    spoilt = [spoil_voice(random, waveforms[row], waveforms) for row in rows]
    logs = readers.predict([*folds, *(folds[row] for row in rows)], [*waveforms, *spoilt])
    qualities = np.array(
        [voice_qualities(*voice_quality(sound).tolist()) for sound in (*waveforms, *spoilt)], np.float32
    )
    count = len(examples)
    return Predictions(
        logs[:count, None],
        scattered(logs[count:, None], rows, count),
        qualities[:count, None],
        scattered(qualities[count:, None], rows, count),
    )


def _sentence_samples(load: Callable[[], TextPredictor], data: Path, predictions: PredictionCache) -> ModalitySamples:
    sentences = read_sentences(data, TEXT_SETS)
    held_out = [example for example in sentences if example.split != "train" and has_one_label(example)]
    examples = limited(held_out, "text")
    read = predictions.load_or_predict("text", examples, lambda: _predict_sentences(load(), examples))
    return ModalitySamples(examples, read, lambda example: example.text or "")


def _predict_sentences(predictor: TextPredictor, examples: Sequence[Example]) -> Predictions:
    random, rows, count = np.random.default_rng(0), rows_to_spoil(examples, "text"), len(examples)
    texts = [example.text or "" for example in examples]
    spoilt = [spoil_sentence(random, texts[row], texts[random.integers(count)]) for row in rows]
    samples = [TextSample(text, example.before or "") for text, example in zip(texts, examples, strict=True)]
    samples += [TextSample(text, examples[row].before or "") for text, row in zip(spoilt, rows, strict=True)]
    logs = predictor.predict(samples).log_probabilities_NC
    qualities = np.array([word_qualities(np.nan, count_words(text)) for text in (*texts, *spoilt)], np.float32)
    return Predictions(
        logs[:count, None],
        scattered(logs[count:, None], rows, count),
        qualities[:count, None],
        scattered(qualities[count:, None], rows, count),
    )
