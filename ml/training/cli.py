"""`python -m ml train|calibrate|publish|rollback|evaluate`: train models, publish them, and measure them."""

import argparse
import json
import logging
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ml.errors import InvalidManifest
from ml.inference.pipeline.bundle import pick_device
from ml.paths import MODEL_STORE
from ml.registry import Bundle, ModelStore
from ml.results import Options, Prior
from ml.training import evaluation
from ml.training.calibration import Calibration, calibrate, fingerprint
from ml.training.config import TrainConfig
from ml.training.cross_validation import CORPORA_FILE, evaluate_folds, evaluate_left_out_corpora
from ml.training.cross_validation import FILE as FOLDS_FILE
from ml.training.datasets.example import Split
from ml.training.details import (
    burst_folds,
    identity_figures,
    movement_figures,
    publish_detail,
    train_detail,
    write_figures,
)
from ml.training.dimension_figures import dimension_figures, dimension_table
from ml.training.loop import CHECKPOINT, HISTORY, fit
from ml.training.options import add_options, bind, from_args, option
from ml.training.people.report import PeopleTrial, measure_people
from ml.training.people.report import readable as readable_people
from ml.training.plots import write_confusion, write_reliability
from ml.training.recipes import recipe
from ml.training.recipes.bursts.figures import burst_table
from ml.training.recipes.movements.figures import difference_table
from ml.training.recipes.recipe import DETAIL_MODULES, SUBJECTS, Detail, OutOfFold, Recipe, Subject
from ml.training.report_text import readable, readable_pipeline
from ml.training.speech_figures import Codec, SpeechFinder, SpeechTrial, measure_speech, read_spoken_rows
from ml.training.speech_figures import readable as speech_table


@dataclass(frozen=True, kw_only=True)
class RollbackConfig:
    """Options of `python -m ml rollback`."""

    bundle: str = option(help="bundle to restore as it was before its last change", flag="bundle")
    store: Path = option(help="model store", default=MODEL_STORE)


