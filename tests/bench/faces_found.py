"""How many faces are found, by their size and number and by the size of the picture, in pictures composed here.

A face's size is the side of the detector's box around it at full size. `--faces FOLDER` names a folder of pictures of
one face each, from which the pictures are composed; without it the portrait stands for all, lit in different ways.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.inference.face.detector import DetectedFace, FaceDetector
from ml.media.geometry import MAX_ANALYSIS_SIDE
from tests.bench.media import portrait
from tests.bench.timing import Figure

Image = NDArray[np.uint8]
Rectangle = tuple[float, float, float, float]

SIDES = (24, 32, 48, 64, 96, 145, 200)
"""Pixels."""
PICTURES = {"1920×1080": (1920, 1080), "2560×1440": (2560, 1440), "3840×2160": (3840, 2160)}
NUMBERS = (1, 6, 16)
"""Faces of a picture."""
MAX_PORTRAITS = 60
CROP = 96
MARGIN = 0.6
"""Share of a portrait's sides by which its edge is repeated when its face is sought."""
TRIES = 60
"""To place a face where none is."""
MAX_OFF, MAX_GROWTH = 0.4, 2.2
"""How far a found box may lie from the face, in its sides, and how much larger or smaller it may be."""
TURNED = {"upside down": 2, "on the left side": 1, "on the right side": 3}


@dataclass(frozen=True)
class Portrait:
    """RGB picture of one face, and the detector's box around it."""

    image: Image
    box: Rectangle

    def at(self, side: float) -> "Portrait":
        """With a face of another size."""
        scale = side / max(self.box[2:])
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        image = np.asarray(cv2.resize(self.image, None, fx=scale, fy=scale, interpolation=way), np.uint8)
        x, y, width, height = self.box
        return Portrait(image, (x * scale, y * scale, width * scale, height * scale))


@dataclass
class Tally:
    """Faces that were shown and found, and answers that are no face."""

    shown: int = 0
    found: int = 0
    false: int = 0

    def add(self, faces: Sequence[Rectangle], answers: Sequence[Rectangle]) -> None:
        self.shown += len(faces)
        self.found += sum(any(is_around(answer, face) for answer in answers) for face in faces)
        self.false += sum(not any(is_around(answer, face) for face in faces) for answer in answers)


def read_portraits(folder: Path | None, detector: FaceDetector) -> list[Portrait]:
    """Read the pictures of a folder in which one face is found, in an order by chance, at most MAX_PORTRAITS."""
    if folder is None:
        lit = [cv2.convertScaleAbs(portrait()[..., ::-1], alpha=alpha, beta=20) for alpha in (0.6, 0.8, 1.0)]
        images: Iterator[Image] = (np.ascontiguousarray(each[:, ::way]) for each in lit for way in (1, -1))
    else:
        paths = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".jpeg", ".png", ".webp"))
        Random(1).shuffle(paths)
        read = (cv2.imread(str(path)) for path in paths)
        images = (np.ascontiguousarray(image[..., ::-1]) for image in read if image is not None)
    portraits: list[Portrait] = []
    for image in images:
        margin = round(MARGIN * max(image.shape[:2]))
        framed = np.asarray(cv2.copyMakeBorder(image, *(margin,) * 4, cv2.BORDER_REPLICATE), np.uint8)
        found = detector.detect_batch([framed], 2)[0]
        if len(found) == 1 and found[0].score >= 0.7:
            x, y, width, height = found[0].box
            portraits.append(Portrait(image, (x - margin, y - margin, width, height)))
        if len(portraits) == MAX_PORTRAITS:
            break
    return portraits


