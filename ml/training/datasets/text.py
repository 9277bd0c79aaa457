"""Collected sentences with an emotion, a sentiment, or both: GoEmotions, MELD, XED, SemEval 2018, ISEAR, SST.

Each reader takes the folder of its data set, in the layout in which it is published. Several labels of one sentence
become a soft target in equal shares.
"""

import html
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ml.training.datasets.example import Example
from ml.training.datasets.goemotions import read_goemotions
from ml.training.datasets.meld import read_meld
from ml.training.datasets.sentences import emotions, lines, sentence, train_and_valid
from ml.vocabulary import EMOTION_OF, Sentiment

_PLUTCHIK = ("neutral", "anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust")
_SST: tuple[Sentiment, ...] = ("negative", "negative", "neutral", "positive", "positive")
_NO_ANSWER = re.compile(r"^\[.*\]$|^(?:blank|no response)\.?$", re.IGNORECASE)
_BRACKETS = {"-lrb-": "(", "-rrb-": ")", "-lsb-": "[", "-rsb-": "]"}


def read_xed(root: Path) -> Iterator[Example]:
    """`en-annotated.tsv` (text TAB Plutchik's eight, by number) and `neu_en.txt` (9 TAB text). All for training.

    Sentences with only anticipation or trust have no place in the vocabulary and are left out.
    """
    for line in lines(root / "en-annotated.tsv"):
        text, ids = line.split("\t")
        found = emotions(_PLUTCHIK[int(number)] for number in ids.split(","))
        if found:
            yield sentence(_name(text), found, "xed", "train")
    for line in lines(root / "neu_en.txt"):
        text = line.split("\t")[1].strip()
        if text:
            yield sentence(_name(text), ["neutral"], "xed", "train", "neutral")


def read_semeval(root: Path) -> Iterator[Example]:
    """Task 1, E-c: tweets with eleven yes or no. Love counts as joy; none of the eleven is neutral.

    Tweets with only anticipation, optimism, pessimism or trust are left out.
    """
    for file, split in train_and_valid(root, "E-c-En-train.txt", "E-c-En-dev.txt"):
        header, *rows = (line.split("\t") for line in lines(file))
        for _, tweet, *flags in rows:
            felt = [name for name, flag in zip(header[2:], flags, strict=True) if flag == "1"]
            found = emotions(felt or ["neutral"])
            if found:
                yield sentence(html.unescape(tweet).replace("\\n", " "), found, "semeval2018", split)


def read_isear(root: Path) -> Iterator[Example]:
    """`isear.tsv`: label TAB situation, as told by students. Shame and guilt, and answers that tell nothing, are left
    out. The line breaks of the questionnaire survive as mojibake in the published file. All for testing."""
    for line in lines(root / "isear.tsv"):
        label, text = line.split("\t")
        told = re.sub(r"\s*(?:Ã¡|á)\s+", " ", text).strip()
        if label in EMOTION_OF and not _NO_ANSWER.match(told):
            yield sentence(told, emotions([label]), "isear", "test")


def read_sst(root: Path) -> Iterator[Example]:
    """`stsa.fine.train` and `.dev`: 0 … 4, a space, and the tokens of a sentence. Sentiment alone."""
    for file, split in train_and_valid(root, "stsa.fine.train", "stsa.fine.dev"):
        for line in lines(file):
            yield sentence(_joined(line[2:]), [], "sst", split, _SST[int(line[0])])


READERS: dict[str, tuple[str, Callable[[Path], Iterator[Example]]]] = {
    "goemotions": ("goemotions", read_goemotions),
    "meld": ("meld", read_meld),
    "xed": ("xed", read_xed),
    "semeval2018": ("semeval2018_ec", read_semeval),
    "isear": ("isear", read_isear),
    "sst": ("sst", read_sst),
}
"""By name of the data set: its folder and its reader."""


def read_sentences(root: Path, names: Sequence[str]) -> Iterator[Example]:
    """The examples of the named data sets below `root`. Raises InvalidManifest when one is missing."""
    for name in names:
        folder, reader = READERS[name]
        yield from reader(root / folder)


def _name(text: str) -> str:
    """XED's place-holder of a person, as GoEmotions writes it."""
    return text.replace("[PERSON]", "[NAME]")


def _joined(tokens: str) -> str:
    """Penn Treebank tokens → a sentence as people write it."""
    for token, bracket in _BRACKETS.items():
        tokens = tokens.replace(token, bracket)
    tokens = tokens.replace("`` ", '"').replace(" ''", '"')
    return re.sub(r" (n't|'[a-z]+|[.,;:!?)])(?= |$)", r"\1", tokens)
