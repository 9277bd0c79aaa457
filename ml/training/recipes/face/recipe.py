"""Recipe of the face network on grey crops, trained from scratch or from pretrained weights.

Masked pictures (AffectNet here) get painted backgrounds, and others are masked now and then, so that a black surround
carries no information. Scale and position vary by a quarter, as those of detected crops do. Classes are balanced within
each data set.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Beta
from torch.nn.functional import cross_entropy

from ml.errors import InvalidManifest
from ml.inference.runtime.fuse import fuse_batch_norm
from ml.networks import config_to_dict
from ml.networks.crops import resize_crop
from ml.networks.face import predict_with_flip_tta
from ml.networks.face_landmarks import FaceLandmarkNet, landmark_config
from ml.registry import ModelStore
from ml.training.datasets.example import Split
from ml.training.loop import LoopConfig, Task, parameter_groups, run_settings
from ml.training.recipes.face.augment import augment
from ml.training.recipes.face.backbones import BACKBONES, PRETRAINED, FaceNetwork
from ml.training.recipes.face.config import FaceTrainConfig
from ml.training.recipes.face.data import FaceData, read_side, select
from ml.training.recipes.face.ensembling import combine_members, load_members, published_names, start_weights
from ml.training.recipes.face.heads import (
    HEADS,
    freeze_backbones,
    head_batches,
    head_logits,
    head_loss,
    open_start,
    pooled_features,
)
from ml.training.recipes.face.publishing import publish_network
from ml.training.recipes.recipe import (
    HELD_OUT_SPLITS,
    HeldOut,
    OutOfFold,
    Plan,
    optimizer_space,
    parts_of,
    restrictions,
    selection_figure,
)

config_type: type[FaceTrainConfig] = FaceTrainConfig

EVAL_BATCH_SIZE = 64
"""Crops per forward pass of an evaluation; few, so that activations stay in the CPU cache."""
MIN_CHANNELS = 16
MESH_DROP_PROB = 0.2
"""Probability of dropping a mesh in training: not every detected face has one."""
FINETUNE_LR_SCALE = 0.3
"""Learning rate of a pretrained backbone, as a share of the rate of the other layers."""
DISTILL_WEIGHT = 0.5
"""Share of the teacher's answer in a target."""


@dataclass(frozen=True)
class FaceBatch:
    images_N1HW: Tensor
    targets_NC: Tensor
    offsets_NC: Tensor
    weights_N: Tensor
    points_NP3: Tensor | None = None


def batches(faces: FaceData, config: FaceTrainConfig) -> Iterator[FaceBatch]:
    """Yield one epoch of augmented batches in random order."""
    order, size = torch.randperm(len(faces.crops)), config.batch_size
    for first in range(0, len(order) - size + 1, size):
        rows = order[first : first + size]
        images = augment(faces.crops[rows], faces.masked[rows], config.augment_strength, config.painted_prob)
        images = images.contiguous(memory_format=torch.channels_last)
        points = None if faces.points is None else faces.points[rows] * (torch.rand(size, 1, 1) > MESH_DROP_PROB)
        batch = FaceBatch(images, faces.targets[rows], faces.offsets[rows], faces.weights[rows], points)
        yield mixup(batch, config.mixup) if config.mixup else batch


def mixup(batch: FaceBatch, alpha: float) -> FaceBatch:
    """Blend each face, and its target, with another one of the batch (mixup, Zhang et al. 2018).

    Shares are drawn from Beta(alpha, alpha). The face itself has the larger share, and keeps its mesh.
    """
    count = len(batch.images_N1HW)
    drawn_N = Beta(alpha, alpha).sample((count,))
    own_N, other_N = torch.maximum(drawn_N, 1 - drawn_N), torch.randperm(count)

    def blend(values: Tensor) -> Tensor:
        own = own_N.view(-1, *[1] * (values.dim() - 1))
        return own * values + (1 - own) * values[other_N]

    images, targets, offsets, weights = map(
        blend, (batch.images_N1HW, batch.targets_NC, batch.offsets_NC, batch.weights_N)
    )
    return FaceBatch(images, targets, offsets, weights, batch.points_NP3)


def loss(model: nn.Module, batch: FaceBatch) -> Tensor:
    _, logits = model(batch.images_N1HW) if batch.points_NP3 is None else model(batch.images_N1HW, batch.points_NP3)
    shifted = logits.float() + batch.offsets_NC
    return (cross_entropy(shifted, batch.targets_NC, label_smoothing=0.05, reduction="none") * batch.weights_N).mean()


@torch.inference_mode()
def predict_logits(model: nn.Module, faces: FaceData) -> Tensor:
    """Return flip-averaged logits [N, 7]."""
    parts = []
    for rows in torch.arange(len(faces.crops)).split(EVAL_BATCH_SIZE):
        points = None if faces.points is None else faces.points[rows]
        parts.append(predict_with_flip_tta(model, faces.crops[rows].unsqueeze(1).float() / 255, points)[1])
    return torch.cat(parts)


