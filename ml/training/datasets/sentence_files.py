"""Files of sentences: their lines, and examples of them."""

import lzma
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ml.training.datasets.example import Example, Split
from ml.training.datasets.splits import require
from ml.vocabulary import EMOTION_SYNONYMS, EMOTIONS, Emotion, Sentiment

_CONTROL = re.compile("[\x80-\x9f]")


def sentence(
    text: str,
    labels: Sequence[Emotion],
    dataset: str,
    split: Split,
    sentiment: Sentiment | None = None,
    speaker: str | None = None,
    language: str = "en",
) -> Example:
    """Return the example of a sentence. Several labels become a soft target in equal shares."""
    return Example(
        label=labels[0] if labels else None,
        dataset=dataset,
        split=split,
        text=text,
        speaker=speaker,
        language=language,
        target=tuple((name in labels) / len(labels) for name in EMOTIONS) if labels else None,
        sentiment=sentiment,
    )


SENTIMENT_OF: dict[Emotion, Sentiment] = {
    "angry": "negative",
    "disgust": "negative",
    "fear": "negative",
    "happy": "positive",
    "neutral": "neutral",
    "sad": "negative",
}
"""Sentiment of the emotions as GoEmotions groups them. Surprise is ambiguous."""


def sentiment_of(labels: Sequence[Emotion]) -> Sentiment | None:
    """Return the sentiment that all labels have, if they have one."""
    sentiments = {SENTIMENT_OF.get(emotion) for emotion in labels}
    return sentiments.pop() if len(sentiments) == 1 else None


def emotions(names: Iterator[str] | Sequence[str]) -> list[Emotion]:
    """Return the emotions of the vocabulary with these names, each once, in the order of the names."""
    return list(dict.fromkeys(EMOTION_SYNONYMS[name] for name in names if name in EMOTION_SYNONYMS))


def train_and_valid(root: Path, train: str, valid: str, test: str | None = None) -> Iterator[tuple[Path, Split]]:
    """Yield the file of each split; the test file only if it exists. Raises InvalidManifest if another is missing."""
    parts: list[tuple[str, Split]] = [(train, "train"), (valid, "valid")]
    for name, split in parts:
        yield require(root / name), split
    if test and (root / test).is_file():
        yield root / test, "test"


def read_file(path: Path) -> str:
    """Read text: UTF-8 with or without BOM, else Windows-1252. Control characters become quotes.

    A file whose name ends in `.xz` is decompressed.
    """
    content = require(path).read_bytes()
    if path.suffix == ".xz":
        content = lzma.decompress(content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    return _CONTROL.sub(lambda match: match[0].encode("latin-1").decode("cp1252", errors="replace"), text)


def lines(path: Path) -> Iterator[str]:
    """Return the lines that are not empty. Only line feeds separate them: the texts contain other separators."""
    return (line.rstrip("\r") for line in read_file(path).split("\n") if line.strip())
