"""`python -m ml predict` and `explain`: the pipeline with no server, for one file or a folder of them."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pydantic import ValidationError

from ml.errors import AffectError, MediaInvalid
from ml.reports.formats import FORMATS, Rows
from ml.reports.plain_text import Paint, prose
from ml.reports.report import Report
from ml.reports.tables import words_csv
from ml.reports.terminal import ProgressBar, paint_for, refused_row, row
from ml.results import Options

if TYPE_CHECKING:  # they import torch
    from ml.inference.pipeline.analyzer import Analyser
    from ml.rendering.builder import Wish
    from ml.rendering.encoding import Artifact

STANDARD_OUTPUT = "-"
DRAWN: Mapping["Wish", str] = {
    "annotate": "write the video (MP4) or photo (PNG) with what was read drawn in",
    "summary": "write the timeline as a picture (PNG)",
}


def add_arguments(command: argparse.ArgumentParser, store: Path) -> None:
    """What `predict` takes; `store` is the model store unless another is named."""
    command.add_argument("file", type=Path, help="a photo, recording or video, or a folder of them")
    each = "PATH - is standard output; of a folder, PATH is a folder too, with one for each file"
    command.add_argument("--json", metavar="PATH", help=f"write the result document ({each})")
    for name, known in FORMATS.items():
        told = "one table of all files of a folder" if name == "csv" else "see --json"
        command.add_argument(f"--{name}", metavar="PATH", help=f"write it as {known.title} ({told})")
    command.add_argument(
        "--rows", choices=get_args(Rows), help="what a row of the CSV or a cue of subtitles stands for"
    )
    command.add_argument("--words", metavar="PATH", help="write how often each word was said, as CSV")
    for wish, what in DRAWN.items():
        command.add_argument(f"--{wish}", metavar="PATH", help=f"{what} (of a folder, PATH is a folder too)")
    _add_reading_arguments(command, store)
    command.set_defaults(run=run)


def add_explain_arguments(command: argparse.ArgumentParser, store: Path) -> None:
    """What `explain` takes."""
    command.add_argument("file", type=Path, help="a photo, recording or video")
    command.add_argument("--out", metavar="FOLDER", type=Path, help="where the pictures go; by default FILE-why")
    _add_reading_arguments(command, store)
    command.set_defaults(run=explain, heatmaps=True)


def _add_reading_arguments(command: argparse.ArgumentParser, store: Path) -> None:
    command.add_argument("--options", default="{}", help="options of a job, as JSON")
    command.add_argument("--transcript", type=Path, help="text, SRT or WebVTT that replaces speech recognition")
    command.add_argument("--bundle", default=os.environ.get("AFFECT_BUNDLE", "default"))
    command.add_argument("--whisper", default=os.environ.get("AFFECT_WHISPER_MODEL"), help="instead of the bundle's")
    command.add_argument("--store", type=Path, default=store)


def run(args: argparse.Namespace) -> None:
    """Reads, prints a timeline (of a folder: a line for each file) unless something else goes to standard output, and
    writes what is asked for. Raises AffectError for a file that cannot be read, SystemExit for a wish that makes no
    sense."""
    wishes = _wishes(args)
    _check(args, wishes)
    printed = STANDARD_OUTPUT not in (*(wish.target for wish in wishes), args.words)
    paint = paint_for(sys.stdout, os.environ)
    with _without_native_noise():
        reader = _Reader.load(args)
        if args.file.is_dir():
            heard = list(_folder(reader, args.file, wishes, _drawings(args), paint, printed))
        else:
            heard = [_one(reader, args.file, wishes, _drawings(args))]
            if printed:
                print(prose(heard[0], paint), end="")
    if args.words:
        _put(args.words, words_csv(heard))


def explain(args: argparse.Namespace) -> None:
    """Reads a file and writes pictures of why it says what it says into a folder, with an `index.json` that tells what
    each shows. Raises AffectError for a file that cannot be read."""
    if not args.file.is_file():
        raise SystemExit(f"{args.file} is no file")
    folder: Path = args.out or args.file.with_name(f"{args.file.name}-why")
    folder.mkdir(parents=True, exist_ok=True)
    with _without_native_noise():
        reader = _Reader.load(args)
        made = []
        for artifact in reader.files(reader.read(args.file), args.file, "heatmaps"):
            (folder / artifact.name).write_bytes(artifact.read())
            made.append(artifact)
    (folder / "index.json").write_text(json.dumps([artifact.entry for artifact in made], indent=2) + "\n")
    for artifact in made:
        print(f"{folder / artifact.name}  {artifact.title}")
    if not made:
        print("There is no face, voice or sentence to explain.")


@dataclass(frozen=True)
class _Wish:
    """A format to write and where to. `together`: all files of a folder in one."""

    target: str
    suffix: str
    write: Callable[[Report], str]
    together: bool = False

    def place(self, path: Path) -> str:
        """Where it goes for one file of a folder."""
        return self.target if self.target == STANDARD_OUTPUT else str(Path(self.target) / f"{path.name}.{self.suffix}")


def _wishes(args: argparse.Namespace) -> list[_Wish]:
    found = (
        [_Wish(args.json, "json", lambda report: report.result.model_dump_json(indent=2) + "\n")] if args.json else []
    )
    for name, known in FORMATS.items():
        if target := getattr(args, name):
            write = known.writers.get(args.rows, known.writers[known.default])
            found.append(_Wish(target, known.suffix, write, together=name == "csv"))
    return found


@dataclass(frozen=True)
class _Drawing:
    """A picture or film to write and where to; for a folder, `target` is one."""

    wish: "Wish"
    target: Path

    def write(self, reader: "_Reader", report: Report, path: Path, many: bool) -> None:
        for artifact in reader.files(report, path, self.wish):
            place = self.target / f"{path.name}{Path(artifact.name).suffix}" if many else self.target
            place.write_bytes(artifact.read())


def _drawings(args: argparse.Namespace) -> list[_Drawing]:
    return [_Drawing(wish, Path(target)) for wish in DRAWN if (target := getattr(args, wish))]


def _check(args: argparse.Namespace, wishes: Sequence[_Wish]) -> None:
    """What would fail after the work fails before it."""
    many = args.file.is_dir()
    if not many and not args.file.is_file():
        raise SystemExit(f"{args.file} is no file")
    if many and args.transcript:
        raise SystemExit("--transcript goes with one file")
    formats = [known for name, known in FORMATS.items() if getattr(args, name)]
    if args.rows and not any(args.rows in known.writers for known in formats):
        raise SystemExit(f"--rows {args.rows}: no format that is asked for has them")
    drawings = _drawings(args)
    if any(str(drawing.target) == STANDARD_OUTPUT for drawing in drawings):
        raise SystemExit("a picture or video goes to a file")
    targets = (*(wish.target for wish in wishes), args.words, *(drawing.target for drawing in drawings))
    for target in targets:
        folder = Path(target or STANDARD_OUTPUT).parent
        if not folder.is_dir():
            raise SystemExit(f"{folder} is no folder")
    for wish in wishes:
        if many and not wish.together and wish.target != STANDARD_OUTPUT:
            Path(wish.target).mkdir(exist_ok=True)
    for drawing in drawings if many else ():
        drawing.target.mkdir(exist_ok=True)


@dataclass(frozen=True)
class _Reader:
    analyser: "Analyser"
    options: Options
    transcript: str | None

    @classmethod
    def load(cls, args: argparse.Namespace) -> "_Reader":
        from ml.inference.pipeline.analyzer import Analyser

        try:
            options = Options.model_validate_json(args.options)
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}".lstrip(": ") for fault in error.errors())
            raise SystemExit(f"--options: {'; '.join(faults)}") from None
        options = options.model_copy(
            update={wish: True for wish in ("annotate", "heatmaps") if getattr(args, wish, False)}
        )
        transcript = args.transcript.read_text(encoding="utf-8", errors="replace") if args.transcript else None
        with ProgressBar(sys.stderr, "loading the models"):
            analyser = Analyser.load(args.store, args.bundle, whisper=args.whisper)
        return cls(analyser, options, transcript)

    def read(self, path: Path) -> Report:
        """With a progress bar where standard error is a terminal."""
        from ml.inference.pipeline.context import Work

        with ProgressBar(sys.stderr, path.name) as bar:
            work = Work(transcript=self.transcript, observer=bar)
            return Report(path.name, self.analyser.analyse(path, self.options, work))

    def files(self, report: Report, path: Path, wish: "Wish") -> Iterator["Artifact"]:
        """The pictures or the film of one kind, to be taken one by one."""
        from ml.media import MediaLimits
        from ml.rendering.builder import Studio

        with ProgressBar(sys.stderr, path.name) as bar, tempfile.TemporaryDirectory(prefix="affect-") as scratch:
            bar.progress(1.0)
            bar.stage("write")
            studio = Studio(
                path, report.result, self.options, self.analyser.models, Path(scratch), MediaLimits(), name=report.name
            )
            if wish == "summary" or wish in studio.wishes:  # a service makes none of a photo, but here it is asked for
                yield from studio.make(wish)


def _one(reader: _Reader, path: Path, wishes: Sequence[_Wish], drawings: Sequence[_Drawing]) -> Report:
    report = reader.read(path)
    for drawing in drawings:
        drawing.write(reader, report, path, many=False)
    for wish in wishes:
        _put(wish.target, wish.write(report))
    return report


def _folder(
    reader: _Reader,
    folder: Path,
    wishes: Sequence[_Wish],
    drawings: Sequence[_Drawing],
    paint: Paint,
    printed: bool,
) -> Iterator[Report]:
    """The reports of a folder's files, without their timelines: these are written as soon as they are there."""
    begun = False
    for path in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
        try:
            report = reader.read(path)
        except AffectError as error:
            print(refused_row(path.name, error.message), file=sys.stdout if printed else sys.stderr)
            continue
        if printed:
            print(row(report, paint), flush=True)
        for wish in wishes:
            if wish.together:
                _put(wish.target, _without_header(wish.write(report)) if begun else wish.write(report), append=begun)
            else:
                _put(wish.place(path), wish.write(report))
        for drawing in drawings:
            drawing.write(reader, report, path, many=True)
        begun = True
        yield Report(report.name, report.result.model_copy(update={"windows": (), "faces": (), "channels": None}))
    if not begun:
        raise MediaInvalid("No file of the folder could be read.")


def _without_header(table: str) -> str:
    return table.partition("\r\n")[2]


def _put(target: str, text: str, append: bool = False) -> None:
    """Writes UTF-8, line ends as they are."""
    if target == STANDARD_OUTPUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    else:
        with Path(target).open("ab" if append else "wb") as file:
            file.write(text.encode())


@contextmanager
def _without_native_noise() -> Iterator[None]:
    """Drops what native libraries write to standard error: mediapipe logs there whatever it is told, through the
    progress bar. Python's own standard error stays."""
    with ExitStack() as stack:
        real = os.dup(2)
        stack.callback(os.close, real)
        stack.callback(os.dup2, real, 2)
        stream = stack.enter_context(open(real, "w", errors="replace", closefd=False))
        stack.enter_context(redirect_stderr(stream))
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
