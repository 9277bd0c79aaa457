"""The published models, as they are served, measured on anybody's labelled data."""

import csv
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

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
from ml.training.recipes.recipe import Subject
from ml.vocabulary import EMOTIONS, MODALITIES, Modality

Reading = NDArray[np.float64]
"""Probabilities [7]."""
BATCH = 64


@dataclass(frozen=True)
class Row:
    """One labelled file or sentence; the other is empty. `index`: the label's place in `EMOTIONS`; `corpus` and
    `gender` where the manifest tells them."""

    index: int
    path: Path = Path()
    text: str = ""
    corpus: str = ""
    gender: str = ""


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
    named = Row(
        EMOTIONS.index(label), corpus=row.get("dataset") or row.get("source") or "", gender=row.get("gender") or ""
    )
    return replace(named, text=content) if column == "text" else replace(named, path=manifest.parent / content)


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


@dataclass(frozen=True)
class Readings:
    """What was read: rows and probabilities [N, 7] of them. `skipped`: rows that could not be."""

    rows: list[Row]
    probabilities_NC: NDArray[np.float64]
    skipped: int

    def measured(self) -> Metrics:
        return measure(self.probabilities_NC, self._targets, EMOTIONS, skipped=self.skipped)

    def by(self, group: Callable[[Row], str]) -> dict[str, Metrics]:
        """Figures of each group that has a name."""
        names = np.array([group(row) for row in self.rows])
        chosen = {name: names == name for name in sorted(set(names.tolist()) - {""})}
        return {
            name: measure(self.probabilities_NC[rows], self._targets[rows], EMOTIONS) for name, rows in chosen.items()
        }

    @property
    def _targets(self) -> NDArray[np.int64]:
        return np.array([row.index for row in self.rows])


@dataclass(frozen=True)
class Report:
    """Figures of all, of each corpus and gender that the manifest names, and with modalities taken away."""

    whole: Metrics
    corpora: dict[str, Metrics] = field(default_factory=dict)
    genders: dict[str, Metrics] = field(default_factory=dict)
    without: dict[str, Metrics] = field(default_factory=dict)

    @classmethod
    def of(cls, readings: Readings, without: dict[str, Metrics] | None = None) -> "Report":
        corpora, genders = readings.by(lambda row: row.corpus), readings.by(lambda row: row.gender)
        return cls(readings.measured(), corpora if len(corpora) > 1 else {}, genders, without or {})

    @property
    def parts(self) -> dict[str, dict[str, Metrics]]:
        """The groups that there are."""
        named = {"corpora": self.corpora, "genders": self.genders, "without": self.without}
        return {name: found for name, found in named.items() if found}

    def json(self) -> dict[str, Any]:
        parts = {name: {key: part.json() for key, part in found.items()} for name, found in self.parts.items()}
        return {**self.whole.json(), **parts}


def read_all(
    subject: Subject, manifest: Path, subjects: Subjects, *, crops: bool = False, options: Options | None = None
) -> Readings:
    """Reads with one model of a bundle, or, as `fusion`, with the whole pipeline, whose answer for each file counts.

    `face`: pictures read as the service reads them, from the finding of the face on, or with `crops` crops already;
    `audio`: files of one utterance; `text`: sentences. `options`: of the pipeline. Raises InvalidManifest when nothing
    can be read, and ArtifactError for a model that is not there.
    """
    rows = read_rows(manifest, "text" if subject == "text" else "path")
    read = {
        "face": subjects.crops if crops else lambda: subjects.whole_files(Options(modalities=("face",))),
        "audio": subjects.voices,
        "text": subjects.sentences,
        "fusion": lambda: subjects.whole_files(options or Options()),
    }[subject]()
    readings: list[Reading | None] = []
    with tqdm(total=len(rows), desc=subject) as bar:
        for first in range(0, len(rows), BATCH):
            readings += read(rows[first : first + BATCH])
            bar.update(len(readings) - bar.n)
    kept = [(row, reading) for row, reading in zip(rows, readings, strict=True) if reading is not None]
    if not kept:
        raise InvalidManifest(f"nothing of {manifest.name} could be read")
    told, probabilities = zip(*kept, strict=True)
    return Readings(list(told), np.stack(probabilities), len(rows) - len(kept))


def evaluate(
    subject: Subject, manifest: Path, subjects: Subjects, *, crops: bool = False, ablate: bool = False
) -> Report:
    """Figures as `read_all` reads. With `ablate`, `fusion` is measured with each modality taken away, too."""
    readings = read_all(subject, manifest, subjects, crops=crops)
    without: dict[str, Metrics] = {}
    for modality in MODALITIES if ablate and subject == "fusion" else ():
        left = Options(modalities=tuple(name for name in MODALITIES if name != modality))
        with suppress(InvalidManifest):  # nothing is left to be read
            without[modality] = read_all(subject, manifest, subjects, options=left).measured()
    return Report.of(readings, without)


def readable(report: Report) -> str:
    """Figures with their intervals, those of the groups, and the confusion matrix, for people."""
    metrics = report.whole
    lines = [f"n {metrics.n:,}, skipped {metrics.skipped:,}"]
    for name, (low, high) in metrics.intervals.items():
        lines.append(f"{name:9} {getattr(metrics, name):.4f}   95 % {low:.4f} – {high:.4f}")
    for part, found in report.parts.items():
        lines += ["", part]
        lines += [
            f"  {name:16} n {own.n:>6,}   accuracy {own.accuracy:.4f}   macro-F1 {own.macro_f1:.4f}   UAR {own.uar:.4f}"
            for name, own in found.items()
        ]
    width = max(map(len, metrics.labels)) + 2
    lines += ["", "truth ↓ taken for →".ljust(width * 2) + "".join(label.rjust(width) for label in metrics.labels)]
    for label, row in zip(metrics.labels, metrics.confusion, strict=True):
        lines.append(label.ljust(width * 2) + "".join(str(count).rjust(width) for count in row))
    return "\n".join(lines)
