"""Clips that a fusion is trained, calibrated and evaluated on: composed ones, or the recordings of a list."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ml.errors import InvalidManifest
from ml.inference.api import FloatArray, ModalityFeatures
from ml.inference.face.predictor import FaceSample
from ml.inference.fusion.calibration import ReadingKind
from ml.inference.fusion.predictor import WindowFeatures, collate
from ml.inference.text.predictor import TextSample
from ml.inference.voice.segments import predict_utterances
from ml.registry import Bundle, ModelStore
from ml.results import Prior
from ml.training.datasets.example import Split, examples_of
from ml.training.datasets.text_corpora import read_sentences
from ml.training.preprocess import Prepared, Preprocessing, preprocess
from ml.training.recipes.face.augment import random_shift
from ml.training.recipes.fusion.config import FusionTrainConfig
from ml.training.recipes.fusion.fold_voices import VoiceReaders
from ml.training.recipes.fusion.natural_prior import MEASURED, TALK_CORPUS, shares_in_talk
from ml.training.recipes.fusion.prediction_cache import Predictors, SamplePool, SamplePools, Side, read_pools
from ml.training.recipes.fusion.spoiling import Random
from ml.training.recipes.fusion.synthetic_clips import (
    FACE,
    UNIFORM,
    Clips,
    Composition,
    compose,
    only,
    swap,
    without,
)
from ml.vocabulary import MODALITIES

CLIPS_PER_EPOCH, EVAL_CLIPS = 60_000, 6_000
ONE_PICTURE = "one picture"
"""Name of the row of clips whose frames show one picture of the emotion."""
SPOILT, SWAPPED = 0.2, 0.06
"""How often a modality of a clip to train on is spoilt, and how often it is another person's."""
VIEWS_PER_RECORDING, VIEW_STRENGTH = 2, 0.6
"""Number of augmented views of a recording to train on, and the strength of the augmentation."""


@dataclass(frozen=True)
class LabelledLogs:
    """Log-probabilities [N, C] of one modality as its model answers them, with labels.

    `folds_N`: part of the people that each belongs to; null if other people are measured than those fitted on.
    """

    logs_NC: FloatArray
    labels_N: NDArray[np.int64]
    folds_N: NDArray[np.int64] | None = None

    def select(self, rows: NDArray[np.bool_]) -> "LabelledLogs":
        return LabelledLogs(self.logs_NC[rows], self.labels_N[rows])


@dataclass(frozen=True)
class EvaluationSide:
    """Clips of one side: `rows` by prior and name, and single readings by kind.

    `rows[prior]["clips"]` are the clips as they are; the other rows are made of them, or spoilt. Single readings of
    composed clips are the same on both sides: people are too few to be halved, so each is measured by what the others
    fit.
    """

    rows: Mapping[Prior, Mapping[str, Clips]]
    singles: Mapping[ReadingKind, LabelledLogs]

    def clips(self, prior: Prior = "uniform") -> Clips:
        return self.rows[prior]["clips"]

    def to_calibrate(self, prior: Prior = "uniform") -> Clips:
        """Return the clips that are most like real windows, whose frames are alike."""
        return self.rows[prior].get(ONE_PICTURE, self.clips(prior))


@dataclass(frozen=True)
class ClipData:
    """Clips of a fusion, with other people in each part.

    `draw(random, count)` returns clips to train on, and the shares of the emotions among them; `selection` chooses and
    calibrates; `test` is evaluated on. `natural_prior`: shares of the emotions in ordinary talk [7].
    """

    draw: Callable[[Random, int], tuple[Clips, NDArray[np.float64]]]
    selection: EvaluationSide
    test: EvaluationSide
    natural_prior: NDArray[np.float64] = field(default_factory=lambda: np.array(MEASURED))
    clips_per_epoch: int = CLIPS_PER_EPOCH


def load_clips(config: FusionTrainConfig) -> ClipData:
    """Return clips as the models of the fusion read them. Raises InvalidManifest if the data is too little."""
    face, audio, text = config.models
    bundle = Bundle.from_fields(name=config.bundle, face=face, audio=audio, text=text, fusion=None)
    if config.data.is_file():
        return load_recorded_clips(config, bundle)
    return load_composed_clips(config.data, ModelStore(config.store), bundle, config.cache, config.voice_folds)


