"""`python -m ml sheet`: a picture of faces with their readings, to look at what a model says.

Of labelled crops it shows, for each label, those that are read worst and a spread of the others; of recordings the main
face of frames over their length, as the service cuts it.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.errors import InvalidManifest
from ml.inference.face.detector import FaceDetector
from ml.inference.face.movements import MovementPredictor
from ml.inference.face.predictor import FacePredictor, FaceSample
from ml.inference.face.quality import SHARPNESS, face_quality
from ml.inference.pipeline.bundle import pick_device
from ml.movements import MOVEMENTS, without_side
from ml.networks.crops import resize_crop
from ml.paths import MODEL_STORE
from ml.registry import ModelStore
from ml.training.datasets.example import Example, Split
from ml.training.datasets.media import frames_over, read_picture
from ml.training.labelled_rows import LabelledRow, read_rows
from ml.training.options import bind, option
from ml.vocabulary import EMOTIONS

TILE_SIDE = 96
CAPTION_HEIGHT = 30
"""Pixels below a face for its label, its reading and the probability."""
Tile = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class SheetConfig:
    """Options of `python -m ml sheet`."""

    manifest: Path | None = option(help="labelled face crops: a CSV with path,label", group="data", default=None)
    recordings: tuple[Path, ...] | None = option(
        help="recordings, of which the main face is shown", metavar="FILE", group="data", default=None
    )
    out: Path = option(help="image to write", metavar="PNG")
    split: tuple[Split, ...] = option(help="only these splits of the manifest; by default all", nargs="+", default=())
    dataset: str | None = option(help="only this data set of the manifest", default=None)
    movements: bool = option(
        help="of a manifest of pictures: the two movements of each face that are furthest above those of all faces",
        default=False,
    )
    columns: int = option(help="faces of a row", default=14)
    bundle: str = option(help="bundle with the face model", default="default")
    store: Path = option(help="model store", default=MODEL_STORE)


@dataclass(frozen=True)
class ReadFace:
    """Grey crop with its reading. `title`: its label, or its time in the recording; `caption`: what is said of it; by
    default the emotion read and its probability."""

    crop: Tile
    title: str
    probabilities: NDArray[np.float32]
    caption: str | None = None

    def tile(self) -> Tile:
        """Return the crop at TILE_SIDE with its title and its caption below."""
        face = cv2.copyMakeBorder(
            resize_crop(self.crop, TILE_SIDE), 0, CAPTION_HEIGHT, 1, 1, cv2.BORDER_CONSTANT, value=(255,)
        )
        top = int(self.probabilities.argmax())
        reading = self.caption or f"{EMOTIONS[top]} {self.probabilities[top]:.2f}"
        for line, text in enumerate((self.title, reading)):
            place = (2, TILE_SIDE + 12 + 13 * line)
            cv2.putText(face, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0,), 1, cv2.LINE_AA)
        return np.asarray(face, np.uint8)


def parser(_: str = "sheet") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ml sheet", description=__doc__)
    bind(parser, SheetConfig, write_sheet)
    return parser


def write_sheet(config: SheetConfig) -> None:
    """Write the sheet. Raises InvalidManifest if there is no face to show."""
    store = ModelStore(config.store)
    reference = store.bundle(config.bundle).face
    if reference is None:
        raise InvalidManifest(f"the bundle {config.bundle} names no face model")
    predictor = FacePredictor.load(store, reference, pick_device("auto"))
    if config.movements:
        rows = _of_movements(config, predictor, store)
    else:
        rows = _of_recordings(config, predictor) if config.recordings else _of_manifest(config, predictor)
    rows = [row for row in rows if row]
    if not rows:
        raise InvalidManifest("there is no face to show")
    config.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(config.out), _assemble(rows, config.columns))
    print(f"{sum(map(len, rows))} faces shown in {config.out}, read by {reference}")


def _assemble(rows: Sequence[Sequence[ReadFace]], columns: int) -> Tile:
    blank = np.full((TILE_SIDE + CAPTION_HEIGHT, TILE_SIDE + 2), 255, np.uint8)
    lines = []
    for row in rows:
        tiles = [face.tile() for face in row[:columns]]
        lines.append(np.hstack(tiles + [blank] * (columns - len(tiles))))
    return np.asarray(np.vstack(lines), np.uint8)


def _of_manifest(config: SheetConfig, predictor: FacePredictor) -> list[list[ReadFace]]:
    """Return two rows for each label: the crops of the lowest probability of their label, and a spread of all."""
    assert config.manifest is not None
    listed = read_rows(config.manifest, "path", config.split)
    rows = [row for row in listed if row is not None and config.dataset in (None, row.corpus)]
    faces = _read_crops(rows, predictor)
    sheet: list[list[ReadFace]] = []
    for index in range(len(EMOTIONS)):
        own = [face for row, face in zip(rows, faces, strict=True) if row.index == index]
        by_probability = sorted(own, key=lambda face: float(face.probabilities[index]))
        spread = by_probability[:: max(1, len(own) // config.columns)]
        sheet += [by_probability[: config.columns], spread[: config.columns]]
    return sheet


def _of_movements(config: SheetConfig, predictor: FacePredictor, store: ModelStore) -> list[list[ReadFace]]:
    """Return a row for each label: pictures in which a face is found, with their movements. Raises InvalidManifest."""
    reference = store.bundle(config.bundle).movements
    if reference is None or config.manifest is None:
        raise InvalidManifest("--movements needs a --manifest, and a bundle that names a model of movements")
    movements = MovementPredictor.load(store, reference, predictor.device)
    listed = read_rows(config.manifest, "path", config.split)
    rows = [row for row in listed if row is not None and config.dataset in (None, row.corpus)]
    chosen = [row for index in range(len(EMOTIONS)) for row in _spread(rows, index, config.columns)]
    with FaceDetector(predictor.crop_size) as detector:
        found = [(row, detector.detect(read_picture(row.path), 1)) for row in chosen]
    seen = [(row, faces[0]) for row, faces in found if faces and faces[0].landmarks is not None]
    values_NV = movements.read([FaceSample(face.crop, face.landmarks) for _, face in seen])[:, : len(MOVEMENTS)]
    usual_V = np.median(values_NV, 0)
    sheet: list[list[ReadFace]] = [[] for _ in EMOTIONS]
    for (row, face), values_V in zip(seen, values_NV, strict=True):
        first, second = np.argsort(usual_V - values_V)[:2].tolist()
        title = f"{EMOTIONS[row.index][:7]}: {_movement_text(first, values_V)}"
        none = np.zeros(len(EMOTIONS), np.float32)
        sheet[row.index].append(ReadFace(face.crop, title, none, _movement_text(second, values_V)))
    return sheet


def _spread(rows: Sequence[LabelledRow], index: int, count: int) -> list[LabelledRow]:
    """Return some pictures of a label, spread over the list."""
    own = [row for row in rows if row.index == index]
    return own[:: max(1, len(own) // count)][:count]


def _movement_text(column: int, values_V: NDArray[np.float32]) -> str:
    name = without_side(MOVEMENTS[column]).removeprefix("mouth_").replace("_", " ")
    return f"{name} {values_V[column]:.2f}"


def _read_crops(rows: Sequence[LabelledRow], predictor: FacePredictor) -> list[ReadFace]:
    crops = [cv2.cvtColor(read_picture(row.path), cv2.COLOR_RGB2GRAY) for row in rows]
    sized = [resize_crop(np.asarray(crop, np.uint8), predictor.crop_size) for crop in crops]
    outputs = predictor.predict([FaceSample(crop) for crop in sized])
    return [
        ReadFace(crop, EMOTIONS[row.index], np.exp(logs))
        for crop, row, logs in zip(sized, rows, outputs.log_probabilities_NC, strict=True)
    ]


def _of_recordings(config: SheetConfig, predictor: FacePredictor) -> list[list[ReadFace]]:
    """Return a row for each recording."""
    with FaceDetector(predictor.crop_size) as detector:
        return [list(_of_recording(path, detector, predictor, config.columns)) for path in config.recordings or ()]


def _of_recording(path: Path, detector: FaceDetector, predictor: FacePredictor, count: int) -> Iterator[ReadFace]:
    """Yield the largest face of frames spread over a recording. Its title has time (seconds) and sharpness."""
    example = Example(label=None, dataset=path.stem, split="test", path=path)
    for frame in frames_over(example, count):
        for face in detector.detect(frame.image, 1):
            outputs = predictor.predict([FaceSample(face.crop, face.landmarks)])
            sharp = face_quality(face.crop, face.box, face.score, face.landmarks)[SHARPNESS]
            title = f"{path.stem[:6]} {frame.time:.1f}s {sharp:.2f}"
            yield ReadFace(face.crop, title, np.exp(outputs.log_probabilities_NC[0]))
