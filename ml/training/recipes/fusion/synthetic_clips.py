"""Clips that the fusion learns from: composed of faces, voices and sentences, or recordings of a list.

Composed clips are made of pieces that the single nets were not trained on; by who is seen, heard or quoted, half of
these are for the clips that are measured on, a quarter for those that choose and calibrate. Half of the clips have
neutral words or none, a tenth disagree in one modality, and some faces are neutral for a while.
"""

import argparse
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
from ml.training.recipes.fusion.prediction_cache import (
    Predictors,
    Random,
    SamplePool,
    SamplePools,
    evidence_from,
    read_pools,
)
from ml.vocabulary import EMOTIONS, MODALITIES

MAX_FRAMES = 16
SILENT, UNSEEN, DISAGREE, PARTLY_NEUTRAL = 0.15, 0.15, 0.1, 0.3
NO_WORDS, NEUTRAL_WORDS = 0.25, 0.25
MODALITY_DROPOUT = 0.2
"""How often a modality is taken from a clip in training, beside what it lacks already."""
VIEWS, VIEW_STRENGTH = 2, 0.6
"""How many other views of a recording are trained on, and how far they differ."""
CLIPS_PER_EPOCH, CLIPS_MEASURED = 12_800, 6_000


@dataclass(frozen=True)
class Clip:
    evidence: WindowFeatures
    label: int


def compose(random: Random, pools: SamplePools) -> Clip:
    """One window of somebody who comes across as one emotion."""
    label = int(random.integers(len(EMOTIONS)))
    labels = dict.fromkeys(MODALITIES, label)
    if random.random() < DISAGREE:
        labels[MODALITIES[random.integers(len(MODALITIES))]] = int(random.integers(len(EMOTIONS)))
    lacking, words = random.random(), random.random()
    if words < NO_WORDS + NEUTRAL_WORDS:
        labels["text"] = EMOTIONS.index("neutral")
    evidence = WindowFeatures(
        face=() if lacking < UNSEEN else _frames(random, pools.face, labels["face"]),
        audio=None if UNSEEN <= lacking < UNSEEN + SILENT else pools.audio.draw(random, labels["audio"])[0],
        text=None if words < NO_WORDS else pools.text.draw(random, labels["text"])[0],
    )
    return Clip(evidence, label)


