"""`python -m ml evaluate`: the published models, as they are served, on anybody's labelled data."""

import csv
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ml.artifacts import ModelStore
from ml.errors import AffectError, ArtifactError, InvalidManifest, MediaInvalid
from ml.features.face import resized
from ml.inference.audio import TonePredictor
from ml.inference.bundle import pick_device
from ml.inference.face import FacePredictor
from ml.inference.pipeline import Analyser
from ml.inference.sound import pieces_of, waveform
from ml.inference.text import TextPredictor
from ml.inference.windows import Span
from ml.media import SAMPLE_RATE, Decoder, MediaLimits, probe
from ml.results import Options
from ml.training.metrics import Metrics, measure
from ml.vocabulary import EMOTIONS, Modality

Subject = Literal["face", "audio", "text", "fusion"]
Reading = NDArray[np.float64]
"""Probabilities [7]."""
BATCH = 64


@dataclass(frozen=True)
class Row:
    """One labelled file or sentence; the other is empty. `index`: the label's place in `EMOTIONS`."""

    index: int
    path: Path = Path()
    text: str = ""


def read_rows(manifest: Path, column: Literal["path", "text"]) -> list[Row]:
    """The rows of a CSV with the columns `column` and `label`; paths are relative to it.

    Raises InvalidManifest when it cannot be read, a column is missing, or a label is not of the vocabulary.
    """
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            found = csv.DictReader(file)
            if not {column, "label"} <= set(found.fieldnames or ()):
                raise InvalidManifest(f"{manifest.name} needs the columns {column} and label")
            return [_row(manifest, found.line_num, row, column) for row in found]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidManifest(f"{manifest} cannot be read: {error}") from error


def _row(manifest: Path, line: int, row: dict[str, str], column: Literal["path", "text"]) -> Row:
    label, content = row["label"], row[column]
    if label not in EMOTIONS:
        raise InvalidManifest(f"{manifest.name}, line {line}: the label {label!r} is none of {', '.join(EMOTIONS)}")
    if not content:
        raise InvalidManifest(f"{manifest.name}, line {line}: no {column}")
    index = EMOTIONS.index(label)
    return Row(index, text=content) if column == "text" else Row(index, path=manifest.parent / content)


@dataclass(frozen=True)
class Subjects:
    """Where the models lie, and which bundle names them. Each subject gives a reader."""

    store: Path
    bundle: str
    device: str = "auto"

    def reference(self, modality: Modality) -> str:
        """Raises ArtifactError when the bundle has no such model."""
        reference = ModelStore(self.store).bundle(self.bundle).models().get(modality)
        if reference is None:
            raise ArtifactError(f"the bundle {self.bundle} names no {modality} model")
        return reference

    def crops(self) -> "Reader":
        predictor = FacePredictor.load(ModelStore(self.store), self.reference("face"), pick_device(self.device))

        def read(rows: Sequence[Row]) -> list[Reading | None]:
            crops = [cv2.imread(str(row.path), cv2.IMREAD_GRAYSCALE) for row in rows]
            size = predictor.crop_size
            whole = [resized(np.asarray(crop, np.uint8), size) for crop in crops if crop is not None]
            found = iter(np.exp(predictor.predict(whole).log_probabilities_NC) if whole else ())
            return [None if crop is None else next(found) for crop in crops]

        return read

    def voices(self) -> "Reader":
        predictor = TonePredictor.load(ModelStore(self.store), self.reference("audio"), pick_device(self.device))
        return one_by_one(lambda path: _spoken(predictor, path))

    def sentences(self) -> "Reader":
        predictor = TextPredictor.load(ModelStore(self.store), self.reference("text"), pick_device(self.device))
        return lambda rows: list(np.exp(predictor.predict([row.text for row in rows]).log_probabilities_NC))

    def whole_files(self, options: Options) -> "Reader":
        analyser = Analyser.load(self.store, self.bundle, device=self.device)

        def read(path: Path) -> Reading | None:
            overall = analyser.analyse(path, options).overall
            return np.array([overall.probabilities[name] for name in EMOTIONS]) if overall.emotion else None

        return one_by_one(read)


