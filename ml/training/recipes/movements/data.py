"""Training data of the face movements: meshes of collected faces, and what the teacher says of them."""

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ml.errors import InvalidManifest
from ml.inference.face.movements import head_pose
from ml.networks.crops import LANDMARKS, LEFT_EYE, RIGHT_EYE, align_crop, normalize_landmarks
from ml.networks.movements import eye_pictures
from ml.training.datasets.cache import digest, file_state, replacing
from ml.training.datasets.example import Example, Split, examples_of
from ml.training.datasets.face_corpora import read_faces
from ml.training.recipes.movements.teacher import POINTS, MovementTeacher, mesh_reader

MESH_FILE = "meshes.npz"
WHOLE_HEADS = ("sfew", "jaffe")
"""Data sets whose pictures show whole heads; they are held out as a whole."""
MAX_HELD_OUT = 500
"""Maximum number of faces of a data set that are held out."""
FACE_SIDE, MARGIN, CROP_SIDE = 220, 60, 96
"""Pixels of the longer side of a picture when it is searched, around one that shows nothing but the face, and of the
crop from which the eyes are cut."""
RIGID: tuple[int, ...] = (
    10,
    151,
    9,
    8,
    168,
    6,
    197,
    195,
    5,
    33,
    133,
    362,
    263,
    127,
    356,
    234,
    454,
    21,
    251,
    54,
    284,
    103,
    332,
    67,
    297,
)
RIGID += (109, 338, 93, 323)
"""Mesh points of forehead, nose, temples and corners of the eyes."""
TURN_DEGREES, STRETCH = (10.0, 8.0, 6.0), 0.04
"""Deviations of yaw, pitch and roll, and of the stretch, by which a second view of each face is turned."""
RIGHT_IRIS, LEFT_IRIS = tuple(range(468, 473)), tuple(range(473, POINTS))
"""Points of the irises, their middle first."""
CORNEA = 0.42
"""Distance of the line between the corners of an eye from the middle of the eyeball, in its radii: 5 of 12 mm."""


@dataclass(frozen=True)
class Meshes:
    """Faces with their meshes in pixels: served [N, 468, 3], the teacher's [N, 478, 3], and grey crops [N, 96, 96].

    `paths`: of the pictures, relative to the folder of the data.
    """

    paths: tuple[str, ...]
    served: NDArray[np.float32]
    teacher: NDArray[np.float32]
    crops: NDArray[np.uint8]


@dataclass(frozen=True)
class MovementData:
    """Views of faces: normalised points [V, 468, 3], eyes [V, 2, 20, 32], the teacher's movements [V, 52], and gaze
    [V, 2] in radians, NaN for a view that was turned by calculation. `faces`: the example of each view."""

    points: NDArray[np.float32]
    eyes: NDArray[np.uint8]
    movements: NDArray[np.float32]
    gaze: NDArray[np.float32]
    faces: tuple[Example, ...]

    @property
    def unturned(self) -> "MovementData":
        """Views that were not turned by calculation."""
        return self.select(np.asarray(~np.isnan(self.gaze).any(1), np.bool_))

    def select(self, rows: NDArray[np.bool_]) -> "MovementData":
        faces = tuple(face for face, wanted in zip(self.faces, rows, strict=True) if wanted)
        return MovementData(self.points[rows], self.eyes[rows], self.movements[rows], self.gaze[rows], faces)


