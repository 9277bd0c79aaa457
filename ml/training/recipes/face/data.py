"""Training data of the face network: crops of pictures and videos, their targets and their weights."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from ml.networks.crops import resize_crop
from ml.training.datasets.cache import digest, file_state, replacing
from ml.training.datasets.example import Example, examples_of
from ml.training.datasets.face_corpora import read_faces
from ml.training.datasets.manifest import read_examples
from ml.training.duplicates import near_duplicate_images
from ml.training.preprocess import Preprocessing, preprocess
from ml.training.recipes.face.config import FaceTrainConfig
from ml.vocabulary import EMOTIONS

MIN_SERVED_SIDE = 100
"""Minimum side (pixels) of a picture that is cropped as the service does; benchmark crops are smaller."""
ABSENT_LABEL_OFFSET = -3.0
"""Offset, in training, of the logits of labels that a data set does not have.

Its annotators were not asked for these labels, so its pictures are little evidence against them.
"""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FaceData:
    """Faces of one side of the split.

    `crops` uint8 [N, size, size]; soft `targets` and `offsets` of the logits in training [N, 7]; `weights` [N];
    `masked` [N], whether the surround is masked; normalised `points` [N, 468, 3], if the mesh is read.
    """

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
    """Return a picture as a grey square of `size` pixels. Raises InvalidManifest when it cannot be read."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise InvalidManifest(f"{path} cannot be read as a picture")
    return resize_crop(np.asarray(image, np.uint8), size)


def given_crop(example: Example, size: int) -> NDArray[np.uint8]:
    return load_crop(cast(Path, example.path), size)


def served_crop(example: Example, size: int) -> NDArray[np.uint8]:
    """Return the face of a picture as the service detects and crops it.

    The whole picture is returned if no face is found, or if it is masked or no larger than a crop. Raises
    InvalidManifest if it cannot be read.
    """
    path = cast(Path, example.path)
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None or min(image.shape[:2]) < MIN_SERVED_SIDE or "masked" in example.dataset:
        return load_crop(path, size)
    faces = _detector(size).detect(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8), 1)
    return faces[0].crop if faces else load_crop(path, size)


@cache
def _detector(size: int) -> FaceDetector:
    """Return the detector of this process."""
    return FaceDetector(size).__enter__()


def load_faces(examples: list[Example], size: int, cache: Path, *, served: bool = False) -> FaceData:
    """Read all crops, or load them from a file in the folder `cache` that an earlier run has written.

    `served`: crop as the service does. Raises InvalidManifest if a picture cannot be read.
    """
    cached = cache / f"faces-{size}-{digest(served, [file_state(example.path) for example in examples])}.npy"
    if not cached.exists():
        read = partial(served_crop if served else given_crop, size=size)
        with Pool() as pool:
            crops = np.stack(pool.map(read, examples, 256))
        with replacing(cached) as staging:
            np.save(staging, crops)
    return build_face_data(torch.from_numpy(np.load(cached, mmap_mode="c")), examples)


def build_face_data(
    crops: Tensor,
    examples: list[Example],
    points: Tensor | None = None,
    weight_by_dataset: Mapping[str, float] | None = None,
) -> FaceData:
    """Return the data of crops (uint8 [N, size, size]) of the examples. A label stands in for a missing target.

    `weight_by_dataset`: weight of each data set as a whole; by default all pictures count alike.
    """
    targets = [example.target or one_hot(example.index) for example in examples]
    return FaceData(
        crops=crops,
        targets=torch.tensor(targets, dtype=torch.float32).reshape(-1, len(EMOTIONS)),
        offsets=_offsets(examples),
        weights=_balance(examples, weight_by_dataset or {}),
        masked=torch.tensor(["masked" in example.dataset for example in examples]),
        examples=tuple(examples),
        points=points,
    )


def one_hot(index: int) -> tuple[float, ...]:
    return tuple(float(place == index) for place in range(len(EMOTIONS)))