def load_composed_clips(
    data: Path, store: ModelStore, bundle: Bundle, cache: Path, voice_folds: Path | None = None
) -> ClipData:
    """Return clips of samples that the models of the bundle were not trained on.

    Raises InvalidManifest if the held-out voices are unknown, or the folder does not exist.
    """
    assert bundle.audio and VoiceReaders(store, bundle.audio, voice_folds).held_out_folds
    if not data.is_dir():
        raise InvalidManifest(f"{data} is not a folder of collected data")
    prior = shares_in_talk(examples_of(read_sentences(data / "text", (TALK_CORPUS,))))
    return composed_clips(read_pools(data, store, bundle, cache, voice_folds), prior)


def composed_clips(
    pools: Mapping[Side, SamplePools], natural: NDArray[np.float64], count: int = EVAL_CLIPS
) -> ClipData:
    """Return clips composed of the pools of the three sides."""

    def draw(random: Random, number: int) -> tuple[Clips, NDArray[np.float64]]:
        share = random.random()
        prior = share * natural + (1 - share) * UNIFORM
        return compose(random, pools["train"], number, Composition(prior, (SPOILT,) * 3, SWAPPED)), prior

    priors: dict[Prior, NDArray[np.float64]] = {"uniform": UNIFORM, "natural": natural}
    singles = _single_readings(list(pools.values()))
    selection, test = (
        EvaluationSide(
            {prior: composed_rows(pools[side], shares, count) for prior, shares in priors.items()},
            singles,
        )
        for side in ("selection", "test")
    )
    return ClipData(draw, selection, test, natural)


def composed_rows(pools: SamplePools, prior: NDArray[np.float64], count: int) -> dict[str, Clips]:
    """Return the clips of all rows of the table of figures."""

    def made(composition: Composition) -> Clips:
        return compose(np.random.default_rng(1), pools, count, composition)

    clips = made(Composition(prior))
    rows = changed_rows(clips) | {ONE_PICTURE: made(Composition(prior, max_pictures=1))}
    for place, modality in enumerate(MODALITIES):
        shares = [float(place == own) for own in range(len(MODALITIES))]
        rows[f"{modality} spoilt"] = made(Composition(prior, (shares[0], shares[1], shares[2]))).complete
        rows[f"{modality} swapped"] = swap(clips.complete, modality)
    return rows


def changed_rows(clips: Clips) -> dict[str, Clips]:
    """Return the rows that are made of clips by leaving modalities out; those without a clip are left out."""
    complete = clips.complete
    rows = {"clips": clips, "with all three": complete}
    rows |= {f"without {modality}": without(complete, modality) for modality in MODALITIES}
    rows |= {f"{modality} alone": only(complete, modality) for modality in MODALITIES}
    return {name: own for name, own in rows.items() if len(own)}


def _single_readings(pools: Sequence[SamplePools]) -> dict[ReadingKind, LabelledLogs]:
    faces, voices, sentences = ([getattr(each, modality) for each in pools] for modality in ("face", "audio", "text"))
    return {
        "picture": _readings(faces, _clean),
        "face": _readings(faces, _mean_of_variants),
        "audio": _readings(voices, _clean),
        "text": _readings(sentences, _clean),
    }


def _readings(pools: Sequence[SamplePool], read: Callable[[SamplePool], FloatArray]) -> LabelledLogs:
    return LabelledLogs(
        np.concatenate([read(pool) for pool in pools]),
        np.concatenate([pool.labels for pool in pools]),
        np.concatenate([pool.folds_P for pool in pools]),
    )


def _clean(pool: SamplePool) -> FloatArray:
    return np.asarray(pool.predictions.clean_PVC[:, 0])


def _mean_of_variants(pool: SamplePool) -> FloatArray:
    """Return the readings of windows that show one picture each, in all of its variants."""
    return np.log(np.exp(pool.predictions.clean_PVC.astype(np.float64)).mean(1)).astype(np.float32)