@dataclass(frozen=True, kw_only=True)
class PublishConfig:
    """Options of `python -m ml publish`, in addition to those of the recipe. The fusion names its bundle itself."""

    bundle: str | None = option(
        help="bundle to write with the new model (its fusion then is the addition of log-odds)", default=None
    )
    further: bool = option(
        help="text: with --bundle, read the languages that its text model does not; the fusion stays", default=False
    )
    folds: Path | None = option(
        help="folds.json of `evaluate --folds`: gives the temperature, and figures for the card",
        metavar="FILE",
        default=None,
    )
    corpora: Path | None = option(
        help="corpora.json of `evaluate audio --leave-corpus-out`: figures for the card", metavar="FILE", default=None
    )
    base: str = option(help="bundle that the other models are taken from", default="default")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Options of `python -m ml evaluate`."""

    subject: Literal[Subject, Detail, "dimensions", "pipeline", "speech", "people"] = option(
        help="model to evaluate; pipeline: all, as the service runs them, on recordings; speech: the recogniser; "
        "people: who speaks and who is seen",
        flag="subject",
    )
    manifest: Path | None = option(
        help="labelled data: a CSV with path,label (text: text,label)", group="data", default=None
    )
    composed: Path | None = option(
        help="fusion: clips composed of this folder of collected data, as `train fusion --data` reads it",
        metavar="DATA",
        group="data",
        default=None,
    )
    data: Path | None = option(
        help="people: folder of collected data with diarization/*.rttm, audio and faces", group="data", default=None
    )
    split: tuple[Split, ...] = option(help="only these splits of the manifest; by default all", nargs="+", default=())
    crops: bool = option(help="face: the pictures are face crops already", default=False)
    bundle: str = option(help="bundle with the models", default="default")
    prior: Prior = option(help="fusion and pipeline: how common emotions are taken to be", default="natural")
    ablate: bool = option(help="fusion: also evaluate each modality alone, and without each modality", default=False)
    folds: int | None = option(
        help="train and evaluate K unpublished networks of the same recipe, split by the speakers of the manifest",
        metavar="K",
        default=None,
    )
    leave_corpus_out: tuple[str, ...] = option(
        help="audio: train and evaluate an unpublished network without each of these corpora of the folder --manifest",
        metavar="CORPUS",
        nargs="+",
        default=(),
    )
    out: Path | None = option(help="folds and corpora: folder of their runs, which are resumed", default=None)
    changes: tuple[str, ...] = option(
        help="folds: options of the recipe to change (epochs=2 'datasets=goemotions meld' served=)",
        flag="--set",
        metavar="OPTION=VALUE",
        default=(),
    )
    json: str | None = option(help="file to write the figures to (-: standard output)", metavar="PATH", default=None)
    plots: Path | None = option(
        help="folder to write confusion.png and reliability.png to", metavar="FOLDER", default=None
    )
    cache: Path = option(help="composed: folder of cached predictions", default=Path(".cache"))
    voice_folds: Path | None = option(
        help="composed: runs of `evaluate audio --folds`, if the voice model heard all speakers",
        metavar="FOLDER",
        default=None,
    )
    whisper: str | None = option(
        help="speech: Whisper model; by default that of the bundle", metavar="NAME", default=None
    )
    sample: int | None = option(
        help="speech: files of each data set; people: conversations of each corpus and number of speakers (3)",
        metavar="N",
        default=None,
    )
    films: int = option(help="people: films composed of pictures of faces", metavar="N", default=0)
    clips: tuple[Path, ...] = option(
        help="people: clips of one talking person each, of which films of two are composed",
        metavar="FILE",
        nargs="+",
        default=(),
    )
    level: float | None = option(help="speech: dBFS to which sounds are brought", metavar="DBFS", default=None)
    codec: Codec = option(help="speech: mulaw passes sounds through a telephone", default="none")
    finder: SpeechFinder = option(help="speech: what finds it; whole: all is speech", default="service")
    teacher: Path | None = option(help="movements: face_blendshapes.tflite", metavar="FILE", default=None)
    forced: bool = option(help="speech: state the language of each file instead of detecting it", default=False)
    store: Path = option(help="model store", default=MODEL_STORE)

    @property
    def model(self) -> Subject:
        """Subject of a single model. Raises InvalidManifest for others, of which only recordings are read."""
        single = next((subject for subject in SUBJECTS if subject == self.subject), None)
        if single is None:
            raise InvalidManifest(
                f"{self.subject} is evaluated on the files that a --manifest lists, and on nothing else"
            )
        return single


def parser(verb: str) -> argparse.ArgumentParser:
    """Return the parser of one verb; `python -m ml VERB SUBJECT --help` lists the options of a recipe."""
    parser = argparse.ArgumentParser(prog=f"python -m ml {verb}", description=__doc__)
    if verb == "rollback":
        bind(parser, RollbackConfig, rollback)
    elif verb == "evaluate":
        bind(parser, EvaluateConfig, evaluate)
        parser.set_defaults(bundle=os.environ.get("AFFECT_BUNDLE", "default"))
    else:
        subjects = parser.add_subparsers(required=True)
        for subject in SUBJECTS:
            _add_subject(subjects.add_parser(subject), verb, subject)
        for detail in DETAIL_MODULES if verb != "calibrate" else ():
            _add_detail(subjects.add_parser(detail), verb, detail)
    return parser


def _add_detail(command: argparse.ArgumentParser, verb: str, detail: Detail) -> None:
    config_type: type[TrainConfig] = recipe.find_detail(detail).config_type
    add_options(command, config_type)
    if verb == "publish":
        command.add_argument("--bundle", help="bundle that names the new model, and keeps all else")

    def run(args: argparse.Namespace) -> None:
        config = from_args(config_type, args)
        if verb == "train":
            train_detail(detail, config)
        else:
            publish_detail(detail, config, args.bundle)

    command.set_defaults(run=run)


def _add_subject(command: argparse.ArgumentParser, verb: str, subject: Subject) -> None:
    config_type: type[TrainConfig] = recipe.find(subject).config_type
    add_options(command, config_type)
    if verb == "publish" and subject != "fusion":
        add_options(command, PublishConfig)

    def run(args: argparse.Namespace) -> None:
        config = from_args(config_type, args)
        if verb == "train":
            train(subject, config)
        elif verb == "calibrate":
            fit_calibration(subject, config)
        else:
            publish(subject, config, PublishConfig() if subject == "fusion" else from_args(PublishConfig, args))

    command.set_defaults(run=run)


def evaluate(config: EvaluateConfig) -> None:
    """Print the figures of the served model, or of K networks like it, on a manifest or on composed clips."""
    if config.subject == "pipeline":
        evaluate_pipeline(config)
        return
    if config.subject == "speech":
        evaluate_speech(config)
        return
    if config.subject == "movements":
        evaluate_movements(config)
        return
    if config.subject == "identity":
        evaluate_identity(config)
        return
    if config.subject == "people":
        evaluate_people(config)
        return
    if config.subject == "bursts":
        evaluate_bursts(config)
        return
    if config.subject == "dimensions":
        evaluate_dimensions(config)
        return
    report = _report(config)
    document = json.dumps(report.json(), indent=2)
    print(document if config.json == "-" else readable(report))
    if config.json not in (None, "-"):
        Path(str(config.json)).write_text(document + "\n")
    if config.plots:
        write_confusion(report.whole, config.plots / "confusion.png")
        write_reliability(report.whole, config.plots / "reliability.png")


def evaluate_pipeline(config: EvaluateConfig) -> None:
    """Print the figures and the shares of windows of the whole pipeline on recordings."""
    if config.manifest is None:
        raise InvalidManifest("pipeline reads the files that a --manifest lists")
    models = evaluation.BundleReaders(config.store, config.bundle)
    options = Options(prior=config.prior)
    report = evaluation.evaluate_pipeline(config.manifest, models, options, config.split)
    document = json.dumps(report.json(), indent=2)
    print(document if config.json == "-" else readable_pipeline(report))
    if config.json not in (None, "-"):
        Path(str(config.json)).write_text(document + "\n")


def evaluate_people(config: EvaluateConfig) -> None:
    """Print the figures of who speaks and who is seen."""
    if config.data is None:
        raise InvalidManifest("people are evaluated on the folder of collected data that --data names")
    conversations = 3 if config.sample is None else config.sample
    trial = PeopleTrial(config.data, conversations, config.films, config.clips)
    report = measure_people(trial, config.store, config.bundle)
    document = json.dumps(report, indent=2)
    print(document if config.json == "-" else readable_people(report))
    if config.json not in (None, "-"):
        Path(str(config.json)).write_text(document + "\n")


def evaluate_speech(config: EvaluateConfig) -> None:
    """Print the figures of speech recognition on recordings, for each data set."""
    if config.manifest is None:
        raise InvalidManifest("speech reads the files that a --manifest lists")
    name = config.whisper or ModelStore(config.store).bundle(config.bundle).whisper
    if name is None:
        raise InvalidManifest(f"the bundle {config.bundle} names no Whisper model")
    trial = SpeechTrial(config.level, config.codec, config.finder, config.forced)
    rows = read_spoken_rows(config.manifest, config.sample)
    figures = measure_speech(rows, name, config.store, pick_device(), trial)
    document = json.dumps({"whisper": name, **{each: own.json() for each, own in figures.items()}}, indent=2)
    print(document if config.json == "-" else speech_table(figures))
    if config.json not in (None, "-"):
        Path(str(config.json)).write_text(document + "\n")


def evaluate_movements(config: EvaluateConfig) -> None:
    """Print how far the movements are from those of their teacher, on faces not trained on."""
    if config.manifest is None:
        raise InvalidManifest("movements are measured on the faces that a --manifest lists")
    figures = movement_figures(config.manifest, config.teacher, config.cache, config.store, config.bundle)
    speed = f"{figures['milliseconds']} ms a face; mirror image: {figures['mirror_difference']:.4f} apart"
    write_figures(figures, f"{difference_table(figures['data'])}\n\n{figures['model']}: {speed}", config.json)


def evaluate_identity(config: EvaluateConfig) -> None:
    """Print how well the model of identity distinguishes the faces of people who were not trained on."""
    if config.manifest is None:
        raise InvalidManifest("identity is measured on the faces that a --manifest lists")
    figures = identity_figures(config.manifest, config.cache, config.store, config.bundle)
    write_figures(figures, json.dumps(figures, indent=2), config.json)


def evaluate_bursts(config: EvaluateConfig) -> None:
    """Train networks in folds by speaker, and print which bursts they find, and their false alarms in speech."""
    if config.manifest is None or not config.folds:
        raise InvalidManifest("bursts are measured in --folds, on the sounds of a --manifest")
    out = config.out or Path("runs/bursts-folds")
    figures = burst_folds(config.manifest, out, config.cache, _changed_words(config))
    write_figures(figures, burst_table(figures), config.json)


def evaluate_dimensions(config: EvaluateConfig) -> None:
    """Print how well valence and arousal of words agree with sentiments and ratings."""
    if config.data is None:
        raise InvalidManifest("dimensions are evaluated on the folder of collected text that --data names")
    figures = dimension_figures(config.data, config.store, config.bundle, config.sample)
    write_figures(figures, dimension_table(figures), config.json)


def _report(config: EvaluateConfig) -> evaluation.EvaluationReport:
    models = evaluation.BundleReaders(config.store, config.bundle, prior=config.prior)
    if config.composed:
        if config.subject != "fusion":
            raise InvalidManifest("--composed measures the fusion alone")
        return evaluation.evaluate_composed(config.composed, models, config.cache, config.voice_folds)
    assert config.manifest, "the parser requires --manifest or --composed"
    if config.folds or config.leave_corpus_out:
        return _cross_validate(config, config.manifest)
    return evaluation.evaluate(
        config.model, config.manifest, models, crops=config.crops, ablate=config.ablate, splits=config.split
    )


def _changed_words(config: EvaluateConfig) -> list[str]:
    """Return the options of `--set` as command line words."""
    changes = (change.partition("=") for change in config.changes)
    return [word for name, _, value in changes for word in (f"--{name}", *shlex.split(value))]


def _cross_validate(config: EvaluateConfig, manifest: Path) -> evaluation.EvaluationReport:
    if config.folds is not None and config.folds < 2:
        raise InvalidManifest("at least two folds are needed")
    store = ModelStore(config.store)
    reference = store.bundle(config.bundle).models().get(config.model)
    if reference is None or config.model == "fusion":
        raise InvalidManifest(f"the bundle {config.bundle} names no {config.model} model with a recipe for folds")
    out = config.out or Path("runs") / f"{'folds' if config.folds else 'corpora'}-{reference.replace('@', '-')}"
    words = ["--store", str(config.store), *(["--crops"] if config.crops else []), *_changed_words(config)]
    published = store.manifest(reference)
    if config.folds:
        result, file = evaluate_folds(config.model, published, manifest, config.folds, out, words), FOLDS_FILE
    elif config.model == "audio":
        result, file = evaluate_left_out_corpora(published, manifest, config.leave_corpus_out, out, words), CORPORA_FILE
    else:
        raise InvalidManifest("--leave-corpus-out measures voices alone")
    print(f"temperature over all folds {result.temperature:.3f}; {out / file}", file=sys.stderr)
    return result.report


def train(subject: Subject, config: TrainConfig) -> None:
    """Train, or resume the run in `--out`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for plan in recipe.find(subject).plans(config):
        fit(plan.settings, plan.task, config.out / plan.folder, plan.extra)


