"""The face net, from nothing, on grey crops.

Masked pictures (AffectNet here) get backgrounds painted in, others are masked now and then, so that a black surround
tells nothing. Scale and place vary by a quarter, as crops made by a detector do. Classes are balanced within each set.
"""

import argparse
import logging
from collections.abc import Iterator
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

from ml.artifacts import Draft, Licence, ModelStore
from ml.features.face import resized
from ml.models import build, config_of
from ml.models.face import FaceConfig, FaceNet, flip_averaged
from ml.models.face_mobilenet import FaceMobileConfig, FaceMobileNet
from ml.training.cards import card
from ml.training.datasets.example import Example
from ml.training.datasets.faces import read_faces
from ml.training.loop import LoopConfig, Task, averaged_weights, bf16_pays, fit, history, parameter_groups, run_settings
from ml.training.metrics import fit_temperature, measure, softmax
from ml.training.recipes.face_start import load_start, read_arrays
from ml.vocabulary import EMOTIONS

MASK_BELOW = 6
"""Grey value under which a pixel of a masked picture is taken for the mask."""
MEASURED_AT_ONCE = 512
TUNED_SCALE = 0.3

Network = FaceNet | FaceMobileNet


@dataclass(frozen=True)
class Faces:
    """Crops uint8 [N, size, size], soft targets [N, 7], weights [N], whether masked [N], and the examples."""

    crops: Tensor
    targets: Tensor
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
    return Faces(
        crops=torch.from_numpy(crops),
        targets=torch.tensor([example.target for example in examples], dtype=torch.float32),
        weights=_balance(examples),
        masked=torch.tensor(["masked" in example.dataset for example in examples]),
        examples=tuple(examples),
    )


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


def batches(faces: Faces, size: int, strength: float) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    order = torch.randperm(len(faces.crops))
    for first in range(0, len(order) - size + 1, size):
        rows = order[first : first + size]
        images = augment(faces.crops[rows], faces.masked[rows], strength).contiguous(memory_format=torch.channels_last)
        yield images, faces.targets[rows], faces.weights[rows]