def _frames(random: Random, faces: SamplePool, label: int) -> tuple[ModalityFeatures | None, ...]:
    """Stretches of one to three pictures, some frames unseen, now and then a neutral face at the start or end."""
    count = int(random.integers(2, MAX_FRAMES + 1))
    labels = [label] * int(random.integers(1, 4))
    if random.random() < PARTLY_NEUTRAL:
        labels.insert(int(random.choice([0, len(labels)])), EMOTIONS.index("neutral"))
    looks = [faces.draw(random, own) for own in labels]
    frames: list[ModalityFeatures | None] = []
    for step in range(count):
        shown = looks[step * len(looks) // count]
        frames.append(None if random.random() < 0.1 else shown[random.integers(len(shown))])
    return tuple(frames) if any(frames) else (looks[0][0],)


def drop_modalities(random: Random, clip: Clip) -> Clip:
    """The clip with modalities taken away at random, never all."""
    evidence = clip.evidence
    for modality in MODALITIES:
        left = evidence.without(modality)
        if random.random() < MODALITY_DROPOUT and any(left.present.values()):
            evidence = left
    return replace(clip, evidence=evidence)


@dataclass(frozen=True)
class Material:
    """`draw` gives a clip to train on; `fitting` are clips of others, to choose and calibrate on; `measured` are
    of others again. `steps`: batches an epoch, of a given size."""

    draw: Callable[[Random], Clip]
    fitting: list[Clip]
    measured: list[Clip]
    clips_an_epoch: int = CLIPS_PER_EPOCH

    @property
    def sizes(self) -> dict[str, int]:
        """Embedding sizes of face, audio and text; 1 where no clip has the modality."""
        found = {f"{name}_size": 1 for name in MODALITIES}
        for clip in self.fitting:
            evidence = clip.evidence
            faces = [frame for frame in evidence.face if frame]
            pieces = {"face": faces[0] if faces else None, "audio": evidence.audio, "text": evidence.text}
            found |= {f"{name}_size": piece.embedding.size for name, piece in pieces.items() if piece}
        return found


def load_clips(args: argparse.Namespace) -> Material:
    """Readings of the models that the fusion is for. Raises InvalidManifest when the data is too little."""
    face, audio, text = args.models
    bundle = Bundle.from_fields(name=args.bundle, face=face, audio=audio, text=text, fusion=None)
    if args.data.is_file():
        return load_recorded_clips(args, bundle)
    return load_composed_clips(args.data, ModelStore(args.store), bundle, args.cache)


def load_composed_clips(data: Path, store: ModelStore, bundle: Bundle, cache: Path) -> Material:
    """Clips of pieces that the bundle's nets were not trained on. Raises InvalidManifest when that is not known of
    voices, or the folder is not there."""
    assert bundle.audio
    if store.manifest(bundle.audio).preprocessing.get("held_out_fold") is None:
        raise InvalidManifest(
            f"{bundle.audio} does not tell which fold of the collected speakers it left out: clips are composed of "
            "voices that a net did not hear"
        )
    if not data.is_dir():
        raise InvalidManifest(f"{data} is no folder of collected data")
    pools = read_pools(argparse.Namespace(data=data, store=store.root, cache=cache), bundle)
    random = np.random.default_rng(1)
    return Material(
        draw=lambda random: compose(random, pools["training"]),
        fitting=[compose(random, pools["fitting"]) for _ in range(CLIPS_MEASURED)],
        measured=[compose(random, pools["measuring"]) for _ in range(CLIPS_MEASURED)],
    )


def load_recorded_clips(args: argparse.Namespace, bundle: Bundle) -> Material:
    """Recordings of a list, one clip each: chosen and calibrated on its validation part, measured on its test part, or
    on the validation part where it has no other."""
    torch.manual_seed(args.seed)
    models = Predictors.of(bundle, ModelStore(args.store))
    config = Preprocessing(models.face.crop_size, landmarks=models.face.uses_landmarks, whisper=args.whisper)
    cache = preprocess(args.data, args.cache / "prepared", config, args.store, workers=args.workers)
    sides: dict[Split, list[Clip]] = {"train": [], "valid": [], "test": []}
    for one in cache:
        evidence = evidence_of(models, one)
        if one.example.label and any(evidence.present.values()):
            varied = other_views(models, one, evidence) if one.example.split == "train" else []
            sides[one.example.split] += [Clip(view, one.example.index) for view in (evidence, *varied)]
    training, fitting = sides["train"], sides["valid"]
    if len(training) < args.batch or not fitting:
        raise InvalidManifest(
            f"{len(training)} views of recordings to train on and {len(fitting)} to validate on are too few"
        )
    return Material(
        draw=lambda random: training[random.integers(len(training))],
        fitting=fitting,
        measured=sides["test"] or fitting,
        clips_an_epoch=max(len(training), args.batch),
    )


def other_views(models: Predictors, prepared: Prepared, evidence: WindowFeatures) -> list[WindowFeatures]:
    """The same recording as other cameras might have seen it: one change of place and light for all of its frames."""
    if not evidence.face:
        return []
    crops = torch.from_numpy(prepared.crops)
    changed = [random_shift(crops, VIEW_STRENGTH, together=True).squeeze(1) * 255 for _ in range(VIEWS)]
    views = [replace(prepared, crops=view.round().to(torch.uint8).numpy()) for view in changed]
    return [replace(evidence, face=_read_faces(models, view)) for view in views]


def _read_faces(models: Predictors, prepared: Prepared) -> tuple[ModalityFeatures, ...]:
    if not len(prepared.crops):
        return ()
    meshes = list(prepared.landmarks) or [None] * len(prepared.crops)
    samples = [FaceSample(*face) for face in zip(prepared.crops, meshes, strict=True)]
    return tuple(evidence_from(models.face.predict(samples)))


def evidence_of(models: Predictors, prepared: Prepared) -> WindowFeatures:
    """A recording as one window."""
    (audio,) = predict_utterances(models.audio, [prepared.samples])
    text = None
    if prepared.transcript:
        (text,) = evidence_from(models.text.predict([TextSample(prepared.transcript, prepared.example.before or "")]))
    return WindowFeatures(face=_read_faces(models, prepared), audio=audio, text=text)
