"""GoEmotions (Demszky et al. 2020): comments of Reddit, Apache-2.0."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from ml.errors import InvalidManifest
from ml.training.datasets.example import Record, Split
from ml.training.datasets.sentence_files import emotions, lines, read_file, sentence, sentiment_of, train_and_valid
from ml.training.datasets.tables import read_each

_GROUPS = {
    "anger": "anger annoyance disapproval",
    "disgust": "disgust",
    "fear": "fear nervousness",
    "joy": "admiration amusement approval caring desire excitement gratitude joy love optimism pride relief",
    "sadness": "sadness disappointment embarrassment grief remorse",
    "surprise": "surprise confusion curiosity realization",
    "neutral": "neutral",
}
EKMAN = {name: group for group, names in _GROUPS.items() for name in names.split()}
"""The authors' map of their 28 names to Ekman's six and neutral."""


def read_goemotions(root: Path) -> Iterator[Record]:
    """Read lines of text TAB label ids TAB id; `emotions.txt` (the 28) or `labels.txt` (Ekman's) numbers the labels.

    The sentiment is that of the authors' groups: joy is positive; surprise is ambiguous, so its sentiment is unknown.
    Several labels become a soft target in equal shares. `test.tsv` is read if it exists.
    """
    named = next((file for file in (root / "emotions.txt", root / "labels.txt") if file.exists()), None)
    if named is None:
        raise InvalidManifest(f"{root.name} has neither emotions.txt nor labels.txt")
    names = read_file(named).split()
    unknown = [name for name in names if name not in EKMAN]
    if unknown:
        raise InvalidManifest(f"{named.name} has labels that are not of GoEmotions: {', '.join(unknown)}")
    groups = dict(enumerate(EKMAN[name] for name in names))
    for file, split in train_and_valid(root, "train.tsv", "dev.tsv", "test.tsv"):
        yield from read_each(lines(file), partial(_comment, groups, split))


def _comment(groups: Mapping[int, str], split: Split, line: str) -> Record:
    text, ids, _ = line.split("\t")
    labels = emotions([groups[int(number)] for number in ids.split(",")])
    return sentence(_unquoted(text), labels, "goemotions", split, sentiment_of(labels))


def _unquoted(text: str) -> str:
    """Undo the CSV quotes of a field, in a file that is not CSV."""
    quoted = len(text) > 1 and text[0] == text[-1] == '"' and '""' in text[1:-1]
    return text[1:-1].replace('""', '"') if quoted else text
