"""Training and publishing of the face identity.

The network begins with the weights of one that reads larger pictures. It learns to answer for its small grey chips, as
varied cameras give them, what that one answers for clear ones, and to distinguish the people of the data.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from ml.errors import InvalidManifest
from ml.networks.face_identity import IDENTITY_SIZE, IdentityConfig, IdentityNet, chip_around
from ml.registry import ModelDescription, ModelStore
from ml.training.loop import Task, averaged_weights, run_settings
from ml.training.recipes.identity.config import IdentityTrainConfig
from ml.training.recipes.identity.data import IdentityFaces, read_identity_faces, varied
from ml.training.recipes.identity.figures import PAIR_FIGURES, identity_card, pair_figures
from ml.training.recipes.identity.start import START, load_start, measure_norms, read_arrays
from ml.training.recipes.recipe import Plan, licence_of, training_sets

config_type = IdentityTrainConfig
TEACHER_SIZE = 150
"""Side of the chips that the network of the start reads."""
MEASURED_CHIPS = 128
"""Number of chips by which the norms of the start are measured."""
SHIFT = 0.015
"""Deviation of the shift of an anchor in training, in sides of the crop."""
SHARPNESS = 40.0
"""Scale of the cosines that choose a person: those of the start lie between .7 and 1."""
_BATCH = 64
DATA_RESTRICTIONS = "The pictures trained on are for research."
LIMITS = (
    "It was trained and measured on press photographs, most of them of adults who look into the camera; profiles, "
    "children and very small faces were not measured by themselves.",
    "Relatives and people who look alike may be taken for one person.",
    "It sees the face from brows to chin, not hair or clothes.",
)

Batch = tuple[Tensor, Tensor, Tensor]


class _Learner(nn.Module):
    """Network with a direction for each person of the training data, which is left out when it is published."""

    def __init__(self, network: IdentityNet, directions_KE: Tensor) -> None:
        super().__init__()
        self.network = network
        self.directions_KE = nn.Parameter(directions_KE)

    def forward(self, chips_N1HW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features [N, 128], and how near each person is [N, K]."""
        features_NE = self.network.features(chips_N1HW).float()
        return features_NE, normalize(features_NE) @ normalize(self.directions_KE).T