Reader = Callable[[Sequence[Row]], list[Reading | None]]
"""Rows → the reading of each, null where there is nothing to read."""


def one_by_one(read: Callable[[Path], Reading | None]) -> Reader:
    """A reader of files. One that cannot be read is named on standard error."""

    def tried(row: Row) -> Reading | None:
        try:
            if not row.path.is_file():
                raise MediaInvalid("There is no such file.")
            return read(row.path)
        except AffectError as error:
            tqdm.write(f"skipped {row.path.name}: {error.message}", file=sys.stderr)
            return None

    return lambda rows: [tried(row) for row in rows]


def _spoken(predictor: TonePredictor, path: Path) -> Reading | None:
    """One utterance, all of it taken for speech; of a longer one than the model hears at once, the parts' mean."""
    limits = MediaLimits()
    info = probe(path, limits)
    if not info.has_audio:
        return None
    with (
        tempfile.TemporaryDirectory(prefix="affect-") as scratch,
        Decoder(path, info, frame_rate=None, want_audio=True, limits=limits, scratch=Path(scratch)) as decoder,
    ):
        pcm = decoder.pcm()
        whole = Span(0.0, len(pcm) / SAMPLE_RATE)
        pieces = [waveform(pcm, piece) for piece in pieces_of([whole], whole)]
    if not pieces:
        return None
    mean = np.exp(predictor.predict(pieces).log_probabilities_NC.mean(axis=0, dtype=np.float64))
    return np.asarray(mean / mean.sum())


def evaluate(subject: Subject, manifest: Path, subjects: Subjects, *, crops: bool = False) -> Metrics:
    """Measures one model of a bundle, or, as `fusion`, the whole pipeline by its answer for each file.

    `face`: pictures read as the service reads them, from the finding of the face on, or with `crops` crops already;
    `audio`: files of one utterance; `text`: sentences. What cannot be read, and pictures without a face, are `skipped`.
    Raises InvalidManifest, and ArtifactError for a model that is not there.
    """
    rows = read_rows(manifest, "text" if subject == "text" else "path")
    read = {
        "face": subjects.crops if crops else lambda: subjects.whole_files(Options(modalities=("face",))),
        "audio": subjects.voices,
        "text": subjects.sentences,
        "fusion": lambda: subjects.whole_files(Options()),
    }[subject]()
    readings: list[Reading | None] = []
    with tqdm(total=len(rows), desc=subject) as bar:
        for first in range(0, len(rows), BATCH):
            readings += read(rows[first : first + BATCH])
            bar.update(len(readings) - bar.n)
    kept = [(row.index, reading) for row, reading in zip(rows, readings, strict=True) if reading is not None]
    if not kept:
        raise InvalidManifest(f"nothing of {manifest.name} could be read")
    targets, probabilities = zip(*kept, strict=True)
    return measure(np.stack(probabilities), np.array(targets), EMOTIONS, skipped=len(rows) - len(kept))


def readable(metrics: Metrics) -> str:
    """Figures with their intervals, and the confusion matrix, for people."""
    lines = [f"n {metrics.n:,}, skipped {metrics.skipped:,}"]
    for name, (low, high) in metrics.intervals.items():
        lines.append(f"{name:9} {getattr(metrics, name):.4f}   95 % {low:.4f} – {high:.4f}")
    width = max(map(len, metrics.labels)) + 2
    lines += ["", "truth ↓ taken for →".ljust(width * 2) + "".join(label.rjust(width) for label in metrics.labels)]
    for label, row in zip(metrics.labels, metrics.confusion, strict=True):
        lines.append(label.ljust(width * 2) + "".join(str(count).rjust(width) for count in row))
    return "\n".join(lines)
