"""Training data of the face identity: aligned crops of people with several pictures each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ml.errors import InvalidManifest
from ml.inference.face.backends.base import mediapipe_graphs
from ml.networks.crops import align_crop, points_in_crop
from ml.networks.face_identity import ANCHORS
from ml.training.datasets.cache import replacing
from ml.training.datasets.example import Example, examples_of
from ml.training.datasets.face_corpora import read_faces
from ml.training.recipes.movements.data import searched_picture

PEOPLE = "lfw_emotion"
"""Data set whose people are learnt. A fifth of them is held out."""
CROP_SIDE = 96


@dataclass(frozen=True)
class IdentityFaces:
    """Faces with a mesh: crops [N, 96, 96] as they are served, and the anchors in them [N, 5, 2] in pixels."""

    crops: NDArray[np.uint8]
    anchors: NDArray[np.float64]
    examples: tuple[Example, ...]

    @property
    def people(self) -> list[str]:
        """Person of each face."""
        return [str(each.speaker) for each in self.examples]

    def of_split(self, *, held_out: bool) -> "IdentityFaces":
        rows = [row for row, each in enumerate(self.examples) if (each.split != "train") == held_out]
        return IdentityFaces(self.crops[rows], self.anchors[rows], tuple(self.examples[row] for row in rows))


def read_identity_faces(data: Path, cache: Path) -> IdentityFaces:
    """Return the faces of known people. A file in `cache` keeps crops and anchors by path. Raises InvalidManifest."""
    examples = [each for each in examples_of(read_faces(data)) if each.dataset == PEOPLE and each.speaker and each.path]
    if not examples:
        raise InvalidManifest(f"{data.name} has no faces of {PEOPLE} with the people's names")
    file = cache / "identity-faces.npz"
    paths = [str(each.path.relative_to(data)) for each in examples if each.path]
    if not file.exists():
        crops, anchors = _search(paths, data)
        with replacing(file) as staging:
            np.savez(staging, paths=np.array(paths), crops=crops, anchors=anchors)
    with np.load(file) as arrays:
        rows = {str(path): row for row, path in enumerate(arrays["paths"])}
        crops, anchors = arrays["crops"], arrays["anchors"]
    found = [(rows[path], each) for path, each in zip(paths, examples, strict=True) if path in rows]
    seen = [(row, each) for row, each in found if np.isfinite(anchors[row]).all()]
    chosen = [row for row, _ in seen]
    return IdentityFaces(crops[chosen], anchors[chosen], tuple(each for _, each in seen))


def _search(paths: Sequence[str], data: Path) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return crops and anchors of pictures, NaN for one without a mesh."""
    crops = np.zeros((len(paths), CROP_SIDE, CROP_SIDE), np.uint8)
    anchors = np.full((len(paths), len(ANCHORS), 2), np.nan)
    backend = mediapipe_graphs()
    for row, path in enumerate(tqdm(paths, "meshes")):
        image_HWC = searched_picture(data / path)
        reading = backend.landmarks([image_HWC])[0]
        if reading is not None and reading.mesh is not None:
            height, width = image_HWC.shape[:2]
            mesh = reading.mesh * np.array([width, height, width], np.float32)
            crops[row] = align_crop(image_HWC, mesh, CROP_SIDE)
            anchors[row] = points_in_crop(mesh, CROP_SIDE)[list(ANCHORS)]
    backend.close()
    return crops, anchors


def varied(crop_HW: NDArray[np.uint8], chooser: np.random.Generator) -> NDArray[np.uint8]:
    """Return a crop as another camera may give it: darker or lighter, coarser, blurred, noisy, compressed."""
    side = len(crop_HW)
    values: NDArray[Any] = crop_HW.astype(np.float32)
    if chooser.random() < 0.5:
        coarse = int(chooser.uniform(28, side))
        values = cv2.resize(cv2.resize(values, (coarse, coarse), interpolation=cv2.INTER_AREA), (side, side))
    if chooser.random() < 0.3:
        values = cv2.GaussianBlur(values, (0, 0), chooser.uniform(0.5, 1.5))
    if chooser.random() < 0.7:
        gamma, gain = np.exp(chooser.normal(0, 0.3)), np.exp(chooser.normal(0, 0.2))
        values = 255 * (np.clip(values, 0, 255) / 255) ** gamma * gain
    if chooser.random() < 0.3:
        values = values + chooser.normal(0, chooser.uniform(2, 10), values.shape)
    grey = np.clip(values, 0, 255).astype(np.uint8)
    if chooser.random() < 0.3:
        _, packed = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, int(chooser.uniform(20, 80))])
        grey = np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.uint8)
    return grey