def validate(model: nn.Module, faces: FaceData) -> dict[str, float]:
    """Return the accuracy on each held-out part. The run is chosen by the mean of the validation parts alone."""
    return _figures(predict_logits(model, faces), faces)


def _figures(logits_NC: Tensor, faces: FaceData) -> dict[str, float]:
    hits = (logits_NC.argmax(1) == faces.labels).float()
    parts = parts_of(faces.examples)
    figures = {name: float(hits[rows].mean()) for name, rows in parts.items()}
    validation = [figures[name] for name, rows in parts.items() if faces.examples[rows[0]].split == "valid"]
    return figures | selection_figure(validation)


def build_network(config: FaceTrainConfig, faces: FaceData) -> tuple[FaceNetwork, str]:
    """Return a network to train, and the name of its architecture."""
    architecture, network = _build_crop_network(config, faces)
    if faces.points is None:
        return network, architecture
    with_mesh = FaceLandmarkNet(landmark_config(architecture, config_to_dict(network.config)))
    with_mesh.crop = network
    return with_mesh, "face_landmarks"


def _build_crop_network(config: FaceTrainConfig, faces: FaceData) -> tuple[str, FaceNetwork]:
    """Return the network of the crop. Pretrained weights decide its backbone; the last ones of the table prevail."""
    files = {name: path for name in PRETRAINED if (path := getattr(config, name))}
    name = next(reversed(files), None)
    backbone = BACKBONES[PRETRAINED[name].backbone if name else config.backbone]
    network = backbone.build(config.size, config.widths)
    if name:
        PRETRAINED[name].load(network, files[name], faces.crops)
    return backbone.architecture, network


def add_teacher_targets(faces: FaceData, config: FaceTrainConfig) -> FaceData:
    """Mix the mean answer of the teachers into the targets, at DISTILL_WEIGHT.

    Teachers get the faces at their own size, and the mesh only if they read one. A label that a data set does not have
    stays out of its targets.
    """
    store = ModelStore(config.store)
    teacher = combine_members([member for name in config.teacher for member in load_members(store, name)])
    fuse_batch_norm(teacher)
    inputs = replace(
        faces,
        crops=torch.from_numpy(np.stack([resize_crop(crop, teacher.config.size) for crop in faces.crops.numpy()])),
        points=faces.points if isinstance(teacher, FaceLandmarkNet) else None,
    )
    with torch.autocast("cpu", torch.bfloat16, enabled=bool(config.bf16)):
        answers_NC = (predict_logits(teacher, inputs).float() + 2 * faces.offsets).softmax(-1)
    return replace(faces, targets=(1 - DISTILL_WEIGHT) * faces.targets + DISTILL_WEIGHT * answers_NC)


def _finetuning_groups(network: FaceNetwork) -> list[dict[str, Any]]:
    """Return parameter groups in which the pretrained backbone has a lower learning rate."""
    decay, backbone = LoopConfig.weight_decay, network.backbone
    pretrained = {id(parameter) for parameter in backbone.parameters()}
    added = nn.ParameterList(parameter for parameter in network.parameters() if id(parameter) not in pretrained)
    return [*parameter_groups(backbone, decay, FINETUNE_LR_SCALE), *parameter_groups(added, decay)]