def background(random: Random, width: int, height: int) -> Image:
    """A plain wall, a gradient, coarse noise or a page of text."""
    noise = np.random.default_rng(random.randrange(1 << 30))
    kind = random.choice(["plain", "gradient", "noise", "text"])
    if kind == "plain":
        return np.full((height, width, 3), noise.integers(0, 256, 3), np.uint8)
    if kind == "gradient":
        ramp = np.linspace(*noise.integers(0, 256, 2), width)[None, :, None]
        return np.broadcast_to(ramp, (height, width, 3)).astype(np.uint8)
    if kind == "noise":
        image = np.full((height, width, 3), noise.integers(60, 200), np.float32)
        for step in (4, 16, 64):
            grain = noise.normal(0, 40, (height // step + 1, width // step + 1, 3)).astype(np.float32)
            image += cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
        return np.clip(image, 0, 255).astype(np.uint8)
    page = np.full((height, width, 3), 245, np.uint8)
    for _ in range(width * height // 9000):
        text = "lorem ipsum dolor sit"[: random.randrange(4, 20)]
        place = (random.randrange(width), random.randrange(height))
        cv2.putText(page, text, place, 0, random.uniform(0.3, 0.9), (random.randrange(120),) * 3, 1, cv2.LINE_AA)
    return page


def compose(
    random: Random, portraits: Sequence[Portrait], size: tuple[int, int], side: int, number: int, *, cut: float = 0.0
) -> tuple[Image, list[Rectangle]]:
    """Return a picture with faces of one size at places by chance, and their boxes. Fewer fit if they are large.

    `cut`: share of each face's width beyond the picture's left edge.
    """
    width, height = size
    image, taken, faces = background(random, width, height), list[Rectangle](), list[Rectangle]()
    for _ in range(TRIES * number):
        each = random.choice(portraits).at(side)
        high, wide = each.image.shape[:2]
        if len(faces) == number or wide > width or high > height:
            break
        x, y = random.randrange(width - wide + 1), random.randrange(height - high + 1)
        if cut:
            x = -round(each.box[0] + cut * each.box[2])
        if any(x < left + w and left < x + wide and y < top + h and top < y + high for left, top, w, h in taken):
            continue
        taken.append((x, y, wide, high))
        image[y : y + high, max(x, 0) : x + wide] = each.image[:, max(-x, 0) :]
        faces.append((each.box[0] + x, each.box[1] + y, *each.box[2:]))
    return image, faces


def is_around(answer: Rectangle, face: Rectangle) -> bool:
    """Return whether a found box is that of a face: about as large, and about there."""
    growth = (answer[2] * answer[3] / (face[2] * face[3])) ** 0.5
    if not 1 / MAX_GROWTH < growth < MAX_GROWTH:
        return False
    pairs = zip(answer[:2], answer[2:], face[:2], face[2:], strict=True)
    return all(abs(corner + one / 2 - own - other / 2) < MAX_OFF * other for corner, one, own, other in pairs)


def found_in(detector: FaceDetector, image: Image) -> list[Rectangle]:
    """Return the boxes of the faces that the service would find in a photo."""
    scale = max(1.0, max(image.shape[:2]) / MAX_ANALYSIS_SIDE)
    size = round(image.shape[1] / scale), round(image.shape[0] / scale)
    shrunk = image if scale == 1 else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    faces: list[DetectedFace] = detector.detect(shrunk, 32)
    return [(x * scale, y * scale, w * scale, h * scale) for x, y, w, h in (face.box for face in faces)]


@dataclass(frozen=True)
class FacesFound:
    """`pictures`: composed for each figure. `folder`: of pictures of one face each."""

    folder: Path | None
    pictures: int

    def figures(self) -> Iterator[Figure]:
        with FaceDetector(CROP) as detector:
            portraits = read_portraits(self.folder, detector)
            for name, size in PICTURES.items():
                for number in NUMBERS if name == "1920×1080" else (6,):
                    for side in SIDES:
                        title = f"{number} faces of {side} pixels in {name}"
                        yield from self._recall(detector, portraits, size, side, number, title)
            for side in (64, 145):
                title = f"faces of {side} pixels, a third beyond the edge of 1920×1080"
                yield from self._recall(detector, portraits, (1920, 1080), side, 2, title, cut=1 / 3)
                for way, turn in TURNED.items():
                    title = f"faces of {side} pixels in 1920×1080 {way}"
                    yield from self._recall(detector, portraits, (1920, 1080), side, 6, title, turn=turn)
            yield from self._without_faces(detector)

    def _recall(
        self,
        detector: FaceDetector,
        portraits: Sequence[Portrait],
        size: tuple[int, int],
        side: int,
        number: int,
        title: str,
        *,
        cut: float = 0.0,
        turn: int = 0,
    ) -> Iterator[Figure]:
        random, tally = Random(title), Tally()
        for _ in range(max(1, self.pictures * 6 // number) if number < 6 else self.pictures):
            image, faces = compose(random, portraits, size, side, number, cut=cut)
            turned = np.ascontiguousarray(np.rot90(image, turn))
            tally.add([_turned(face, size, turn) for face in faces], found_in(detector, turned))
        yield Figure(f"found of {title} ({tally.shown})", "%", [100 * tally.found / tally.shown])
        if tally.false:
            yield Figure(f"false answers in pictures of {title}", "", [tally.false])

    def _without_faces(self, detector: FaceDetector) -> Iterator[Figure]:
        random = Random(0)
        images = [background(random, 1920, 1080) for _ in range(4 * self.pictures)]
        false = sum(len(found_in(detector, image)) for image in images)
        yield Figure(f"false answers in {len(images)} pictures without a face", "", [false])


def _turned(box: Rectangle, size: tuple[int, int], turn: int) -> Rectangle:
    """Return a box after quarter turns of the picture counter-clockwise."""
    (width, height), (x, y, wide, high) = size, box
    for _ in range(turn):
        x, y, wide, high = y, width - x - wide, high, wide
        width, height = height, width
    return x, y, wide, high