def load_recorded_clips(config: FusionTrainConfig, bundle: Bundle) -> ClipData:
    """Return the recordings of a list, one clip each.

    Its validation part selects and calibrates; its test part is evaluated on, or the validation part if the list has no
    test part.
    """
    torch.manual_seed(config.seed)
    models = Predictors.load(bundle, ModelStore(config.store))
    steps = Preprocessing(models.face.crop_size, landmarks=models.face.uses_landmarks, whisper=config.whisper)
    cache = preprocess(config.data, config.cache / "prepared", steps, config.store, workers=config.workers)
    sides: dict[Split, list[tuple[WindowFeatures, int]]] = {"train": [], "valid": [], "test": []}
    for prepared in cache:
        example, features = prepared.example, window_features(models, prepared)
        if example.label and any(features.present.values()):
            views = augmented_views(models, prepared, features) if example.split == "train" else []
            sides[example.split] += [(view, example.index) for view in (features, *views)]
    training, selection = sides["train"], sides["valid"]
    if len(training) < config.batch_size or not selection:
        raise InvalidManifest(
            f"{len(training)} views of recordings to train on and {len(selection)} to validate on are too few"
        )
    clips = recorded_clips(training)

    def draw(random: Random, count: int) -> tuple[Clips, NDArray[np.float64]]:
        return clips.select(random.integers(len(clips), size=count)), UNIFORM

    selected = recorded_side(recorded_clips(selection))
    tested = recorded_side(recorded_clips(sides["test"])) if sides["test"] else selected
    return ClipData(draw, selected, tested, clips_per_epoch=max(len(training), config.batch_size))


def recorded_clips(recordings: Sequence[tuple[WindowFeatures, int]]) -> Clips:
    """Return recordings with their labels as clips."""
    return Clips(collate([features for features, _ in recordings]), np.array([label for _, label in recordings]))


def recorded_side(clips: Clips) -> EvaluationSide:
    """Return the rows and the single readings of recordings, whose emotions are taken to be as common as they are."""
    windows = clips.windows
    faces = np.flatnonzero(windows.mask_NM[:, FACE])
    first = windows.frame_mask_NT[faces].argmax(1)
    singles: dict[ReadingKind, LabelledLogs] = {
        "picture": LabelledLogs(windows.frames_NTC[faces, first], clips.labels_N[faces])
    }
    for place, (modality, logs_NC) in enumerate(zip(MODALITIES, windows.raw(), strict=True)):
        rows = np.flatnonzero(windows.mask_NM[:, place])
        singles[modality] = LabelledLogs(logs_NC[rows], clips.labels_N[rows])
    return EvaluationSide(
        {"uniform": changed_rows(clips)}, {kind: each for kind, each in singles.items() if len(each.labels_N)}
    )


def augmented_views(models: Predictors, prepared: Prepared, features: WindowFeatures) -> list[WindowFeatures]:
    """Return views of the recording by other cameras: all of its frames change position and light in the same way."""
    if not features.face:
        return []
    crops = torch.from_numpy(prepared.crops)
    changed = [random_shift(crops, VIEW_STRENGTH, together=True).squeeze(1) * 255 for _ in range(VIEWS_PER_RECORDING)]
    views = [replace(prepared, crops=view.round().to(torch.uint8).numpy()) for view in changed]
    return [replace(features, face=_face_features(models, view)) for view in views]


def _face_features(models: Predictors, prepared: Prepared) -> tuple[ModalityFeatures, ...]:
    if not len(prepared.crops):
        return ()
    meshes = list(prepared.landmarks) or [None] * len(prepared.crops)
    samples = [FaceSample(*face) for face in zip(prepared.crops, meshes, strict=True)]
    outputs = models.face.predict(samples)
    return tuple(map(outputs.features, range(len(samples))))


def window_features(models: Predictors, prepared: Prepared) -> WindowFeatures:
    """Return the features of a recording as one window."""
    (audio,) = predict_utterances(models.audio, [prepared.samples])
    text = None
    if prepared.transcript:
        text = models.text.predict([TextSample(prepared.transcript, prepared.example.before or "")]).features(0)
    return WindowFeatures(face=_face_features(models, prepared), audio=audio, text=text)
