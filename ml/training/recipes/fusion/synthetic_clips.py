"""Training clips of the fusion: composed of faces, voices and sentences, or recordings of a list.

Composed clips are made of samples that the single-modality networks were not trained on. The samples are split by
person or source: half are for test clips, a quarter for the clips that select and calibrate. Half of the clips have
neutral words or none, a tenth disagree in one modality, and some faces are neutral for a while.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ml.errors import InvalidManifest
from ml.inference.api import ModalityFeatures
from ml.inference.face.predictor import FaceSample
from ml.inference.fusion.predictor import WindowFeatures
from ml.inference.text.predictor import TextSample
from ml.inference.voice.segments import predict_utterances
from ml.registry import Bundle, ModelStore
from ml.training.datasets.example import Split
from ml.training.preprocess import Prepared, Preprocessing, preprocess
from ml.training.recipes.face.augment import random_shift
from ml.training.recipes.fusion.config import FusionTrainConfig
from ml.training.recipes.fusion.prediction_cache import (
    Predictors,
    Random,
    SamplePool,
    SamplePools,
    features_of,
    read_pools,
)
from ml.vocabulary import EMOTIONS, MODALITIES

MAX_FRAMES = 16
NO_AUDIO_PROB, NO_FACE_PROB, DISAGREEMENT_PROB, PARTLY_NEUTRAL_PROB = 0.15, 0.15, 0.1, 0.3
NO_TEXT_PROB, NEUTRAL_TEXT_PROB = 0.25, 0.25
MODALITY_DROPOUT = 0.2
"""Probability of removing a modality of a clip in training, in addition to those that it lacks."""
VIEWS_PER_RECORDING, VIEW_STRENGTH = 2, 0.6
"""Number of augmented views of a recording to train on, and the strength of the augmentation."""
CLIPS_PER_EPOCH, EVAL_CLIPS = 12_800, 6_000


@dataclass(frozen=True)
class Clip:
    features: WindowFeatures
    label: int


def compose(random: Random, pools: SamplePools) -> Clip:
    """Compose one window of a person who shows one emotion."""
    label = int(random.integers(len(EMOTIONS)))
    labels = dict.fromkeys(MODALITIES, label)
    if random.random() < DISAGREEMENT_PROB:
        labels[MODALITIES[random.integers(len(MODALITIES))]] = int(random.integers(len(EMOTIONS)))
    missing, words = random.random(), random.random()
    if words < NO_TEXT_PROB + NEUTRAL_TEXT_PROB:
        labels["text"] = EMOTIONS.index("neutral")
    features = WindowFeatures(
        face=() if missing < NO_FACE_PROB else _frames(random, pools.face, labels["face"]),
        audio=None
        if NO_FACE_PROB <= missing < NO_FACE_PROB + NO_AUDIO_PROB
        else pools.audio.draw(random, labels["audio"])[0],
        text=None if words < NO_TEXT_PROB else pools.text.draw(random, labels["text"])[0],
    )
    return Clip(features, label)


def _frames(random: Random, faces: SamplePool, label: int) -> tuple[ModalityFeatures | None, ...]:
    """Return frames of one to three pictures, some without a face, and at times a neutral face at the start or end."""
    count = int(random.integers(2, MAX_FRAMES + 1))
    labels = [label] * int(random.integers(1, 4))
    if random.random() < PARTLY_NEUTRAL_PROB:
        labels.insert(int(random.choice([0, len(labels)])), EMOTIONS.index("neutral"))
    pictures = [faces.draw(random, own) for own in labels]
    frames: list[ModalityFeatures | None] = []
    for step in range(count):
        shown = pictures[step * len(pictures) // count]
        frames.append(None if random.random() < 0.1 else shown[random.integers(len(shown))])
    return tuple(frames) if any(frames) else (pictures[0][0],)


def drop_modalities(random: Random, clip: Clip) -> Clip:
    """Return the clip with modalities removed at random, never all of them."""
    features = clip.features
    for modality in MODALITIES:
        left = features.without(modality)
        if random.random() < MODALITY_DROPOUT and any(left.present.values()):
            features = left
    return replace(clip, features=features)


@dataclass(frozen=True)
class ClipData:
    """Clips of a fusion, with other people in each part.

    `draw` returns a clip to train on; `selection` clips choose and calibrate; `test` clips are evaluated on.
    """

    draw: Callable[[Random], Clip]
    selection: list[Clip]
    test: list[Clip]
    clips_per_epoch: int = CLIPS_PER_EPOCH

    @property
    def sizes(self) -> dict[str, int]:
        """Embedding sizes of face, audio and text; 1 if no clip has the modality."""
        sizes = {f"{name}_size": 1 for name in MODALITIES}
        for clip in self.selection:
            features = clip.features
            faces = [frame for frame in features.face if frame]
            present = {"face": faces[0] if faces else None, "audio": features.audio, "text": features.text}
            sizes |= {f"{name}_size": each.embedding.size for name, each in present.items() if each}
        return sizes


def load_clips(config: FusionTrainConfig) -> ClipData:
    """Return clips as the models of the fusion read them. Raises InvalidManifest if the data is too little."""
    face, audio, text = config.models
    bundle = Bundle.from_fields(name=config.bundle, face=face, audio=audio, text=text, fusion=None)
    if config.data.is_file():
        return load_recorded_clips(config, bundle)
    return load_composed_clips(config.data, ModelStore(config.store), bundle, config.cache)


def load_composed_clips(data: Path, store: ModelStore, bundle: Bundle, cache: Path) -> ClipData:
    """Return clips of samples that the models of the bundle were not trained on.

    Raises InvalidManifest if the held-out voices are unknown, or the folder does not exist.
    """
    assert bundle.audio
    if store.manifest(bundle.audio).preprocessing.get("held_out_fold") is None:
        raise InvalidManifest(
            f"{bundle.audio} does not state which fold of the collected speakers it left out: clips are composed of "
            "voices that the network was not trained on"
        )
    if not data.is_dir():
        raise InvalidManifest(f"{data} is not a folder of collected data")
    pools = read_pools(data, store, bundle, cache)
    random = np.random.default_rng(1)
    return ClipData(
        draw=lambda random: compose(random, pools["train"]),
        selection=[compose(random, pools["selection"]) for _ in range(EVAL_CLIPS)],
        test=[compose(random, pools["test"]) for _ in range(EVAL_CLIPS)],
    )


def load_recorded_clips(config: FusionTrainConfig, bundle: Bundle) -> ClipData:
    """Return the recordings of a list, one clip each.

    Its validation part selects and calibrates; its test part is evaluated on, or the validation part if the list has no
    test part.
    """
    torch.manual_seed(config.seed)
    models = Predictors.load(bundle, ModelStore(config.store))
    steps = Preprocessing(models.face.crop_size, landmarks=models.face.uses_landmarks, whisper=config.whisper)
    cache = preprocess(config.data, config.cache / "prepared", steps, config.store, workers=config.workers)
    sides: dict[Split, list[Clip]] = {"train": [], "valid": [], "test": []}
    for prepared in cache:
        example, features = prepared.example, window_features(models, prepared)
        if example.label and any(features.present.values()):
            views = augmented_views(models, prepared, features) if example.split == "train" else []
            sides[example.split] += [Clip(view, example.index) for view in (features, *views)]
    training, selection = sides["train"], sides["valid"]
    if len(training) < config.batch_size or not selection:
        raise InvalidManifest(
            f"{len(training)} views of recordings to train on and {len(selection)} to validate on are too few"
        )
    return ClipData(
        draw=lambda random: training[random.integers(len(training))],
        selection=selection,
        test=sides["test"] or selection,
        clips_per_epoch=max(len(training), config.batch_size),
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
    return tuple(features_of(models.face.predict(samples)))


def window_features(models: Predictors, prepared: Prepared) -> WindowFeatures:
    """Return the features of a recording as one window."""
    (audio,) = predict_utterances(models.audio, [prepared.samples])
    text = None
    if prepared.transcript:
        (text,) = features_of(models.text.predict([TextSample(prepared.transcript, prepared.example.before or "")]))
    return WindowFeatures(face=_face_features(models, prepared), audio=audio, text=text)