def plans(config: FaceTrainConfig) -> list[Plan]:
    """Return the run. Raises InvalidManifest if the data cannot be read, or options do not fit together."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    if min(config.widths) < MIN_CHANNELS:
        raise InvalidManifest(f"--widths below {MIN_CHANNELS} crash the convolutions of some CPUs (oneDNN, fp32)")
    if config.mixup < 0:
        raise InvalidManifest("--mixup is 0 or more")
    landmarks = config.landmarks == "on"
    if landmarks and not config.data.is_file():
        raise InvalidManifest("--landmarks on needs a list of pictures and videos: ready crops have no mesh")
    faces = read_side(config, config.size, training=True, landmarks=landmarks)
    held_out = read_side(config, config.size, training=False, landmarks=landmarks)
    if len(faces.crops) < config.batch_size:
        raise InvalidManifest(f"{len(faces.crops)} faces to train on are less than a batch of {config.batch_size}")
    if config.teacher:
        faces = add_teacher_targets(faces, config)
    if config.tune == HEADS:
        return [_heads_plan(config, faces, held_out)]
    network, architecture = build_network(config, faces)
    if config.start:
        network.load_state_dict(start_weights(config.start, ModelStore(config.store), architecture))
    network.to(memory_format=torch.channels_last)
    task = Task(
        model=network,
        steps=len(faces.crops) // config.batch_size,
        batches=lambda epoch: batches(faces, config),
        loss=loss,
        validate=lambda model: validate(model, held_out),
        groups=_finetuning_groups(network) if any(getattr(config, name) for name in PRETRAINED) else None,
    )
    extra = {"architecture": architecture, "config": config_to_dict(network.config), "batch": config.batch_size}
    return [Plan(config.loop(warm_up=config.warm_up), task, extra | _optional_settings(config))]


def _heads_plan(config: FaceTrainConfig, faces: FaceData, held_out: FaceData) -> Plan:
    """Return the run that trains the heads of `--start` on features of its backbones."""
    architecture, network = open_start(config)
    size = network.config.size
    if size != config.size:
        raise InvalidManifest(f"--size {size}: {config.start} reads crops of that side")
    pooled, held_out_pooled = (pooled_features(network, side, config) for side in (faces, held_out))
    freeze_backbones(network)
    task = Task(
        model=network,
        steps=len(pooled) // config.batch_size,
        batches=lambda epoch: head_batches(pooled, faces, config),
        loss=head_loss,
        validate=lambda model: _figures(head_logits(model, held_out_pooled), held_out),
    )
    extra = {"architecture": architecture, "config": config_to_dict(network.config), "batch": config.batch_size}
    return Plan(config.loop(warm_up=config.warm_up), task, extra | _optional_settings(config))


def _optional_settings(config: FaceTrainConfig) -> dict[str, Any]:
    """Return what the run depends on in addition, under the keys that saved runs have. Unused options are left out."""
    settings: dict[str, Any] = {name: each.title for name, each in PRETRAINED.items() if getattr(config, name)}
    if config.teacher:
        settings["taught_by"] = list(config.teacher)
    if config.start:
        settings["start"] = config.start
    if config.served:
        settings["served"] = True
    if restricted := restrictions(ModelStore(config.store), published_names(config.warm_starts)):
        settings["restricted"] = restricted
    if config.datasets:
        settings["sets"] = list(config.datasets)
    if config.dataset_weights:
        settings["dataset_weights"] = list(config.dataset_weights)
    if config.leave_out:
        settings["leave_out"] = list(config.leave_out)
    if config.tune == HEADS:
        return settings | {"tune": HEADS, "votes": config.votes_share}
    if config.mixup:
        settings["mixup"] = config.mixup
    augmentation = {"strength": config.augment_strength, "painted": config.painted_prob}
    return settings | augmentation | {"votes": config.votes_share}


def space(trial: Any, config: FaceTrainConfig) -> dict[str, Any]:
    """Return backbone, width, mesh (if the data has any), augmentation, share of the votes and optimiser of a trial."""
    width = trial.suggest_categorical("width", [16, 24, 32, 48])
    return {
        "backbone": trial.suggest_categorical("backbone", tuple(BACKBONES)),
        "widths": (width, 2 * width, 4 * width, 6 * width),
        "landmarks": trial.suggest_categorical("landmarks", ["off", "on"]) if config.data.is_file() else "off",
        "augment_strength": trial.suggest_float("strength", 0.3, 1.2),
        "mixup": trial.suggest_categorical("mixup", [0.0, 0.2]),
        "votes_share": trial.suggest_float("votes", 0.0, 0.5),
        "batch_size": trial.suggest_categorical("batch", [64, 128, 256]),
        **optimizer_space(trial, 5e-4, 8e-3),
    }


def trained_network(config: FaceTrainConfig) -> FaceNetwork:
    """Return the network of a run in half precision, as the store keeps it, alone or in an ensemble."""
    store = ModelStore(config.store)
    members = [member for name in (str(config.out), *config.ensemble_with) for member in load_members(store, name)]
    return combine_members(members, config.tta)


def held_out(config: FaceTrainConfig, splits: Sequence[Split] = HELD_OUT_SPLITS) -> HeldOut:
    network = trained_network(config)
    landmarks = isinstance(network, FaceLandmarkNet)
    settings = run_settings(config.out)
    as_trained = replace(
        config, served=settings.get("served", False), leave_out=tuple(settings.get("leave_out", config.leave_out))
    )
    both = read_side(as_trained, network.config.size, training=False, landmarks=landmarks)
    faces = select(both, [example.split in splits for example in both.examples])
    if config.tune == HEADS:  # the backbones are those of the start: their features are at hand
        pooled = pooled_features(network, both, config)
        rows = torch.tensor([example.split in splits for example in both.examples])
        return HeldOut(head_logits(network, pooled[rows]), list(faces.examples))
    return HeldOut(predict_logits(network, faces), list(faces.examples))


def publish(config: FaceTrainConfig, temperature: float, folds: OutOfFold | None = None) -> str:
    """Evaluate the run in `--out`, and write the next version into `--store`."""
    return publish_network(config, trained_network(config), held_out(config), temperature, folds)
