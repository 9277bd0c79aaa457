"""The published models, as they are served, measured on anybody's labelled data."""

import csv
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ml import results
from ml.errors import AffectError, InvalidManifest, MediaInvalid, ModelStoreError
from ml.inference.face.detector import FaceDetector
from ml.inference.face.observations import FaceCollector
from ml.inference.face.predictor import FacePredictor, FaceSample
from ml.inference.fusion.timeline import WindowInputs, build_timeline
from ml.inference.fusion.windows import windows_over
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.bundle import pick_device
from ml.inference.text.predictor import TextPredictor, TextSample
from ml.inference.voice.predictor import VoicePredictor
from ml.inference.voice.segments import WindowVoice, predict_utterances
from ml.media import Decoder, DecodeRequest, MediaLimits, probe
from ml.networks.crops import resized
from ml.registry import ModelStore
from ml.results import Options
from ml.training.datasets.example import Split
from ml.training.metrics import FIGURES, Ablation, Metrics, measure
from ml.training.recipes.fusion import recipe
from ml.training.recipes.recipe import SUBJECTS, Subject
from ml.vocabulary import EMOTIONS, MODALITIES, Modality

Reading = NDArray[np.float64]
"""Probabilities [7]."""
EVAL_BATCH_SIZE = 64
GROUP_FIGURES = ("accuracy", "macro_f1", "uar", "ece")
"""What is told of a group."""


@dataclass(frozen=True)
class Row:
    """One labelled file, piece of a file, or sentence; `path` or `text` is empty. `index`: the label's place in
    `EMOTIONS`; `before` (what was said before a sentence), `corpus`, `gender` and `split` where the manifest tells
    them; `start` and `end`: seconds of a piece."""

    index: int
    path: Path = Path()
    text: str = ""
    before: str = ""
    corpus: str = ""
    gender: str = ""
    split: str = ""
    start: float = 0.0
    end: float | None = None

    @property
    def is_piece(self) -> bool:
        return self.start > 0 or self.end is not None


