"""Sentences in many languages: BRIGHTER (Muhammad et al. 2025) and XED's projections (Öhman et al. 2020); CC BY 4.0.

The data set of an example is that of its language: `brighter-deu`, `xed-projections-fi`.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from ml.training.datasets.example import Example, Record, SkippedRecord, Split
from ml.training.datasets.sentence_files import emotions, lines, sentence, sentiment_of, train_and_valid
from ml.training.datasets.splits import split_by
from ml.training.datasets.tables import read_each

_BRIGHTER_EMOTIONS = ("anger", "disgust", "fear", "joy", "sadness", "surprise")
_BRIGHTER_LANGUAGES: Mapping[str, str] = {
    "afr": "af",
    "amh": "am",
    "arq": "ar",
    "ary": "ar",
    "chn": "zh",
    "deu": "de",
    "eng": "en",
    "esp": "es",
    "hau": "ha",
    "hin": "hi",
    "ibo": "ig",
    "kin": "rw",
    "mar": "mr",
    "orm": "om",
    "ptbr": "pt",
    "ptmz": "pt",
    "ron": "ro",
    "rus": "ru",
    "som": "so",
    "sun": "su",
    "swa": "sw",
    "swe": "sv",
    "tat": "tt",
    "tir": "ti",
    "ukr": "uk",
    "yor": "yo",
}
"""ISO 639-1 code of each of its languages that has one (Algerian and Moroccan Arabic share theirs)."""
_PROJECTION_LANGUAGES: Mapping[str, str] = {"br": "pt", "cn": "zh", "tw": "zh"}
"""ISO 639-1 codes of the names that are not such codes: Brazil, and both ways to write Chinese."""
_PLUTCHIK = ("neutral", "anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust")
VALID_PERCENT = 5
"""Share of the projected lines that are held out."""


def read_brighter(root: Path) -> Iterator[Record]:
    """Read `train.tsv.xz` and `dev.tsv.xz`: language TAB six digits TAB text.

    The digits are anger, disgust, fear, joy, sadness and surprise: 1 yes, 0 no, `-` not asked. None of them is neutral.
    """
    for file, split in train_and_valid(root, "train.tsv.xz", "dev.tsv.xz"):
        yield from read_each(lines(file), partial(_brighter, split))


def _brighter(split: Split, line: str) -> Example:
    code, digits, text = line.split("\t")
    if len(digits) != len(_BRIGHTER_EMOTIONS) or not set(digits) <= set("01-"):
        raise ValueError("not six digits")
    felt = [name for name, digit in zip(_BRIGHTER_EMOTIONS, digits, strict=True) if digit == "1"]
    return _sentence(text, felt or ["neutral"], f"brighter-{code}", split, _BRIGHTER_LANGUAGES.get(code, code))


def read_xed_projections(root: Path) -> Iterator[Record]:
    """Read `projections.tsv.xz`: language TAB Plutchik's eight, by number TAB text, carried over by alignment.

    Lines in English are those of XED itself and are left out, as are lines with only anticipation or trust. The same
    share of each language is held out, chosen by the text.
    """
    return read_each(lines(root / "projections.tsv.xz"), _projected)


def _projected(line: str) -> Record:
    code, numbers, text = line.split("\t")
    felt = [_PLUTCHIK[int(number)] for number in numbers.split(",")]
    if code == "en":
        return SkippedRecord(text, "English")
    if not emotions(felt):
        return SkippedRecord(text, "none of the seven")
    split: Split = "valid" if split_by(text, VALID_PERCENT, 0) == "valid" else "train"
    language = _PROJECTION_LANGUAGES.get(code, code)
    return _sentence(text.strip('"'), felt, f"xed-projections-{code}", split, language)


def _sentence(text: str, felt: Sequence[str], dataset: str, split: Split, language: str) -> Example:
    labels = emotions(felt)
    return sentence(text, labels, dataset, split, sentiment_of(labels), language=language)
