"""`python -m ml predict` and `explain`: analysis without a server, of one file or a folder of files."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ml.errors import AffectError, MediaInvalid
from ml.reports.caption_encoding import decode_transcript
from ml.reports.formats import FORMATS, ROWS
from ml.reports.plain_text import Colouring, plain_text
from ml.reports.report import Report
from ml.reports.tables import words_csv
from ml.reports.terminal import ProgressBar, colouring_for, error_row, file_row
from ml.results import Options

if TYPE_CHECKING:  # these import torch
    from ml.inference.pipeline.analyzer import Analyzer
    from ml.rendering.builder import ArtifactGroup
    from ml.rendering.encoding import RenderedArtifact

STANDARD_OUTPUT = "-"
ARTIFACT_FLAGS: Mapping["ArtifactGroup", str] = {
    "annotate": "write the video (MP4) or photo (PNG) with boxes, bars and captions drawn in",
    "summary": "write the timeline as an image (PNG)",
}
"""Help of the flags that write images or a video, by the group of artifacts that they write."""


def add_arguments(command: argparse.ArgumentParser, store: Path) -> None:
    """Add the arguments of `predict`. `store`: default model store."""
    command.add_argument("file", metavar="FILE", type=Path, help="photo, recording or video, or a folder of them")
    target = "PATH is - for standard output. If FILE is a folder, PATH is a folder that receives a file for each."
    command.add_argument("--json", metavar="PATH", help=f"write the result document. {target}")
    for name, form in FORMATS.items():
        note = "one table of all files if FILE is a folder" if name == "csv" else "PATH as for --json"
        command.add_argument(f"--{name}", metavar="PATH", help=f"write the result as {form.title} ({note})")
    choices = "; ".join(f"{name}: {meaning}" for name, meaning in ROWS.items())
    command.add_argument("--rows", choices=ROWS, help=f"rows of the CSV, or cues of the subtitles ({choices})")
    command.add_argument("--words", metavar="PATH", help="write the count of each spoken word, as CSV")
    for group, meaning in ARTIFACT_FLAGS.items():
        command.add_argument(f"--{group}", metavar="PATH", help=f"{meaning}; PATH is a folder if FILE is one")
    _add_analysis_arguments(command, store)
    command.set_defaults(run=run)


def add_explain_arguments(command: argparse.ArgumentParser, store: Path) -> None:
    """Add the arguments of `explain`. `store`: default model store."""
    command.add_argument("file", metavar="FILE", type=Path, help="photo, recording or video")
    command.add_argument("--out", metavar="FOLDER", type=Path, help="folder for the images (default: FILE-why)")
    _add_analysis_arguments(command, store)
    command.set_defaults(run=explain, heatmaps=True)


def _add_analysis_arguments(command: argparse.ArgumentParser, store: Path) -> None:
    command.add_argument("--options", metavar="JSON", default="{}", help="options of the analysis, as in the API")
    transcript = "text or captions (SRT, WebVTT, ASS, TTML and others) that replace speech recognition"
    command.add_argument("--transcript", metavar="PATH", type=Path, help=transcript)
    bundle = os.environ.get("AFFECT_BUNDLE", "default")
    command.add_argument(
        "--bundle", metavar="NAME", default=bundle, help="bundle of models to use (default: %(default)s)"
    )
    whisper = os.environ.get("AFFECT_WHISPER_MODEL")
    command.add_argument(
        "--whisper", metavar="NAME", default=whisper, help="speech model to use instead of the bundle's"
    )
    command.add_argument("--store", metavar="FOLDER", type=Path, default=store, help="model store")


def run(args: argparse.Namespace) -> None:
    """Run `predict`: analyse, print a timeline (for a folder: a line for each file), and write the requested files.

    Nothing is printed if a file goes to standard output. Raises AffectError if a file cannot be analysed, SystemExit
    if the arguments make no sense.
    """
    outputs = _Outputs.from_arguments(args)
    outputs.check(args)
    colouring = colouring_for(sys.stdout, os.environ) if outputs.leave_standard_output_free else None
    with _without_native_noise():
        session = _Session.load(args)
        if args.file.is_dir():
            reports = list(_analyze_folder(session, args.file, outputs, colouring))
        else:
            reports = [_analyze_file(session, args.file, outputs)]
            if colouring:
                print(plain_text(reports[0], colouring), end="")
    if outputs.words:
        _write(outputs.words, words_csv(reports))


def explain(args: argparse.Namespace) -> None:
    """Run `explain`: analyse a file, and write images that explain the result into a folder, with an `index.json`.

    Raises AffectError if the file cannot be analysed.
    """
    if not args.file.is_file():
        raise SystemExit(f"{args.file}: no such file")
    folder: Path = args.out or args.file.with_name(f"{args.file.name}-why")
    folder.mkdir(parents=True, exist_ok=True)
    with _without_native_noise():
        session = _Session.load(args)
        artifacts = []
        for artifact in session.artifacts(session.analyze(args.file), args.file, "heatmaps"):
            (folder / artifact.name).write_bytes(artifact.read())
            artifacts.append(artifact)
    (folder / "index.json").write_text(json.dumps([artifact.entry for artifact in artifacts], indent=2) + "\n")
    for artifact in artifacts:
        print(f"{folder / artifact.name}  {artifact.title}")
    if not artifacts:
        print("The file has no face, voice or sentence to explain.")


@dataclass(frozen=True)
class _TextOutput:
    """A text format to write.

    `target`: path or `-`; for a folder of files, a folder. `combined`: all files of a folder go into one table.
    """

    target: str
    suffix: str
    write: Callable[[Report], str]
    combined: bool = False

    def target_for(self, path: Path) -> str:
        """Return the target for one file of a folder."""
        return self.target if self.target == STANDARD_OUTPUT else str(Path(self.target) / f"{path.name}.{self.suffix}")


@dataclass(frozen=True)
class _ArtifactOutput:
    """An image or video to write. `target`: path; for a folder of files, a folder."""

    group: "ArtifactGroup"
    target: Path

    def write(self, session: "_Session", report: Report, path: Path, in_folder: bool) -> None:
        for artifact in session.artifacts(report, path, self.group):
            name = f"{path.name}{Path(artifact.name).suffix}"
            target = self.target / name if in_folder else self.target
            target.write_bytes(artifact.read())


@dataclass(frozen=True)
class _Outputs:
    """All files to write. `words`: target of the word counts."""

    texts: Sequence[_TextOutput]
    artifacts: Sequence[_ArtifactOutput]
    words: str | None

    @classmethod
    def from_arguments(cls, args: argparse.Namespace) -> "_Outputs":
        texts = []
        if args.json:
            texts.append(_TextOutput(args.json, "json", lambda report: report.result.model_dump_json(indent=2) + "\n"))
        for name, form in FORMATS.items():
            if target := getattr(args, name):
                write = form.writers.get(args.rows, form.writers[form.default])
                texts.append(_TextOutput(target, form.suffix, write, combined=name == "csv"))
        artifacts = [
            _ArtifactOutput(group, Path(target)) for group in ARTIFACT_FLAGS if (target := getattr(args, group))
        ]
        return cls(texts, artifacts, args.words)

    @property
    def leave_standard_output_free(self) -> bool:
        return STANDARD_OUTPUT not in (*(output.target for output in self.texts), self.words)

    def check(self, args: argparse.Namespace) -> None:
        """Raise SystemExit, before the analysis, for whatever would fail after it; create the target folders."""
        _check_input(args)
        _check_rows(args)
        self._check_targets()
        if args.file.is_dir():
            self._make_folders()

    def _check_targets(self) -> None:
        for output in self.artifacts:
            if str(output.target) == STANDARD_OUTPUT:
                raise SystemExit(f"--{output.group} cannot be written to standard output")
        targets = (*(output.target for output in self.texts), self.words, *(output.target for output in self.artifacts))
        for target in targets:
            folder = Path(target or STANDARD_OUTPUT).parent
            if not folder.is_dir():
                raise SystemExit(f"{folder}: no such folder")

    def _make_folders(self) -> None:
        for text in self.texts:
            if not text.combined and text.target != STANDARD_OUTPUT:
                Path(text.target).mkdir(exist_ok=True)
        for artifact in self.artifacts:
            artifact.target.mkdir(exist_ok=True)


def _check_input(args: argparse.Namespace) -> None:
    if args.file.is_dir():
        if args.transcript:
            raise SystemExit("--transcript can be used with one file only")
    elif not args.file.is_file():
        raise SystemExit(f"{args.file}: no such file")


def _check_rows(args: argparse.Namespace) -> None:
    requested = [form for name, form in FORMATS.items() if getattr(args, name)]
    if args.rows and not any(args.rows in form.writers for form in requested):
        raise SystemExit(f"--rows {args.rows}: none of the requested formats has such rows")


@dataclass(frozen=True)
class _Session:
    """The loaded models and the options of this run."""

    analyzer: "Analyzer"
    options: Options
    transcript: str | None

    @classmethod
    def load(cls, args: argparse.Namespace) -> "_Session":
        from ml.inference.pipeline.analyzer import Analyzer
        from ml.inference.pipeline.bundle import published
        from ml.registry import ModelStore

        options = _parse_options(args)
        transcript = decode_transcript(args.transcript.read_bytes()) if args.transcript else None
        with ProgressBar(sys.stderr, "loading the models"):
            bundle = published(ModelStore(args.store), args.bundle, args.whisper)
            analyzer = Analyzer.load(args.store, bundle)
        return cls(analyzer, options, transcript)

    def analyze(self, path: Path) -> Report:
        """Analyse a file, with a progress bar if standard error is a terminal."""
        from ml.inference.pipeline.context import AnalysisContext

        with ProgressBar(sys.stderr, path.name) as bar:
            context = AnalysisContext(transcript=self.transcript, listener=bar)
            return Report(path.name, self.analyzer.analyze(path, self.options, context))

    def artifacts(self, report: Report, path: Path, group: "ArtifactGroup") -> Iterator["RenderedArtifact"]:
        """Yield the images or the video of one group; each is deleted once the next is requested."""
        from ml.media import MediaLimits
        from ml.rendering.builder import ArtifactBuilder

        with ProgressBar(sys.stderr, path.name) as bar, tempfile.TemporaryDirectory(prefix="affect-") as scratch:
            bar.progress(1.0)
            bar.stage("write")
            models, limits = self.analyzer.models, MediaLimits()
            builder = ArtifactBuilder(
                path, report.result, self.options, models, Path(scratch), limits, name=report.name
            )
            if group == "summary" or group in builder.requested:  # the API gives no summary of a photo
                yield from builder.make(group)


def _parse_options(args: argparse.Namespace) -> Options:
    try:
        options = Options.model_validate_json(args.options)
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}".lstrip(": ") for fault in error.errors())
        raise SystemExit(f"--options: {'; '.join(faults)}") from None
    requested = {name: True for name in ("annotate", "heatmaps") if getattr(args, name, False)}
    return options.model_copy(update=requested)


def _analyze_file(session: _Session, path: Path, outputs: _Outputs) -> Report:
    report = session.analyze(path)
    for artifact in outputs.artifacts:
        artifact.write(session, report, path, in_folder=False)
    for text in outputs.texts:
        _write(text.target, text.write(report))
    return report


def _analyze_folder(
    session: _Session, folder: Path, outputs: _Outputs, colouring: Colouring | None
) -> Iterator[Report]:
    """Yield the reports of a folder's files without their timelines, which are written as soon as they are known.

    `colouring`: of the line printed for each file; None prints none.
    """
    started = False
    for path in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
        try:
            report = session.analyze(path)
        except AffectError as error:
            print(error_row(path.name, error.message), file=sys.stdout if colouring else sys.stderr)
            continue
        if colouring:
            print(file_row(report, colouring), flush=True)
        for text in outputs.texts:
            content = text.write(report)
            if text.combined:
                _write(text.target, _without_header(content) if started else content, append=started)
            else:
                _write(text.target_for(path), content)
        for artifact in outputs.artifacts:
            artifact.write(session, report, path, in_folder=True)
        started = True
        yield Report(report.name, report.result.model_copy(update={"windows": (), "faces": (), "channels": None}))
    if not started:
        raise MediaInvalid("No file in this folder could be analysed.")


def _without_header(table: str) -> str:
    return table.partition("\r\n")[2]


def _write(target: str, text: str, append: bool = False) -> None:
    """Write UTF-8, with line ends as they are."""
    if target == STANDARD_OUTPUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    else:
        with Path(target).open("ab" if append else "wb") as file:
            file.write(text.encode())


@contextmanager
def _without_native_noise() -> Iterator[None]:
    """Drop what native libraries write to standard error, and keep Python's own output.

    mediapipe logs there regardless of any setting, in the middle of the progress bar.
    """
    with ExitStack() as stack:
        real = os.dup(2)
        stack.callback(os.close, real)
        stack.callback(os.dup2, real, 2)
        stream = stack.enter_context(open(real, "w", errors="replace", closefd=False))
        stack.enter_context(redirect_stderr(stream))
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