def read_rows(manifest: Path, column: Literal["path", "text"], splits: Collection[Split] = ()) -> list[Row | None]:
    """The rows of a CSV with the columns `column` and `label`, of some splits alone where these are told; null for a
    sentence that has not one label. Paths are relative to the manifest.

    Raises InvalidManifest when it cannot be read, a column is missing, a label is not of the vocabulary, or no row is
    of the splits.
    """
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            found = csv.DictReader(file)
            if not {column, "label"} <= set(found.fieldnames or ()):
                raise InvalidManifest(f"{manifest.name} needs the columns {column} and label")
            rows = [
                _row(manifest, found.line_num, row, column) for row in found if not splits or row.get("split") in splits
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidManifest(f"{manifest} cannot be read: {error}") from error
    if splits and not rows:
        raise InvalidManifest(f"no row of {manifest.name} has the split {' or '.join(splits)}")
    return rows


def _row(manifest: Path, line: int, row: dict[str, str], column: Literal["path", "text"]) -> Row | None:
    label, content = row["label"], row[column]
    try:
        if column == "text" and not _one_label(row):
            return None
        start, end = _piece(row) if column == "path" else (0.0, None)
    except ValueError as error:
        raise InvalidManifest(f"{manifest.name}, line {line}: {error}") from error
    if label not in EMOTIONS:
        raise InvalidManifest(f"{manifest.name}, line {line}: the label {label!r} is none of {', '.join(EMOTIONS)}")
    if not content:
        raise InvalidManifest(f"{manifest.name}, line {line}: no {column}")
    return Row(
        EMOTIONS.index(label),
        path=manifest.parent / content if column == "path" else Path(),
        text=content if column == "text" else "",
        before=row.get("before") or "",
        corpus=row.get("dataset") or row.get("source") or "",
        gender=row.get("gender") or "",
        split=row.get("split") or "",
        start=start,
        end=end,
    )


def _one_label(row: Mapping[str, str]) -> bool:
    """Whether a sentence is neither labelled in several ways nor by a sentiment alone. Raises ValueError."""
    shares = (row.get("target") or "").split()
    if shares:
        return max(map(float, shares)) == 1
    return bool(row["label"] or not row.get("sentiment"))


def _piece(row: Mapping[str, str]) -> tuple[float, float | None]:
    """Start and end in seconds; null where the end is that of the file. Raises ValueError."""
    start = float(row.get("start") or 0)
    end = float(row["end"]) if row.get("end") else None
    if not 0 <= start < (math.inf if end is None else end):
        raise ValueError(f"there is nothing from {start:g} to {end} seconds")
    return start, end


@dataclass(frozen=True)
class Subjects:
    """Where the models lie, and which bundle names them. Each subject gives a reader."""

    store: Path
    bundle: str
    device: str = "auto"

    def reference(self, subject: Subject) -> str:
        """Raises ModelStoreError when the bundle has no such model."""
        reference = ModelStore(self.store).bundle(self.bundle).models().get(subject)
        if reference is None:
            raise ModelStoreError(f"the bundle {self.bundle} names no {subject} model")
        return reference

    def reader(self, subject: Subject, *, crops: bool = False) -> "Reader":
        """Reads with one model of the bundle, or, as `fusion`, with the whole pipeline, whose answer for each file
        counts.

        `face`: pictures and recordings read as the service reads them, from the finding of the face on, or with `crops`
        crops already; `audio`: utterances; `text`: sentences. Raises ModelStoreError for a model that is not there.
        """
        readers: dict[Subject, Callable[[], Reader]] = {
            "face": self.crops if crops else self.faces,
            "audio": self.voices,
            "text": self.sentences,
            "fusion": lambda: self.whole_files(Options()),
        }
        return readers[subject]()

    def crops(self) -> "Reader":
        predictor = FacePredictor.load(ModelStore(self.store), self.reference("face"), pick_device(self.device))

        def read(rows: Sequence[Row]) -> list[Reading | None]:
            crops = [cv2.imread(str(row.path), cv2.IMREAD_GRAYSCALE) for row in rows]
            size = predictor.crop_size
            whole = [resized(np.asarray(crop, np.uint8), size) for crop in crops if crop is not None]
            outputs = predictor.predict([FaceSample(crop) for crop in whole])
            found = iter(np.exp(outputs.log_probabilities_NC))
            return [None if crop is None else next(found) for crop in crops]

        return read

    def faces(self) -> "Reader":
        options = Options(modalities=("face",))
        whole = self._whole_file(options)
        return one_by_one(lambda row: _seen(self._analyzer, row, options) if row.is_piece else whole(row))

    def voices(self) -> "Reader":
        predictor = VoicePredictor.load(ModelStore(self.store), self.reference("audio"), pick_device(self.device))
        return one_by_one(lambda row: _spoken(predictor, row))

    def sentences(self) -> "Reader":
        predictor = TextPredictor.load(ModelStore(self.store), self.reference("text"), pick_device(self.device))

        def read(rows: Sequence[Row]) -> list[Reading | None]:
            found = predictor.predict([TextSample(row.text, row.before) for row in rows])
            return list(np.exp(found.log_probabilities_NC))

        return read

    def whole_files(self, options: Options) -> "Reader":
        return one_by_one(self._whole_file(options))

    def _whole_file(self, options: Options) -> "Callable[[Row], Reading | None]":
        analyzer = self._analyzer
        return lambda row: _told(analyzer.analyze(row.path, options).overall)

    @cached_property
    def _analyzer(self) -> Analyzer:
        return Analyzer.load(self.store, self.bundle, device=self.device)


Reader = Callable[[Sequence[Row]], list[Reading | None]]
"""Rows → the reading of each, null where there is nothing to read."""


def one_by_one(read: Callable[[Row], Reading | None]) -> Reader:
    """A reader of files. One that cannot be read is named on standard error."""

    def tried(row: Row) -> Reading | None:
        try:
            if not row.path.is_file():
                raise MediaInvalid("There is no such file.")
            return read(row)
        except AffectError as error:
            tqdm.write(f"skipped {row.path.name}: {error.message}", file=sys.stderr)
            return None

    return lambda rows: [tried(row) for row in rows]


def _told(overall: results.Reading) -> Reading | None:
    return np.array([overall.probabilities[name] for name in EMOTIONS]) if overall.emotion else None


@contextmanager
def _decoder(row: Row, frame_rate: float | None = None) -> Iterator[Decoder]:
    """Of a file or its piece: of the picture where a frame rate is told, else of the sound."""
    limits = MediaLimits()
    info = probe(row.path, limits)
    with (
        tempfile.TemporaryDirectory(prefix="affect-") as scratch,
        Decoder(
            row.path,
            info,
            DecodeRequest(frame_rate, audio=frame_rate is None, start=row.start, end=row.end),
            limits=limits,
            scratch=Path(scratch),
        ) as decoder,
    ):
        yield decoder


def _seen(analyzer: Analyzer, row: Row, options: Options) -> Reading | None:
    """The faces of a piece of a recording, read as the service would read them if it were the whole."""
    models = analyzer.models
    if models.face is None:
        return None
    with _decoder(row, options.frame_rate) as decoder, FaceDetector(models.face.crop_size) as detector:
        watcher = FaceCollector(detector, models.face, options.max_faces, options.landmarks)
        for frame in decoder.frames():
            watcher.add(frame.time - row.start, frame.image, decoder.scale)
        sight, seconds = watcher.result(), decoder.position - row.start
    windows = windows_over(seconds, options.window_seconds, options.hop_seconds)
    parts = [WindowInputs(window, WindowVoice(0.0, None), "") for window in windows]
    return _told(build_timeline(sight, parts, models.fusion, options).overall)


def _spoken(predictor: VoicePredictor, row: Row) -> Reading | None:
    """One utterance, all of it taken for speech."""
    with _decoder(row) as decoder:
        (tone,) = predict_utterances(predictor, [decoder.pcm()])
    if tone is None:
        return None
    probabilities = np.exp(tone.log_probabilities.astype(np.float64))
    return np.asarray(probabilities / probabilities.sum())


@dataclass(frozen=True)
class Readings:
    """What was read: rows and probabilities [N, 7] of them. `skipped`: rows that could not be."""

    rows: list[Row]
    probabilities_NC: NDArray[np.float64]
    skipped: int

    @classmethod
    def of(cls, rows: Sequence[Row], readings: Sequence[Reading | None], skipped: int = 0) -> "Readings":
        """Of rows of which at least one was read. `skipped`: others before them."""
        told = [(row, reading) for row, reading in zip(rows, readings, strict=True) if reading is not None]
        return cls(
            [row for row, _ in told], np.stack([reading for _, reading in told]), skipped + len(rows) - len(told)
        )

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
    """Figures of all, of each corpus and gender that the manifest names, and with modalities taken away. `splits`: how
    many rows of each that it names were measured."""

    whole: Metrics
    ablation: Ablation | None = None
    corpora: dict[str, Metrics] = field(default_factory=dict)
    genders: dict[str, Metrics] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, readings: Readings, ablation: Ablation | None = None) -> "Report":
        corpora, genders = readings.by(lambda row: row.corpus), readings.by(lambda row: row.gender)
        splits = Counter(row.split for row in readings.rows if row.split)
        return cls(readings.measured(), ablation, corpora if len(corpora) > 1 else {}, genders, dict(splits))

    @property
    def parts(self) -> dict[str, dict[str, Metrics]]:
        """The groups that there are."""
        named = {"corpora": self.corpora, "genders": self.genders}
        if self.ablation:
            together = {"all": self.ablation.whole}
            named |= {"together": together, "without": self.ablation.without, "alone": self.ablation.alone}
        return {name: found for name, found in named.items() if found}

    def json(self) -> dict[str, Any]:
        parts = {name: {key: part.json() for key, part in found.items()} for name, found in self.parts.items()}
        return {**self.whole.json(), **({"splits": self.splits} if self.splits else {}), **parts}