def loss(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    images, targets, weights = batch
    _, logits = model(images)
    return (cross_entropy(logits.float(), targets, label_smoothing=0.05, reduction="none") * weights).mean()


@torch.inference_mode()
def logits_of(model: nn.Module, crops_NHW: Tensor) -> Tensor:
    """Flip-averaged logits [N, 7] of uint8 crops."""
    parts = crops_NHW.split(MEASURED_AT_ONCE)
    return torch.cat([flip_averaged(model, part.unsqueeze(1).float() / 255)[1] for part in parts])


def validate(model: nn.Module, faces: Faces) -> dict[str, float]:
    """Accuracy on each data set of the validation part."""
    hits = (logits_of(model, faces.crops).argmax(1) == faces.labels).float()
    datasets = np.array([example.dataset for example in faces.examples])
    return {name: float(hits[torch.from_numpy(datasets == name)].mean()) for name in sorted(set(datasets.tolist()))}


def _read(args: argparse.Namespace, size: int, *, training: bool) -> Faces:
    every = list(read_faces(args.data, args.votes))
    chosen = [example for example in every if (example.split == "train") == training]
    return load_faces(chosen, size, args.cache / f"faces-{'train' if training else 'held-out'}-{size}.npy")


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


def train(args: argparse.Namespace) -> None:
    """Trains, or goes on where the run in `--out` was stopped."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    config = FaceMobileConfig() if args.identity else FaceConfig(widths=tuple(args.widths))
    faces = _read(args, config.size, training=True)
    held_out = _read(args, config.size, training=False)
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
    settings = LoopConfig(epochs=args.epochs, learning_rate=args.learning_rate, bf16=bf16_pays())
    architecture = "face_mobilenet" if args.identity else "face_senet"
    extra = {"architecture": architecture, "config": config_of(config), "batch": args.batch}
    if args.start:
        extra["start"] = str(args.start)
    fit(settings, task, args.out, extra | {"strength": args.strength, "votes": args.votes})


def publish(args: argparse.Namespace) -> None:
    """Calibrates and measures the run in `--out`, and writes the next version into `--store`."""
    settings = run_settings(args.out)
    network = cast(Network, build(settings["architecture"], settings["config"]))
    config = network.config
    network.load_state_dict(averaged_weights(args.out))
    faces = _read(args, config.size, training=False)
    logits = logits_of(network, faces.crops)
    datasets = np.array([example.dataset for example in faces.examples])
    natural = torch.from_numpy(np.isin(datasets, ["fer2013", "affectnet7_masked"]))
    temperature = fit_temperature(logits[natural], faces.labels[natural])
    metrics = {}
    for name in sorted(set(datasets.tolist())):
        rows = torch.from_numpy(datasets == name)
        metrics[name] = measure(softmax(logits[rows], temperature), faces.labels[rows].numpy(), EMOTIONS).json()
    draft = Draft(
        name="face",
        architecture=settings["architecture"],
        config=asdict(config),
        labels=EMOTIONS,
        preprocessing={"colour": "grey", "size": config.size, "crop": "square around the face, eyes level"},
        temperature=temperature,
        metrics=metrics,
        data=("FER2013 train with FER+ votes", "AffectNet (masked crops), nine tenths", "web faces and KDEF", "stock4"),
        command=_command(args.out),
        licence=Licence(
            name="research and non-commercial use",
            commercial=False,
            note="The data sets trained on are for research, some of them for non-commercial use only.",
        ),
    )
    text = card(
        draft,
        title="Affect face",
        summary="A compact residual CNN that reads the expression of a grey 48×48 crop as one of seven emotions.",
        use="Expression as people would label it in a picture. It does not tell what someone feels inside.",
        limits=[
            "Labels of the training sets are noisy: two annotations of FER2013 agree on 63 % of the pictures.",
            "Posed and web pictures prevail; film stills are read far worse (see the figure of SFEW).",
            "Profiles, covered faces and children are rare in the data; age and skin tone are not balanced.",
        ],
    )
    print(ModelStore(args.store).publish(draft, network.state_dict(), card=text))


def _command(run: Path) -> str:
    """What made the run, and before it the run that it started from."""
    settings = run_settings(run)
    loop, done = settings["loop"], len(history(run))
    options = {"epochs": loop["epochs"], "learning-rate": loop["learning_rate"]}
    options |= {name: settings[name] for name in ("strength", "votes") if name in settings}
    options["widths"] = " ".join(map(str, settings["config"]["widths"]))
    told = "python -m ml.training.recipes.face train " + " ".join(
        f"--{name} {value}" for name, value in options.items()
    )
    stopped = f" (stopped after {done})" if done < loop["epochs"] else ""
    before = f"{_command(Path(settings['start']))}; then " if "start" in settings else ""
    return f"{before}{told}{stopped}"


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(prog="python -m ml.training.recipes.face", description=__doc__)
    parser.add_argument("verb", choices=["train", "publish"])
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--out", type=Path, default=Path("runs/face"))
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--store", type=Path, default=Path("model_store"))
    parser.add_argument("--start", type=Path, help="folder of a run whose averaged weights to begin with")
    parser.add_argument("--identity", type=Path, help="faceres-deep.json: MobileNet from a net that tells people apart")
    parser.add_argument("--widths", type=int, nargs=4, default=FaceConfig.widths, help="channels of the four stages")
    parser.add_argument("--strength", type=float, default=1.0, help="of the changes of scale, place, angle and light")
    parser.add_argument("--votes", type=float, default=0.15, help="share of the FER+ votes in the targets")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    {"train": train, "publish": publish}[args.verb](args)


if __name__ == "__main__":
    main()
