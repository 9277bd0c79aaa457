"""Training and publishing of the face movements."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from ml.movements import MOVEMENTS
from ml.networks.movements import MovementConfig, MovementNet
from ml.registry import ModelDescription, ModelStore
from ml.training.loop import LoopConfig, Task, averaged_weights, run_settings
from ml.training.recipes.movements.config import MovementTrainConfig
from ml.training.recipes.movements.data import (
    RIGID,
    MovementData,
    cached_faces,
    choose_faces,
    read_meshes,
    reference_shape,
    taught,
)
from ml.training.recipes.movements.figures import difference_figures, movement_card
from ml.training.recipes.recipe import Plan, licence_of, training_sets

config_type = MovementTrainConfig
POINT_NOISE = 0.003
"""Deviation of the noise on the points in training, in heights of the face."""
EYE_SHIFT = 2
"""Maximum pixels by which the pictures of the eyes are shifted in training."""
GAZE_WEIGHT = 0.5
"""Weight of the gaze in the loss, relative to the movements."""
DATA_RESTRICTIONS = "The pictures trained on are for research, some of them non-commercial."
LIMITS = (
    "It repeats a teacher, which was trained on posed movements of few people; no person has labelled a face here.",
    "Cheeks, tongue and the depth of the jaw hardly show in a mesh: their values mean little.",
    "The mesh itself is wrong on profiles, covered and very small faces, and the movements with it.",
    "Gaze is read from eyes some 16 pixels wide: it tells left from right, not what is looked at.",
)

Batch = tuple[Tensor, Tensor, Tensor, Tensor]


def load_data(config: MovementTrainConfig) -> tuple[MovementData, NDArray[np.float32], NDArray[np.int64]]:
    """Return all views, the mean face, and the twin of each point. Raises InvalidManifest."""
    faces = choose_faces(config.data, config.counts)
    if config.cached:
        faces = cached_faces(faces, config.data, config.cache)
    meshes = read_meshes(faces, config.data, config.cache)
    training = {str(each.path.relative_to(config.data)) for each in faces if each.path and each.split == "train"}
    own = [row for row, path in enumerate(meshes.paths) if path in training]
    reference_PD, twins_P = reference_shape(meshes.served[own])
    return taught(meshes, faces, config.data, config.teacher, reference_PD, config.cache), reference_PD, twins_P


def plans(config: MovementTrainConfig) -> list[Plan]:
    """Return the one run."""
    torch.set_num_threads(config.threads)
    data, reference_PD, twins_P = load_data(config)
    is_training = np.array([face.split == "train" for face in data.faces])
    training, held_out = data.select(is_training), data.select(~is_training)
    network = new_network(config, training, reference_PD, twins_P)
    steps = -(-len(training.faces) // config.batch_size)
    task: Task[Batch] = Task(
        model=network,
        steps=steps,
        batches=lambda _: _batches(training, config.batch_size),
        loss=_loss,
        validate=lambda model: _validate(model, held_out),
    )
    loop = LoopConfig(
        config.epochs, config.learning_rate, weight_decay=0.02, bf16=False, seed=config.seed, optimizer=config.optimizer
    )
    extra = {
        "architecture": "face_movements",
        "config": asdict(network.config),
        "sample": list(config.sample),
        "cached": config.cached,
    }
    return [Plan(loop, task, extra)]


def new_network(
    config: MovementTrainConfig, training: MovementData, reference_PD: NDArray[np.float32], twins_P: NDArray[np.int64]
) -> MovementNet:
    """Return a network that knows the mean face and the spread of the training faces."""
    network = MovementNet(MovementConfig(hidden=config.hidden, rigid=RIGID))
    network.twins_P.copy_(torch.from_numpy(twins_P))
    mean_PD, spread_PD = training.points.mean(0), np.maximum(training.points.std(0), 1e-3)
    network.scale_2PD.copy_(torch.from_numpy(np.stack([mean_PD, spread_PD])))
    network.reference_RD.copy_(torch.from_numpy(reference_PD[list(RIGID)]))
    return network


def _batches(data: MovementData, size: int) -> Iterator[Batch]:
    order = np.random.permutation(len(data.faces))
    for first in range(0, len(order), size):
        rows = order[first : first + size]
        points = data.points[rows] + np.random.normal(0, POINT_NOISE, data.points[rows].shape)
        right, down = np.random.randint(-EYE_SHIFT, EYE_SHIFT + 1, 2)
        eyes = np.roll(data.eyes[rows], (int(down), int(right)), (2, 3))
        inputs = torch.from_numpy(points.astype(np.float32)), torch.from_numpy(eyes).float() / 255
        yield *inputs, torch.from_numpy(data.movements[rows]), torch.from_numpy(data.gaze[rows])


def _loss(model: nn.Module, batch: Batch) -> Tensor:
    points, eyes, movements, gaze = batch
    answered, seen = model(points, eyes)
    known = ~gaze.isnan().any(1)
    loss = smooth_l1_loss(answered, movements, beta=0.05)
    return loss + GAZE_WEIGHT * smooth_l1_loss(seen[known], gaze[known], beta=0.1) if known.any() else loss


@torch.inference_mode()
def _validate(model: nn.Module, data: MovementData) -> dict[str, float]:
    movements, gaze = predict(model, data)
    return {
        "difference": float(np.abs(movements - data.movements).mean()),
        "gaze_degrees": float(np.degrees(np.abs(gaze - data.gaze).mean())),
    }


@torch.inference_mode()
def predict(model: nn.Module, data: MovementData) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the network's movements [V, 52] and gaze [V, 2]."""
    movements, gaze = model(torch.from_numpy(data.points), torch.from_numpy(data.eyes).float() / 255)
    return movements.numpy(), gaze.numpy()


def publish(config: MovementTrainConfig) -> str:
    """Measure the run in `config.out`, add it to the model store, and return its reference."""
    data, _, _ = load_data(config)
    settings = run_settings(config.out)
    values: dict[str, Any] = settings["config"] | {"rigid": tuple(settings["config"]["rigid"])}
    network = MovementNet(MovementConfig(**values)).eval()
    network.load_state_dict(averaged_weights(config.out))
    held_out = data.select(np.array([face.split != "train" for face in data.faces]))
    figures = difference_figures(*predict(network, held_out), held_out)
    description = ModelDescription(
        name=config.name,
        architecture="face_movements",
        config=settings["config"],
        labels=MOVEMENTS,
        preprocessing={"mesh": "468 points, eyes level, face 1 high", "eyes": "20×32 pixels, grey"},
        metrics=figures,
        data=training_sets(list(data.unturned.faces)),
        starts=(),
        command=_command(settings),
        licence=licence_of(config, DATA_RESTRICTIONS),
    )
    return ModelStore(config.store).publish(description, network.state_dict(), movement_card(description, LIMITS))


def _command(settings: dict[str, Any]) -> str:
    """Return the command that made a run."""
    loop = settings["loop"]
    options = {
        "teacher": "face_blendshapes.tflite",
        "epochs": loop["epochs"],
        "learning-rate": loop["learning_rate"],
        "hidden": settings["config"]["hidden"],
        "sample": " ".join(settings["sample"]),
    }
    words = " ".join(f"--{name} {value}" for name, value in options.items())
    return f"python -m ml train movements {words}" + " --cached" * settings["cached"]