def plans(config: IdentityTrainConfig) -> list[Plan]:
    """Return the one run."""
    torch.set_num_threads(config.threads)
    faces = read_identity_faces(config.data, config.cache)
    training, held_out = faces.of_split(held_out=False), faces.of_split(held_out=True)
    if not training.examples or not held_out.examples:
        raise InvalidManifest("the data have no people to train on, or none to hold out")
    teacher = start_network(config, training)
    taught_NE = torch.from_numpy(features(teacher, training))
    network = IdentityNet(IdentityConfig(config.size))
    network.load_state_dict(teacher.state_dict())
    people = sorted(set(training.people))
    persons_N = torch.tensor([people.index(person) for person in training.people])
    task: Task[Batch] = Task(
        model=_Learner(network, _mean_directions(taught_NE, persons_N)),
        steps=-(-len(training.examples) // config.batch_size),
        batches=lambda _: _batches(training, taught_NE, persons_N, config),
        loss=lambda model, batch: _loss(model, batch, config.people_weight),
        validate=lambda model: _validate(model, held_out),
        best_by="accuracy",
    )
    extra = {
        "architecture": "face_identity",
        "config": asdict(network.config),
        "people_weight": config.people_weight,
        "people": len(people),
        "start": START,
    }
    return [Plan(config.loop(warm_up=0.15, weight_decay=0.01), task, extra)]


def start_network(config: IdentityTrainConfig, faces: IdentityFaces) -> IdentityNet:
    """Return the network of the start, which reads chips of its own size."""
    network = IdentityNet(IdentityConfig(TEACHER_SIZE)).eval()
    load_start(network, read_arrays(config.start))
    step = max(len(faces.crops) // MEASURED_CHIPS, 1)
    measure_norms(network, as_tensor(clear_chips(faces, TEACHER_SIZE, step)))
    return network


def clear_chips(faces: IdentityFaces, size: int, step: int = 1) -> NDArray[np.uint8]:
    """Return the chips of every n-th face as they are [N, size, size]."""
    pairs = zip(faces.crops[::step], faces.anchors[::step], strict=True)
    return np.stack([chip_around(crop, anchors, size) for crop, anchors in pairs])


def as_tensor(chips_NHW: NDArray[np.uint8]) -> Tensor:
    """Return chips as the network takes them."""
    return torch.from_numpy(chips_NHW).unsqueeze(1).float() / 255


@torch.inference_mode()
def features(network: IdentityNet, faces: IdentityFaces) -> NDArray[np.float32]:
    """Return the features of all faces [N, 128], not of length 1."""
    found = [np.zeros((0, IDENTITY_SIZE), np.float32)]
    for first in range(0, len(faces.crops), _BATCH):
        rows = slice(first, first + _BATCH)
        part = IdentityFaces(faces.crops[rows], faces.anchors[rows], faces.examples[rows])
        found.append(network.features(as_tensor(clear_chips(part, network.config.size))).numpy())
    return np.concatenate(found)


def _mean_directions(taught_NE: Tensor, persons_N: Tensor) -> Tensor:
    sums_KE = torch.zeros(int(persons_N.max()) + 1, taught_NE.shape[1]).index_add(0, persons_N, normalize(taught_NE))
    return normalize(sums_KE)


def _batches(
    faces: IdentityFaces, taught_NE: Tensor, persons_N: Tensor, config: IdentityTrainConfig
) -> Iterator[Batch]:
    chooser = np.random.default_rng(np.random.randint(2**31))
    order = chooser.permutation(len(faces.examples))
    for first in range(0, len(order), config.batch_size):
        rows = order[first : first + config.batch_size]
        yield as_tensor(_varied_chips(faces, rows, config.size, chooser)), taught_NE[rows], persons_N[rows]


def _varied_chips(
    faces: IdentityFaces, rows: NDArray[np.int64], size: int, chooser: np.random.Generator
) -> NDArray[np.uint8]:
    chips = []
    for crop, anchors in zip(faces.crops[rows], faces.anchors[rows], strict=True):
        moved = anchors + chooser.normal(0, SHIFT, anchors.shape) * len(crop)
        chip = chip_around(varied(crop, chooser), moved, size)
        chips.append(chip[:, ::-1] if chooser.random() < 0.5 else chip)
    return np.stack(chips)


def _loss(model: nn.Module, batch: Batch, people_weight: float) -> Tensor:
    chips, taught, persons = batch
    answered, nearness = model(chips)
    spread = (taught - taught.mean(0)).square().sum(1).mean().clamp_min(1e-6)
    distance = (answered - taught).square().sum(1).mean() / spread
    return torch.as_tensor(distance + people_weight * cross_entropy(SHARPNESS * nearness, persons))


def _validate(model: nn.Module, held_out: IdentityFaces) -> dict[str, float]:
    assert isinstance(model, _Learner)
    figures = pair_figures(_unit(features(model.network, held_out)), held_out.people)
    return {name: figures[name] for name in ("accuracy", "threshold", "found_at_0.01", "found_at_0.001")}


def _unit(vectors_NE: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vectors_NE / np.linalg.norm(vectors_NE, axis=1, keepdims=True), np.float32)


def publish(config: IdentityTrainConfig) -> str:
    """Measure the run in `config.out`, add it to the model store, and return its reference."""
    faces = read_identity_faces(config.data, config.cache)
    settings = run_settings(config.out)
    network = IdentityNet(IdentityConfig(**settings["config"])).eval()
    prefix = "network."
    weights = {name: value for name, value in averaged_weights(config.out).items() if name.startswith(prefix)}
    network.load_state_dict({name.removeprefix(prefix): value for name, value in weights.items()})
    held_out = faces.of_split(held_out=True)
    loop: dict[str, Any] = settings["loop"]
    description = ModelDescription(
        name=config.name,
        architecture="face_identity",
        config=settings["config"],
        labels=(),
        preprocessing={"crop": "eyes and nose in fixed places", "colour": "grey", "size": network.config.size},
        metrics={PAIR_FIGURES: pair_figures(_unit(features(network, held_out)), held_out.people)},
        data=training_sets(list(faces.examples)),
        starts=(START,),
        command=f"python -m ml train identity --start face_recognition_model-weights_manifest.json --epochs "
        f"{loop['epochs']} --learning-rate {loop['learning_rate']} --size {network.config.size} "
        f"--people-weight {settings['people_weight']}",
        licence=licence_of(config, DATA_RESTRICTIONS),
    )
    card = identity_card(description, LIMITS)
    return ModelStore(config.store).publish(description, network.state_dict(), card, int8=True)
