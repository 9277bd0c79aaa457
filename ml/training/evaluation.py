"""Evaluation of the published models, as they are served, on labelled data."""

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ml import results
from ml.errors import AffectError, InvalidManifest, MediaInvalid, ModelStoreError
from ml.inference.face.detector import FaceDetector
from ml.inference.face.observations import FaceCollector
from ml.inference.face.predictor import FacePredictor, FaceSample
from ml.inference.fusion.calibration import FusionCalibration, ReadingKind
from ml.inference.fusion.timeline import WindowInputs, build_timeline
from ml.inference.fusion.windows import windows_over
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.bundle import pick_device
from ml.inference.text.models import TextModels
from ml.inference.text.predictor import TextSample
from ml.inference.voice.predictor import VoicePredictor
from ml.inference.voice.segments import WindowVoice, predict_utterances
from ml.media import Decoder, DecodeRequest, MediaLimits, probe
from ml.networks.crops import resize_crop
from ml.registry import ModelStore
from ml.results import Options, Prior
from ml.training.datasets.example import Split
from ml.training.labelled_rows import LabelledRow, read_rows
from ml.training.metrics import FIGURES, Ablation, ClassificationMetrics, measure
from ml.training.pipeline_report import PipelineReport, read_piece
from ml.training.recipes.fusion import recipe
from ml.training.recipes.fusion.figures import FusionFigures
from ml.training.recipes.recipe import SUBJECTS, Subject
from ml.training.set_figures import SetFigures, figures_by_group
from ml.vocabulary import EMOTIONS, MODALITIES, Modality

Probabilities = NDArray[np.float64]
"""Probabilities [7] of one row."""
READ_BATCH_SIZE = 64
"""Rows passed to a reader at once."""


@dataclass(frozen=True)
class BundleReaders:
    """Readers of labelled rows, one for each subject, with the models of a bundle in a store.

    `prior`: of the whole pipeline; single models answer under the uniform one.
    """

    store: Path
    bundle: str
    device: str = "auto"
    prior: Prior = "natural"

    def reference(self, subject: Subject) -> str:
        """Return the model of the subject. Raises ModelStoreError if the bundle has none."""
        reference = ModelStore(self.store).bundle(self.bundle).models().get(subject)
        if reference is None:
            raise ModelStoreError(f"the bundle {self.bundle} names no {subject} model")
        return reference

    def reader(self, subject: Subject, *, crops: bool = False) -> "Reader":
        """Return a reader with one model of the bundle, or, for `fusion`, with the whole pipeline.

        `face` reads pictures and recordings as the service does, from face detection on, or face crops if `crops`;
        `audio` reads utterances, `text` sentences. Raises ModelStoreError if the model is missing.
        """
        readers: dict[Subject, Callable[[], Reader]] = {
            "face": self.crops if crops else self.faces,
            "audio": self.voices,
            "text": self.sentences,
            "fusion": lambda: self.whole_files(Options(prior=self.prior)),
        }
        return readers[subject]()

    def crops(self) -> "Reader":
        predictor = FacePredictor.load(ModelStore(self.store), self.reference("face"), pick_device(self.device))

        def read(rows: Sequence[LabelledRow]) -> list[Probabilities | None]:
            crops = [cv2.imread(str(row.path), cv2.IMREAD_GRAYSCALE) for row in rows]
            size = predictor.crop_size
            readable = [resize_crop(np.asarray(crop, np.uint8), size) for crop in crops if crop is not None]
            outputs = predictor.predict([FaceSample(crop) for crop in readable])
            probabilities = iter(np.exp(outputs.log_probabilities_NC))
            return [None if crop is None else next(probabilities) for crop in crops]

        return read

    def faces(self) -> "Reader":
        options = Options(modalities=("face",), prior="uniform")
        read_file = self._file_reader(options)
        return read_each_file(lambda row: _read_faces(self.analyzer, row, options) if row.is_piece else read_file(row))

    def voices(self) -> "Reader":
        predictor = VoicePredictor.load(ModelStore(self.store), self.reference("audio"), pick_device(self.device))
        return read_each_file(lambda row: _read_utterance(predictor, row))

    def sentences(self) -> "Reader":
        self.reference("text")
        store = ModelStore(self.store)
        models = TextModels.load(store, store.bundle(self.bundle), pick_device(self.device))

        def read(rows: Sequence[LabelledRow]) -> list[Probabilities | None]:
            readings = models.read([TextSample(row.text, row.before, row.language or None) for row in rows])
            return [np.exp(each.features.log_probabilities) if each else None for each in readings]

        return read

    def whole_files(self, options: Options) -> "Reader":
        return read_each_file(self._file_reader(options))

    def _file_reader(self, options: Options) -> "Callable[[LabelledRow], Probabilities | None]":
        analyzer = self.analyzer
        return lambda row: _probabilities(analyzer.analyze(row.path, options).overall)

    @cached_property
    def analyzer(self) -> Analyzer:
        return Analyzer.load(self.store, self.bundle, device=self.device)

    def label_sets(self, subject: Subject, readings: "Readings") -> dict[str, SetFigures]:
        """Return the figures of `labels_90` of all rows and of each corpus; empty if the bundle's fusion has none.

        Models by themselves answer under the uniform prior. Pictures are read as the face model answers, voices and
        words without the prior of their model.
        """
        reference = ModelStore(self.store).bundle(self.bundle).fusion
        if reference is None:
            return {}
        calibration = FusionCalibration.of(ModelStore(self.store).manifest(reference))
        kinds: dict[Subject, ReadingKind] = {"face": "picture", "audio": "audio", "text": "text", "fusion": "combined"}
        threshold = calibration.under(self.prior if subject == "fusion" else "uniform").label_sums.get(kinds[subject])
        if threshold is None:
            return {}
        probabilities_NC = readings.probabilities_NC
        if subject in ("audio", "text"):
            logs_NC = np.log(np.maximum(probabilities_NC, 1e-12)).astype(np.float32)
            probabilities_NC = np.exp(calibration.evidence(subject, logs_NC)).astype(np.float64)
        return figures_by_group(readings.rows, lambda row: row.corpus, probabilities_NC, readings.targets_N, threshold)