def choose_faces(data: Path, counts: Mapping[str, int]) -> list[Example]:
    """Return faces to train on, as many of each data set as `counts` says, and those that are held out.

    Raises InvalidManifest if the data cannot be read or have none.
    """
    groups: dict[tuple[str, Split], list[Example]] = {}
    for example in examples_of(read_faces(data)):
        groups.setdefault((example.dataset, example.split), []).append(example)
    chooser, chosen = random.Random(0), []
    for dataset, count in counts.items():
        limits: dict[Split, int] = {"train": count, "valid": min(count // 10, MAX_HELD_OUT)}
        for split, limit in limits.items():
            group = sorted(groups.get((dataset, split), []), key=lambda each: str(each.path))
            chooser.shuffle(group)
            chosen += group[:limit]
    chosen += [each for dataset in WHOLE_HEADS for each in groups.get((dataset, "test"), [])]
    if not any(each.split == "train" for each in chosen):
        raise InvalidManifest(f"{data.name} has no face of {', '.join(counts)}")
    return chosen


def cached_faces(faces: Sequence[Example], data: Path, cache: Path) -> list[Example]:
    """Return the faces of which the cache has a mesh."""
    with np.load(cache / MESH_FILE) as arrays:
        known = set(map(str, arrays["paths"]))
    return [each for each in faces if each.path and str(each.path.relative_to(data)) in known]


def read_meshes(faces: Sequence[Example], data: Path, cache: Path) -> Meshes:
    """Return the meshes of those pictures in which a face is found. A file in `cache` keeps them by path."""
    file = cache / MESH_FILE
    known = _load(file) if file.exists() else Meshes((), *_empty())
    wanted = [str(each.path.relative_to(data)) for each in faces if each.path]
    searched = set(known.paths)
    missing = [path for path in wanted if path not in searched]
    if missing:
        known = _joined(known, _search(missing, data))
        with replacing(file) as staging:
            np.savez(
                staging,
                paths=np.array(known.paths),
                served=known.served,
                teacher=known.teacher,
                crops=known.crops,
            )
    rows = {path: row for row, path in enumerate(known.paths)}
    found = [rows[path] for path in wanted if known.teacher[rows[path]].any()]
    return Meshes(
        tuple(known.paths[row] for row in found), known.served[found], known.teacher[found], known.crops[found]
    )


def _search(paths: Sequence[str], data: Path) -> Meshes:
    """Return the meshes of pictures, zeros for one without a face."""
    served, teacher, crops = _empty(len(paths))
    with mesh_reader() as reader:
        for row, path in enumerate(tqdm(paths, "meshes")):
            image_HWC = searched_picture(data / path)
            if meshes := reader.read(image_HWC):
                served[row], teacher[row] = meshes
                crops[row] = align_crop(image_HWC, meshes[0], CROP_SIDE)
    return Meshes(tuple(paths), served, teacher, crops)


def searched_picture(path: Path) -> NDArray[np.uint8]:
    """Return a picture as RGB, FACE_SIDE pixels large, with a margin if it shows nothing but the face.

    Raises InvalidManifest if it cannot be read.
    """
    image = cv2.imread(str(path))
    if image is None:
        raise InvalidManifest(f"{path} cannot be read as a picture")
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    scale = FACE_SIDE / max(image.shape[:2])
    smooth = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=smooth)
    if not any(name in path.parts for name in WHOLE_HEADS):
        masked = any("masked" in part for part in path.parts)
        border = cv2.BORDER_CONSTANT if masked else cv2.BORDER_REPLICATE
        image = cv2.copyMakeBorder(image, MARGIN, MARGIN, MARGIN, MARGIN, border)
    return np.asarray(image, np.uint8)


def _empty(count: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    served, teacher = np.zeros((count, LANDMARKS, 3), np.float32), np.zeros((count, POINTS, 3), np.float32)
    return served, teacher, np.zeros((count, CROP_SIDE, CROP_SIDE), np.uint8)


def _load(file: Path) -> Meshes:
    with np.load(file) as arrays:
        return Meshes(tuple(map(str, arrays["paths"])), arrays["served"], arrays["teacher"], arrays["crops"])


def _joined(one: Meshes, other: Meshes) -> Meshes:
    arrays = (np.concatenate([getattr(one, name), getattr(other, name)]) for name in ("served", "teacher", "crops"))
    return Meshes((*one.paths, *other.paths), *arrays)


def reference_shape(served: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the mean face, which looks straight ahead and is its own mirror image, and the twin of each point."""
    mean_PD = np.mean([normalize_landmarks(mesh) for mesh in served], 0)
    mirrored_PD = mean_PD * np.array([-1, 1, 1], np.float32)
    distances = np.linalg.norm(mean_PD[:, None] - mirrored_PD[None], axis=-1)
    twins_P = distances.argmin(1)
    return (mean_PD + mirrored_PD[twins_P]) / 2, twins_P


def taught(
    meshes: Meshes, faces: Sequence[Example], data: Path, teacher: Path, reference_PD: NDArray[np.float32], cache: Path
) -> MovementData:
    """Return two views of each training face, as it is and turned by calculation, and one of each held-out face.

    A file in `cache` keeps what the teacher answers.
    """
    by_path = {str(each.path.relative_to(data)): each for each in faces if each.path}
    examples = [by_path[path] for path in meshes.paths]
    chooser = np.random.default_rng(0)
    views: list[tuple[int, NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]] = []
    for row, face in enumerate(examples):
        served_PD, attentive_PD = _level(meshes.served[row], meshes.teacher[row])
        pose = head_pose(served_PD[list(RIGID)], reference_PD[list(RIGID)].astype(np.float64))
        views.append((row, served_PD, attentive_PD, gaze_of(attentive_PD, pose)))
        if face.split == "train":
            turn = _random_turn(chooser)
            views.append((row, served_PD @ turn.T, attentive_PD @ turn.T, np.full(2, np.nan, np.float32)))
    rows = [row for row, *_ in views]
    eyes = [eye_pictures(crop, mesh) for crop, mesh in zip(meshes.crops, meshes.served, strict=True)]
    return MovementData(
        points=np.stack([normalize_landmarks(served_PD) for _, served_PD, _, _ in views]),
        eyes=np.stack(eyes)[rows],
        movements=_answers([attentive_PD for _, _, attentive_PD, _ in views], teacher, cache),
        gaze=np.stack([gaze for *_, gaze in views]),
        faces=tuple(examples[row] for row in rows),
    )


def _answers(level_meshes: Sequence[NDArray[np.float32]], teacher: Path, cache: Path) -> NDArray[np.float32]:
    """Return the movements [V, 52] that the teacher sees, each mesh in a picture twice as high as the face."""
    points_VP2 = np.stack([mesh[:, :2] / 2 + 0.5 for mesh in level_meshes]).astype(np.float32)
    name = digest(file_state(teacher), hashlib.sha256(points_VP2.tobytes()).hexdigest())
    file = cache / f"movements-{name}.npy"
    if not file.exists():
        network = MovementTeacher(teacher)
        with replacing(file) as staging:
            np.save(staging, np.stack([network.read(points_P2) for points_P2 in tqdm(points_VP2, "teacher")]))
    return np.asarray(np.load(file))


def _level(served_PD: NDArray[np.float32], other_PD: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield both meshes with the eyes of the first one level, their middle at 0, and its face 1 high."""
    right, left = (served_PD[list(corners), :].mean(0) for corners in (RIGHT_EYE, LEFT_EYE))
    angle = np.arctan2(left[1] - right[1], left[0] - right[0])
    rotation = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    level_PD = (served_PD - (right + left) / 2) @ rotation.T
    height = max(float(np.ptp(level_PD[:, 1])), 1e-6)
    yield np.asarray(level_PD / height, np.float32)
    yield np.asarray((other_PD - (right + left) / 2) @ rotation.T / height, np.float32)


def _random_turn(chooser: np.random.Generator) -> NDArray[np.float32]:
    """Return a matrix that turns and stretches a face a little."""
    yaw, pitch, roll = np.radians(chooser.normal(0, TURN_DEGREES))
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    stretch = np.diag([np.exp(chooser.normal(0, STRETCH)), 1, 1])
    return np.asarray(about_z @ about_x @ about_y @ stretch, np.float32)


def gaze_of(points_PD: NDArray[np.float32], pose: tuple[float, float, float]) -> NDArray[np.float32]:
    """Return the gaze [2] (radians to the person's left, up) of a level mesh with irises, both eyes together.

    An iris is about as wide as the eyeball's radius (11.7 and 12 mm); it stands in the middle between the corners of
    the eye when the eye looks where the head does.
    """
    angles = []
    for iris, corners in ((RIGHT_IRIS, RIGHT_EYE), (LEFT_IRIS, LEFT_EYE)):
        rim = points_PD[list(iris[1:]), :2]
        radius = max(float(np.ptp(rim[:, 0])), float(np.ptp(rim[:, 1])), 1e-6)
        offset = (points_PD[iris[0], :2] - points_PD[list(corners), :2].mean(0)) / radius
        angles.append([offset[0], -offset[1]])
    head = np.sin(np.radians(pose[:2])) * CORNEA
    return np.asarray(np.arcsin(np.clip(np.mean(angles, 0) + head, -0.9, 0.9)), np.float32)
