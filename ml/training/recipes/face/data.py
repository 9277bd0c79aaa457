"""What the face net learns from: crops of pictures and videos, their targets, and how much each counts."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import Pool
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.errors import InvalidManifest
from ml.inference.face.detector import FaceDetector
from ml.networks.crops import resized
from ml.training.datasets.cache import digest, file_state, replacing
from ml.training.datasets.example import Example, examples_of
from ml.training.datasets.face_corpora import read_faces
from ml.training.datasets.manifest import read_examples
from ml.training.duplicates import near_duplicate_images
from ml.training.preprocess import Preprocessing, preprocess
from ml.vocabulary import EMOTIONS

MIN_SERVED_SIDE = 100
"""Side in pixels from which a picture shows more than the crops of benchmarks."""
ABSENT = -3.0
"""Added in training to the logits of labels that a picture's data set does not have: its annotators were not asked, so
that the picture says little against them."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Faces:
    """Crops uint8 [N, size, size], soft targets and what is added to logits in training [N, 7], weights [N], whether
    masked [N], the examples, and normalised points [N, 468, 3] where they are learnt from."""

    crops: Tensor
    targets: Tensor
    offsets: Tensor
    weights: Tensor
    masked: Tensor
    examples: tuple[Example, ...]
    points: Tensor | None = None

    @property
    def labels(self) -> Tensor:
        return torch.tensor([example.index for example in self.examples])


def load_crop(path: Path, size: int) -> NDArray[np.uint8]:
    """A picture as a grey square of `size` pixels. Raises InvalidManifest when it cannot be read."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise InvalidManifest(f"{path} cannot be read as a picture")
    return resized(np.asarray(image, np.uint8), size)


def given_crop(example: Example, size: int) -> NDArray[np.uint8]:
    return load_crop(cast(Path, example.path), size)


def served_crop(example: Example, size: int) -> NDArray[np.uint8]:
    """The face of a picture as the service finds and cuts it; the whole picture where that finds none, or where the
    picture is masked or no larger than a crop. Raises InvalidManifest when it cannot be read."""
    path = cast(Path, example.path)
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None or min(image.shape[:2]) < MIN_SERVED_SIDE or "masked" in example.dataset:
        return load_crop(path, size)
    found = _detector(size).detect(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8), 1)
    return found[0].crop if found else load_crop(path, size)


@cache
def _detector(size: int) -> FaceDetector:
    """One for each process."""
    return FaceDetector(size).__enter__()


def load_faces(examples: list[Example], size: int, cache: Path, *, served: bool = False) -> Faces:
    """Reads all crops once, `served` as the service would cut them; a file in the folder `cache` has them for the next
    run. Raises InvalidManifest when one cannot be read."""
    kept = cache / f"faces-{size}-{digest(served, [file_state(example.path) for example in examples])}.npy"
    if not kept.exists():
        read = partial(served_crop if served else given_crop, size=size)
        with Pool() as pool:
            crops = np.stack(pool.map(read, examples, 256))
        with replacing(kept) as staging:
            np.save(staging, crops)
    return faces_of(torch.from_numpy(np.load(kept, mmap_mode="c")), examples)


def faces_of(crops: Tensor, examples: list[Example], points: Tensor | None = None) -> Faces:
    """Crops uint8 [N, size, size] of the examples. A label without a target of its own is the target."""
    targets = [example.target or one_hot(example.index) for example in examples]
    return Faces(
        crops=crops,
        targets=torch.tensor(targets, dtype=torch.float32).reshape(-1, len(EMOTIONS)),
        offsets=_offsets(examples),
        weights=_balance(examples),
        masked=torch.tensor(["masked" in example.dataset for example in examples]),
        examples=tuple(examples),
        points=points,
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


def read_examples_of(args: argparse.Namespace) -> list[Example]:
    return examples_of(read_examples(args.data) if args.data.is_file() else read_faces(args.data, args.votes))


def is_trained_on(sets: Sequence[str], example: Example) -> bool:
    """Whether it is of the `sets`, where these are told."""
    return not sets or example.dataset in sets


def read_side(args: argparse.Namespace, size: int, *, training: bool, landmarks: bool) -> Faces:
    """One side of the split. Pictures that are held out too are taken from the training side."""
    both = prepared_faces(args, size, landmarks=landmarks) if args.data.is_file() else collected_faces(args, size)
    held_out = select(both, [example.split != "train" for example in both.examples])
    if not training:
        return held_out
    own = select(both, [example.split == "train" and is_trained_on(args.sets, example) for example in both.examples])
    return drop_near_duplicates(own, held_out)


def collected_faces(args: argparse.Namespace, size: int) -> Faces:
    """The faces of a folder's `manifest.csv`. Raises InvalidManifest when it lists none, or what cannot be read."""
    examples = read_examples_of(args)
    if not examples:
        raise InvalidManifest(f"{args.data.name} lists no face")
    return load_faces(examples, size, args.cache, served=args.served)


def prepared_faces(args: argparse.Namespace, size: int, *, landmarks: bool) -> Faces:
    """The faces of a list of pictures and videos: each look at a video is a row. Raises InvalidManifest without any."""
    config = Preprocessing(crop_size=size, crops=args.crops, landmarks=landmarks)
    cache = preprocess(args.data, args.cache / "prepared", config, args.store, workers=args.workers)
    prepared = [one for one in cache if len(one.crops) and one.example.label]
    if not prepared:
        raise InvalidManifest(f"no face was found in what {args.data.name} lists")
    examples = [one.example for one in prepared for _ in one.crops]
    crops = torch.from_numpy(np.concatenate([one.crops for one in prepared]))
    meshes = np.concatenate([one.landmarks for one in prepared])
    return faces_of(crops, examples, torch.from_numpy(meshes).float() if landmarks else None)


def select(faces: Faces, wanted: Sequence[bool]) -> Faces:
    rows = torch.tensor([row for row, yes in enumerate(wanted) if yes], dtype=torch.long)
    points = None if faces.points is None else faces.points[rows]
    return faces_of(faces.crops[rows], [faces.examples[int(row)] for row in rows], points)


def drop_near_duplicates(training: Faces, held_out: Faces) -> Faces:
    """The training side without pictures that are on the other side too."""
    twins = near_duplicate_images(training.crops, held_out.crops)
    if not twins.any():
        return training
    logger.info("%d training faces are held out too: left out", twins.sum())
    return select(training, [not twin for twin in twins])