Reader = Callable[[Sequence[LabelledRow]], list[Probabilities | None]]
"""Function from rows to the probabilities of each; None for a row with nothing to read."""


def read_each_file(read: Callable[[LabelledRow], Probabilities | None]) -> Reader:
    """Return a reader of single files. Files that cannot be read are named on standard error."""

    def read_or_skip(row: LabelledRow) -> Probabilities | None:
        try:
            if not row.path.is_file():
                raise MediaInvalid("There is no such file.")
            return read(row)
        except AffectError as error:
            tqdm.write(f"skipped {row.path.name}: {error.message}", file=sys.stderr)
            return None

    return lambda rows: [read_or_skip(row) for row in rows]


def _probabilities(overall: results.Reading) -> Probabilities | None:
    return np.array([overall.probabilities[name] for name in EMOTIONS]) if overall.emotion else None


@contextmanager
def _decoder(row: LabelledRow, frame_rate: float | None = None) -> Iterator[Decoder]:
    """Open the decoder of a file or its piece: for its frames if there is a frame rate, else for its sound."""
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


def _read_faces(analyzer: Analyzer, row: LabelledRow, options: Options) -> Probabilities | None:
    """Read the faces of a piece of a recording as the service would read a whole recording."""
    models = analyzer.models
    if models.face is None:
        return None
    with _decoder(row, options.frame_rate) as decoder, FaceDetector(models.face.crop_size) as detector:
        collector = FaceCollector(detector, models.face, options.max_faces, options.landmarks)
        for frame in decoder.frames():
            collector.add(frame.time - row.start, frame.image, decoder.scale)
        faces, seconds = collector.result(), decoder.position - row.start
    windows = windows_over(seconds, options.window_seconds, options.hop_seconds)
    parts = [WindowInputs(window, WindowVoice(0.0, None), "") for window in windows]
    return _probabilities(build_timeline(faces, parts, models.fusion, options).overall)


def _read_utterance(predictor: VoicePredictor, row: LabelledRow) -> Probabilities | None:
    """Read one utterance, all of which counts as speech."""
    with _decoder(row) as decoder:
        (reading,) = predict_utterances(predictor, [decoder.pcm()])
    if reading is None:
        return None
    probabilities = np.exp(reading.log_probabilities.astype(np.float64))
    return np.asarray(probabilities / probabilities.sum())


