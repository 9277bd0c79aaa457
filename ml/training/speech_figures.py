"""Figures of speech recognition as the service does it: words, languages, and sentences that were not said."""

import csv
import random
import sys
import tempfile
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from faster_whisper.vad import get_speech_timestamps
from numpy.typing import NDArray
from tqdm import tqdm

from ml.errors import AffectError, InvalidManifest, MediaInvalid, ModelStoreError
from ml.inference.api import FloatArray, TimeSpan
from ml.inference.speech.transcriber import Transcriber
from ml.inference.voice.vad import as_float, speech_segments
from ml.languages import find_language
from ml.media import SAMPLE_RATE, Decoder, DecodeRequest, MediaLimits, probe

Codec = Literal["none", "mulaw"]
SpeechFinder = Literal["service", "faster-whisper", "whole"]
MU = 255
_NO_SPACES = ("zh", "ja", "th", "lo", "my", "km", "yue")
"""Languages without spaces between words: each character counts as a word."""


@dataclass(frozen=True)
class SpokenRow:
    """Row of a manifest. `text`: what is said, null if unknown; `language`: null for sounds without words."""

    path: Path
    text: str | None
    language: str | None
    dataset: str


@dataclass(frozen=True)
class SpeechTrial:
    """How sounds are given to the recogniser.

    `level`: dBFS to which they are brought (root mean square), null as they are; `codec`: `mulaw` passes them through a
    telephone (8 kHz, G.711). `finder`: what finds their speech; `whole` counts all of a file as speech. `forced`:
    whether the language is stated.
    """

    level: float | None = None
    codec: Codec = "none"
    finder: SpeechFinder = "service"
    forced: bool = False

    def sound(self, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
        """Return a sound [samples] as the recogniser gets it."""
        sound = as_float(pcm)
        if self.codec == "mulaw":
            sound = through_telephone(sound)
        if self.level is not None and np.any(sound):
            sound = sound * np.float32(10 ** (self.level / 20) / np.sqrt(np.mean(np.square(sound))))
        return np.clip(np.round(sound * 32768), -32768, 32767).astype(np.int16)

    def speech(self, pcm: NDArray[np.int16]) -> list[TimeSpan]:
        """Return the segments of speech, in order."""
        if self.finder == "whole":
            return [TimeSpan(0.0, len(pcm) / SAMPLE_RATE)]
        if self.finder == "faster-whisper":
            found = get_speech_timestamps(as_float(pcm))
            return [TimeSpan(span["start"] / SAMPLE_RATE, span["end"] / SAMPLE_RATE) for span in found]
        return speech_segments(pcm, lambda: None)


def through_telephone(sound: FloatArray) -> FloatArray:
    """Return a 16 kHz sound [samples] through 8 kHz and eight bits of mu-law (ITU-T G.711)."""
    half = len(sound) // 2
    narrow = np.fft.irfft(np.fft.rfft(sound)[: half // 2 + 1], half) / 2
    narrow = np.clip(narrow, -1, 1)
    companded = np.sign(narrow) * np.log1p(MU * np.abs(narrow)) / np.log1p(MU)
    coarse = np.round(companded * 127) / 127
    expanded = np.sign(coarse) * np.expm1(np.abs(coarse) * np.log1p(MU)) / MU
    wide = np.fft.irfft(np.pad(np.fft.rfft(expanded), (0, len(sound) // 2 + 1 - half // 2 - 1)), len(sound)) * 2
    return wide.astype(np.float32)


@dataclass
class SpeechFigures:
    """Figures of the rows of one set.

    Attributes:
        files: number of files.
        words: number of words said, in files whose text is known.
        errors: words that are wrong, missing or too many.
        recalled: words that were recognised.
        spoken: number of files in a known language; `right`, `wrong`: those whose language was named so; that of the
            others was left open.
        silent: number of files without words; `invented`: those in which sentences were recognised.
        seconds: seconds of sound; `work`: seconds of recognition.
    """

    files: int = 0
    words: int = 0
    errors: int = 0
    recalled: int = 0
    spoken: int = 0
    right: int = 0
    wrong: int = 0
    silent: int = 0
    invented: int = 0
    seconds: float = 0.0
    work: float = 0.0
    invented_texts: list[str] = field(default_factory=list)

    def add(self, row: SpokenRow, text: str, language: str | None) -> None:
        """Count a file. `language`: as the transcript names it."""
        self.files += 1
        if row.language is None:
            self.silent += 1
            self.invented += bool(text)
            self.invented_texts += [text] if text else []
            return
        self.spoken += 1
        self.right += language == row.language
        self.wrong += language not in (None, row.language)
        if row.text is not None:
            said, heard = plain_words(row.text, row.language), plain_words(text, row.language)
            errors, hits = compare_words(said, heard)
            self.words += len(said)
            self.errors += errors
            self.recalled += hits

    def json(self) -> dict[str, Any]:
        """Return the counts, with the rates that they make; a rate of nothing is null."""
        rates = {
            "word_error_rate": _share(self.errors, self.words),
            "word_recall": _share(self.recalled, self.words),
            "language_right": _share(self.right, self.spoken),
            "language_wrong": _share(self.wrong, self.spoken),
            "work_per_second": _share(self.work, self.seconds),
        }
        return asdict(self) | rates


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def plain_words(text: str, language: str) -> list[str]:
    """Return the words of a text without case and punctuation; of languages without spaces, the characters."""
    letters = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    kept = "".join(each if unicodedata.category(each)[0] in "LMN" or each == "'" else " " for each in letters)
    return [each for each in kept if each != " "] if language in _NO_SPACES else kept.split()


def compare_words(said: Sequence[str], heard: Sequence[str]) -> tuple[int, int]:
    """Return the fewest errors that turn the words said into those heard, and the words that are right then."""
    row = [(index, 0) for index in range(len(heard) + 1)]
    for number, word in enumerate(said, start=1):
        before, row = row, [(number, 0)]
        for index, other in enumerate(heard, start=1):
            errors, negative_hits = before[index - 1]
            same = word == other
            row.append(
                min(
                    (errors + (not same), negative_hits - same),
                    (before[index][0] + 1, before[index][1]),
                    (row[-1][0] + 1, row[-1][1]),
                )
            )
    return row[-1][0], -row[-1][1]


def read_spoken_rows(manifest: Path, sample: int | None = None) -> list[SpokenRow]:
    """Read a CSV with the column path, and text, language and dataset if it has them; paths are relative to it.

    `sample`: rows taken by chance of each data set, the same at each call. Raises InvalidManifest.
    """
    by_dataset: dict[str, list[SpokenRow]] = {}
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                language = row.get("language") or None
                code = find_language(language) if language else None
                if language and code is None:
                    raise InvalidManifest(f"{manifest.name}: {language!r} is no language")
                found = SpokenRow(
                    manifest.parent / row["path"], row.get("text") or None, code, row.get("dataset") or ""
                )
                by_dataset.setdefault(found.dataset, []).append(found)
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidManifest(f"{manifest.name} is no CSV with a column path") from error
    if sample is not None:
        chance = random.Random(0)
        by_dataset = {name: chance.sample(rows, min(sample, len(rows))) for name, rows in by_dataset.items()}
    return [row for rows in by_dataset.values() for row in rows]


def measure_speech(
    rows: Sequence[SpokenRow], name: str, store: Path, device: Any, trial: SpeechTrial, threads: int = 0
) -> dict[str, SpeechFigures]:
    """Return the figures of each data set, with the Whisper model `name`.

    Raises ModelStoreError if there is no such model, and InvalidManifest if no file could be read.
    """
    transcriber = Transcriber.load(name, store, device, threads)
    if transcriber is None:
        raise ModelStoreError(f"there is no Whisper model {name}: `python -m ml fetch whisper {name}`")
    figures: dict[str, SpeechFigures] = {}
    for row in tqdm(rows, "speech"):
        try:
            if not row.path.is_file():
                raise MediaInvalid("There is no such file.")
            pcm = trial.sound(_decode(row.path))
        except AffectError as error:
            tqdm.write(f"skipped {row.path.name}: {error.message}", file=sys.stderr)
            continue
        start = time.process_time()
        stated = row.language if trial.forced else None
        found = transcriber.transcribe(pcm, trial.speech(pcm), stated, lambda: None, lambda share: None)
        own = figures.setdefault(row.dataset, SpeechFigures())
        own.work += time.process_time() - start
        own.seconds += len(pcm) / SAMPLE_RATE
        own.add(row, " ".join(segment.text for segment in found.segments), found.language)
    if not figures:
        raise InvalidManifest("no file of the manifest could be read")
    return figures


def _decode(path: Path) -> NDArray[np.int16]:
    limits = MediaLimits()
    info = probe(path, limits)
    with (
        tempfile.TemporaryDirectory(prefix="affect-") as scratch,
        Decoder(path, info, DecodeRequest(None, audio=True), limits=limits, scratch=Path(scratch)) as decoder,
    ):
        return np.asarray(decoder.pcm(), np.int16)


def readable(figures: dict[str, SpeechFigures]) -> str:
    """Return the figures as a table in Markdown."""
    lines = [
        "| Set | Files | Word error rate | Word recall | Language right | wrong | Invented | Work per second |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, own in figures.items():
        rates = own.json()
        keys = ("word_error_rate", "word_recall", "language_right", "language_wrong")
        cells = ["–" if rates[key] is None else f"{rates[key]:.3f}" for key in keys]
        invented = f"{own.invented} of {own.silent}" if own.silent else "–"
        lines.append(
            f"| {name or '–'} | {own.files} | {' | '.join(cells)} | {invented} | {rates['work_per_second'] or 0:.2f} |"
        )
    return "\n".join(lines)
