"""Files of sentences: their lines, and the examples that they become."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ml.training.datasets.example import Example, Split
from ml.training.datasets.splits import needed
from ml.vocabulary import EMOTION_SYNONYMS, EMOTIONS, Emotion, Sentiment

_CONTROL = re.compile("[\x80-\x9f]")


def sentence(
    text: str,
    found: Sequence[Emotion],
    dataset: str,
    split: Split,
    sentiment: Sentiment | None = None,
    speaker: str | None = None,
) -> Example:
    return Example(
        label=found[0] if found else None,
        dataset=dataset,
        split=split,
        text=text,
        speaker=speaker,
        language="en",
        target=tuple((name in found) / len(found) for name in EMOTIONS) if found else None,
        sentiment=sentiment,
    )


def emotions(names: Iterator[str] | Sequence[str]) -> list[Emotion]:
    """Those that the vocabulary has, each once, in the order given."""
    return list(dict.fromkeys(EMOTION_SYNONYMS[name] for name in names if name in EMOTION_SYNONYMS))


def train_and_valid(root: Path, train: str, valid: str, test: str | None = None) -> Iterator[tuple[Path, Split]]:
    """The files of the parts, that of the test part only where it is there. Raises InvalidManifest when one is not."""
    parts: list[tuple[str, Split]] = [(train, "train"), (valid, "valid")]
    for name, split in parts:
        yield needed(root / name), split
    if test and (root / test).is_file():
        yield root / test, "test"


def read_file(path: Path) -> str:
    """UTF-8 with or without a mark, else Windows-1252; control characters that stand for its quotes are put right."""
    content = needed(path).read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    return _CONTROL.sub(lambda found: found[0].encode("latin-1").decode("cp1252", errors="replace"), text)


def lines(path: Path) -> Iterator[str]:
    """Lines that are not empty. Only line feeds part them: the texts hold other separators."""
    return (line.rstrip("\r") for line in read_file(path).split("\n") if line.strip())