def _offsets(examples: list[Example]) -> Tensor:
    """Return ABSENT_LABEL_OFFSET for labels that no picture of the same data set has, else 0: [N, 7]."""
    known = {(example.dataset, example.label) for example in examples}
    rows = {
        dataset: [0.0 if (dataset, name) in known else ABSENT_LABEL_OFFSET for name in EMOTIONS]
        for dataset in {d for d, _ in known}
    }
    return torch.tensor([rows[example.dataset] for example in examples]).reshape(-1, len(EMOTIONS))


def _balance(examples: list[Example], weight_by_dataset: Mapping[str, float]) -> Tensor:
    """Return weights [N] of mean 1: the square root of how rare a label is within its data set.

    With `weight_by_dataset` those of a data set sum to its weight, up to a common factor.
    """
    keys = [(example.dataset, example.label) for example in examples]
    _, index, counts = np.unique(
        [f"{dataset}/{label}" for dataset, label in keys], return_inverse=True, return_counts=True
    )
    weights = 1 / np.sqrt(counts[index])
    datasets = np.array([example.dataset for example in examples])
    for dataset, weight in weight_by_dataset.items():
        own = datasets == dataset
        weights[own] *= weight / max(weights[own].sum(), 1e-9)
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)


def list_examples(config: FaceTrainConfig) -> list[Example]:
    """Return the examples of the data. Those of people who are left out of training are test examples."""
    listed = config.data.is_file()
    examples = examples_of(read_examples(config.data) if listed else read_faces(config.data, config.votes_share))
    return [replace(each, split="test") if each.speaker in config.leave_out else each for each in examples]


def is_trained_on(datasets: Sequence[str], example: Example) -> bool:
    """Return whether the example is of the data sets; all are, if none is named."""
    return not datasets or example.dataset in datasets


def read_side(config: FaceTrainConfig, size: int, *, training: bool, landmarks: bool) -> FaceData:
    """Return one side of the split. Pictures that are held out too are removed from the training side."""
    both = prepared_faces(config, size, landmarks=landmarks) if config.data.is_file() else collected_faces(config, size)
    held_out = select(both, [example.split != "train" for example in both.examples])
    if not training:
        return held_out
    weights = config.weight_by_dataset
    names = config.datasets or tuple(weights)
    trained = [example.split == "train" and is_trained_on(names, example) for example in both.examples]
    own = drop_near_duplicates(select(both, trained), held_out)
    return build_face_data(own.crops, list(own.examples), own.points, weights) if weights else own


def collected_faces(config: FaceTrainConfig, size: int) -> FaceData:
    """Return the faces of a folder's `manifest.csv`. Raises InvalidManifest if it lists no face, or cannot be read."""
    examples = list_examples(config)
    if not examples:
        raise InvalidManifest(f"{config.data.name} lists no face")
    return load_faces(examples, size, config.cache, served=config.served)


def prepared_faces(config: FaceTrainConfig, size: int, *, landmarks: bool) -> FaceData:
    """Return the faces of a list of pictures and videos; each sampled frame of a video is a row.

    Raises InvalidManifest if no face was found.
    """
    steps = Preprocessing(crop_size=size, crops=config.crops, landmarks=landmarks)
    cache = preprocess(config.data, config.cache / "prepared", steps, config.store, workers=config.workers)
    prepared = [each for each in cache if len(each.crops) and each.example.label]
    if not prepared:
        raise InvalidManifest(f"no face was found in the files that {config.data.name} lists")
    examples = [each.example for each in prepared for _ in each.crops]
    crops = torch.from_numpy(np.concatenate([each.crops for each in prepared]))
    meshes = np.concatenate([each.landmarks for each in prepared])
    return build_face_data(crops, examples, torch.from_numpy(meshes).float() if landmarks else None)


def select(faces: FaceData, wanted: Sequence[bool]) -> FaceData:
    rows = torch.tensor([row for row, yes in enumerate(wanted) if yes], dtype=torch.long)
    points = None if faces.points is None else faces.points[rows]
    return build_face_data(faces.crops[rows], [faces.examples[int(row)] for row in rows], points)


def drop_near_duplicates(training: FaceData, held_out: FaceData) -> FaceData:
    """Return the training side without pictures that are held out too."""
    twins = near_duplicate_images(training.crops, held_out.crops)
    if not twins.any():
        return training
    logger.info("%d training faces are left out: they are held out too", twins.sum())
    return select(training, [not twin for twin in twins])