def evaluate(
    subject: Subject,
    manifest: Path,
    subjects: Subjects,
    *,
    crops: bool = False,
    ablate: bool = False,
    splits: Collection[Split] = (),
) -> Report:
    """Figures of what `Subjects.reader` reads of a manifest, or of some of its splits. With `ablate`, `fusion` is
    measured with each modality taken away and with each alone, too.

    Raises InvalidManifest when nothing can be read, or when the whole pipeline would have to read pieces of files.
    """
    listed = read_rows(manifest, "text" if subject == "text" else "path", splits)
    rows = [row for row in listed if row is not None]
    if subject == "fusion" and any(row.is_piece for row in rows):
        raise InvalidManifest(
            f"{manifest.name} lists pieces of files (start, end); the whole pipeline reads whole files"
        )
    readings = _read(subjects.reader(subject, crops=crops), rows, subject)
    if not _any(readings):
        raise InvalidManifest(f"nothing of {manifest.name} could be read")
    ablation = _ablated(rows, readings, subjects) if ablate and subject == "fusion" else None
    return Report.of(Readings.of(rows, readings, skipped=len(listed) - len(rows)), ablation)


def evaluate_composed(data: Path, subjects: Subjects, cache: Path) -> Report:
    """Figures of the bundle's fusion, with each modality taken away and each alone, on the clips that `publish fusion`
    measures on. `data`: a folder of collected data; `cache`: keeps what its pieces were read as.

    Raises ModelStoreError when the bundle lacks a model, and InvalidManifest when clips cannot be composed.
    """
    for subject in SUBJECTS:
        subjects.reference(subject)
    store = ModelStore(subjects.store)
    return Report(*recipe.measure_published(data, store, store.bundle(subjects.bundle), cache))