@dataclass(frozen=True)
class Readings:
    """Rows that were read, with their probabilities [N, 7]. `skipped`: number of rows that could not be read."""

    rows: list[LabelledRow]
    probabilities_NC: NDArray[np.float64]
    skipped: int

    @classmethod
    def from_rows(
        cls, rows: Sequence[LabelledRow], readings: Sequence[Probabilities | None], skipped: int = 0
    ) -> "Readings":
        """Return the readings of rows, of which at least one was read. `skipped`: rows that were skipped earlier."""
        read = [(row, reading) for row, reading in zip(rows, readings, strict=True) if reading is not None]
        return cls(
            [row for row, _ in read], np.stack([reading for _, reading in read]), skipped + len(rows) - len(read)
        )

    def measured(self) -> ClassificationMetrics:
        return measure(self.probabilities_NC, self.targets_N, EMOTIONS, skipped=self.skipped)

    def by(self, group: Callable[[LabelledRow], str]) -> dict[str, ClassificationMetrics]:
        """Return the figures of each group that has a name."""
        names = np.array([group(row) for row in self.rows])
        chosen = {name: names == name for name in sorted(set(names.tolist()) - {""})}
        return {
            name: measure(self.probabilities_NC[rows], self.targets_N[rows], EMOTIONS) for name, rows in chosen.items()
        }

    @property
    def targets_N(self) -> NDArray[np.int64]:
        return np.array([row.index for row in self.rows])


@dataclass(frozen=True)
class EvaluationReport:
    """Figures of all rows, of each corpus, gender and language, of ablations, and of composed clips.

    `splits`: number of rows by split; `sets`: figures of `labels_90` of all rows and of each corpus.
    """

    whole: ClassificationMetrics
    ablation: Ablation | None = None
    composed: FusionFigures | None = None
    corpora: dict[str, ClassificationMetrics] = field(default_factory=dict)
    genders: dict[str, ClassificationMetrics] = field(default_factory=dict)
    languages: dict[str, ClassificationMetrics] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    sets: dict[str, SetFigures] = field(default_factory=dict)

    @classmethod
    def from_readings(
        cls, readings: Readings, ablation: Ablation | None = None, sets: dict[str, SetFigures] | None = None
    ) -> "EvaluationReport":
        corpora, genders = readings.by(lambda row: row.corpus), readings.by(lambda row: row.gender)
        splits = Counter(row.split for row in readings.rows if row.split)
        several = corpora if len(corpora) > 1 else {}
        return cls(
            readings.measured(),
            ablation,
            corpora=several,
            genders=genders,
            languages=readings.by(lambda row: row.language),
            splits=dict(splits),
            sets=sets or {},
        )

    @classmethod
    def from_composed(cls, figures: FusionFigures) -> "EvaluationReport":
        """Return the report of composed clips, of which the whole is all clips under the uniform prior."""
        return cls(figures.rows["clips"].metrics, composed=figures)

    @property
    def parts(self) -> dict[str, dict[str, ClassificationMetrics]]:
        """Groups with figures."""
        named = {"corpora": self.corpora, "genders": self.genders, "languages": self.languages}
        if self.ablation:
            together = {"all": self.ablation.whole}
            named |= {"together": together, "without": self.ablation.without, "alone": self.ablation.alone}
        return {name: groups for name, groups in named.items() if groups}

    def json(self) -> dict[str, Any]:
        parts = {name: {key: part.json() for key, part in groups.items()} for name, groups in self.parts.items()}
        composed = {"composed": self.composed.json()} if self.composed else {}
        sets = {"labels_90": {name: own.json() for name, own in self.sets.items()}} if self.sets else {}
        means = {"mean_of_languages": self.mean_of_languages} if self.languages else {}
        splits = {"splits": self.splits} if self.splits else {}
        return {**self.whole.json(), **splits, **sets, **composed, **parts, **means}

    @property
    def mean_of_languages(self) -> dict[str, float]:
        """Means of the figures over the languages, each with the same weight."""
        return {figure: float(np.mean([getattr(own, figure) for own in self.languages.values()])) for figure in FIGURES}


def evaluate(
    subject: Subject,
    manifest: Path,
    models: BundleReaders,
    *,
    crops: bool = False,
    ablate: bool = False,
    splits: Collection[Split] = (),
) -> EvaluationReport:
    """Return the figures of a subject on a manifest, or on some of its splits.

    With `ablate`, `fusion` is also evaluated without each modality and with each alone. Raises InvalidManifest if
    nothing can be read, or if the manifest of the whole pipeline has pieces of files.
    """
    listed = read_rows(manifest, "text" if subject == "text" else "path", splits)
    rows = [row for row in listed if row is not None]
    if subject == "fusion" and any(row.is_piece for row in rows):
        raise InvalidManifest(
            f"{manifest.name} lists pieces of files (start, end); the whole pipeline reads whole files"
        )
    readings = _read(models.reader(subject, crops=crops), rows, subject)
    if not _any(readings):
        raise InvalidManifest(f"nothing of {manifest.name} could be read")
    ablation = _ablate(rows, readings, models) if ablate and subject == "fusion" else None
    found = Readings.from_rows(rows, readings, skipped=len(listed) - len(rows))
    return EvaluationReport.from_readings(found, ablation, models.label_sets(subject, found))