def fit_calibration(subject: Subject, config: TrainConfig) -> None:
    """Fit the temperature of a run on its validation part; `publish` uses it."""
    _check_run(config.out)
    calibration = _calibrate(recipe.find(subject), config)
    print(
        f"temperature {calibration.temperature:.3f} over {calibration.n:,} examples: ECE {calibration.ece_before:.4f}"
        f" → {calibration.ece_after:.4f} (each half with the temperature of the other)"
    )


def _check_run(out: Path) -> None:
    runs = [path.parent for path in out.rglob(HISTORY)]
    if not runs or not all((run / CHECKPOINT).exists() for run in runs):
        raise InvalidManifest(f"{out} holds no run with a finished epoch: train first")


def _calibrate(chosen: Recipe[Any], config: TrainConfig) -> Calibration:
    calibration = calibrate(chosen.held_out(config, ["valid"]))
    calibration.write(config.out, fingerprint(config))
    return calibration


def publish(subject: Subject, config: TrainConfig, options: PublishConfig) -> None:
    """Evaluate the run, write the next version into the store, and write the bundle of the options with it.

    The temperature is that of the folds, if given, else of the run's calibration, which is fitted now if it was fitted
    on anything else.
    """
    _check_run(config.out)
    store, chosen = ModelStore(config.store), recipe.find(subject)

    def bundle_with(reference: str) -> Bundle | None:
        if options.bundle is None:
            return None
        base = store.bundle(options.base)
        if options.further and subject == "text":
            return base.with_further_text(options.bundle, reference)
        return base.replacing(options.bundle, subject, reference)

    bundle_with(config.name)  # a wrong name is refused before anything is written
    folds = OutOfFold.read(options.folds) if options.folds else None
    if folds and options.corpora:
        folds = folds.with_left_out(OutOfFold.read(options.corpora, of="corpus never heard"))
    fitted = folds or Calibration.read(config.out, fingerprint(config)) or _calibrate(chosen, config)
    reference = chosen.publish(config, fitted.temperature, folds)
    if bundle := bundle_with(reference):
        store.write_bundle(bundle)
    print(reference)


def rollback(config: RollbackConfig) -> None:
    """Restore a bundle; a worker loads it between jobs."""
    print(ModelStore(config.store).rollback(config.bundle).model_dump_json(indent=2))