def _read(read: Reader, rows: Sequence[Row], told: str) -> list[Reading | None]:
    readings: list[Reading | None] = []
    with tqdm(total=len(rows), desc=told) as bar:
        for first in range(0, len(rows), EVAL_BATCH_SIZE):
            readings += read(rows[first : first + EVAL_BATCH_SIZE])
            bar.update(len(readings) - bar.n)
    return readings


def _any(readings: Sequence[Reading | None]) -> bool:
    return any(reading is not None for reading in readings)


def _ablated(rows: Sequence[Row], whole: list[Reading | None], subjects: Subjects) -> Ablation | None:
    """Measured on the rows that could be read in every way in which any could; null where there are none."""
    without = {taken: tuple(name for name in MODALITIES if name != taken) for taken in MODALITIES}
    alone = {name: (name,) for name in MODALITIES}
    told = {MODALITIES: whole}
    for left in (*without.values(), *alone.values()):
        readings = _read(subjects.whole_files(Options(modalities=left)), rows, " and ".join(left))
        if _any(readings):
            told[left] = readings
    common = [all(reading is not None for reading in row) for row in zip(*told.values(), strict=True)]
    if not any(common):
        tqdm.write("no row could be read in every way: modalities are not compared", file=sys.stderr)
        return None

    def measured(left: tuple[Modality, ...]) -> Metrics:
        shared = [reading if both else None for reading, both in zip(told[left], common, strict=True)]
        return Readings.of(rows, shared).measured()

    return Ablation(
        measured(MODALITIES),
        {taken: measured(left) for taken, left in without.items() if left in told},
        {name: measured(left) for name, left in alone.items() if left in told},
    )


def readable(report: Report) -> str:
    """Figures with their intervals, those of the groups, and the confusion matrix, for people."""
    metrics = report.whole
    splits = "".join(f", {name} {count:,}" for name, count in report.splits.items())
    lines = [f"n {metrics.n:,}, skipped {metrics.skipped:,}" + splits]
    for name in FIGURES:
        low, high = metrics.intervals[name]
        lines.append(f"{name:11} {getattr(metrics, name):.4f}   95 % {low:.4f} – {high:.4f}")
    for part, found in report.parts.items():
        lines += ["", _line(part, "n", GROUP_FIGURES)]
        lines += [
            _line(f"  {name}", f"{own.n:,}", [_cell(own, key) for key in GROUP_FIGURES]) for name, own in found.items()
        ]
    width = max(map(len, metrics.labels)) + 2
    lines += ["", "truth ↓ taken for →".ljust(width * 2) + "".join(label.rjust(width) for label in metrics.labels)]
    for label, row in zip(metrics.labels, metrics.confusion, strict=True):
        lines.append(label.ljust(width * 2) + "".join(str(count).rjust(width) for count in row))
    return "\n".join(lines)


def _line(name: str, count: str, cells: Sequence[str]) -> str:
    return f"{name:18} {count:>7}" + "".join(f"   {cell:19}" for cell in cells).rstrip()


def _cell(metrics: Metrics, figure: str) -> str:
    low, high = metrics.intervals[figure]
    return f"{getattr(metrics, figure):.3f} [{low:.3f}–{high:.3f}]"