def evaluate_composed(
    data: Path, models: BundleReaders, cache: Path, voice_folds: Path | None = None
) -> EvaluationReport:
    """Return the figures of the bundle's fusion on the composed clips that `publish fusion` uses.

    `data`: folder of collected data; `cache`: folder of cached predictions; `voice_folds`: as `train fusion` takes it.
    Raises ModelStoreError if the bundle lacks
    a model, and InvalidManifest if clips cannot be composed.
    """
    for subject in SUBJECTS:
        models.reference(subject)
    store = ModelStore(models.store)
    bundle = store.bundle(models.bundle)
    return EvaluationReport.from_composed(recipe.measure_published(data, store, bundle, cache, voice_folds))


def evaluate_pipeline(
    manifest: Path, models: BundleReaders, options: Options, splits: Collection[Split] = ()
) -> PipelineReport:
    """Return the figures of the whole pipeline on files or pieces of them, of which some may have no label.

    Raises InvalidManifest if nothing can be read.
    """
    listed = read_rows(manifest, "path", splits, all_labelled=False)
    rows = [row for row in listed if row is not None]
    files = list(dict.fromkeys(row.path for row in rows))
    analyzer, results_of = models.analyzer, dict[Path, results.Result]()
    for path in tqdm(files, "pipeline"):
        try:
            if not path.is_file():
                raise MediaInvalid("There is no such file.")
            analyzed = analyzer.analyze(path, options)
            results_of[path] = analyzed.model_copy(update={"faces": (), "channels": None})
        except AffectError as error:
            tqdm.write(f"skipped {path.name}: {error.message}", file=sys.stderr)
    pieces = [read_piece(row, results_of[row.path]) for row in rows if row.path in results_of]
    found = [piece for piece in pieces if piece is not None]
    if not found:
        raise InvalidManifest(f"nothing of {manifest.name} could be read")
    threshold = analyzer.models.fusion.threshold("combined", options.prior)
    return PipelineReport.of(found, len(listed) - len(found), threshold)


def _read(read: Reader, rows: Sequence[LabelledRow], title: str) -> list[Probabilities | None]:
    readings: list[Probabilities | None] = []
    with tqdm(total=len(rows), desc=title) as bar:
        for first in range(0, len(rows), READ_BATCH_SIZE):
            readings += read(rows[first : first + READ_BATCH_SIZE])
            bar.update(len(readings) - bar.n)
    return readings


def _any(readings: Sequence[Probabilities | None]) -> bool:
    return any(reading is not None for reading in readings)


def _ablate(rows: Sequence[LabelledRow], whole: list[Probabilities | None], models: BundleReaders) -> Ablation | None:
    """Return the ablation on the rows that could be read in every way; None without any.

    Ways in which no row could be read are left out.
    """
    without = {taken: tuple(name for name in MODALITIES if name != taken) for taken in MODALITIES}
    alone = {name: (name,) for name in MODALITIES}
    by_modalities = {MODALITIES: whole}
    for left in (*without.values(), *alone.values()):
        readings = _read(models.whole_files(Options(modalities=left, prior=models.prior)), rows, " and ".join(left))
        if _any(readings):
            by_modalities[left] = readings
    common = [all(reading is not None for reading in row) for row in zip(*by_modalities.values(), strict=True)]
    if not any(common):
        tqdm.write("no row could be read in every way: the ablation is left out", file=sys.stderr)
        return None

    def measured(left: tuple[Modality, ...]) -> ClassificationMetrics:
        shared = [reading if both else None for reading, both in zip(by_modalities[left], common, strict=True)]
        return Readings.from_rows(rows, shared).measured()

    return Ablation(
        measured(MODALITIES),
        {taken: measured(left) for taken, left in without.items() if left in by_modalities},
        {name: measured(left) for name, left in alone.items() if left in by_modalities},
    )
