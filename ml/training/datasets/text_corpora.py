"""Collected sentences with an emotion, a sentiment, or both: GoEmotions, MELD, XED, SemEval 2018, ISEAR, SST,
and those in many languages.

Each reader takes the folder of its data set, in the layout in which it is published. Several labels of one sentence
become a soft target in equal shares.
"""

import html
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from ml.training.datasets.emobank import read_emobank
from ml.training.datasets.example import Example, Record, SkippedRecord, Split, examples_of
from ml.training.datasets.goemotions import read_goemotions
from ml.training.datasets.meld import read_meld
from ml.training.datasets.multilingual_sentences import read_brighter, read_xed_projections
from ml.training.datasets.sentence_files import emotions, lines, sentence, train_and_valid
from ml.training.datasets.tables import read_each
from ml.vocabulary import EMOTION_SYNONYMS, Sentiment

_PLUTCHIK = dict(
    enumerate(("neutral", "anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust"))
)
_SST: dict[int, Sentiment] = {0: "negative", 1: "negative", 2: "neutral", 3: "positive", 4: "positive"}
_NO_ANSWER = re.compile(r"^\[.*\]$|^(?:blank|no response)\.?$", re.IGNORECASE)
NOT_IN_VOCABULARY = "none of the seven"
_BRACKETS = {"-lrb-": "(", "-rrb-": ")", "-lsb-": "[", "-rsb-": "]"}


def read_xed(root: Path) -> Iterator[Record]:
    """Read `en-annotated.tsv` (text TAB Plutchik's eight, by number) and `neu_en.txt` (9 TAB text). All for training.

    Sentences with only anticipation or trust have no place in the vocabulary and are left out.
    """
    yield from read_each(lines(root / "en-annotated.tsv"), _annotated)
    yield from read_each(lines(root / "neu_en.txt"), _unmoved)


def _annotated(line: str) -> Record:
    text, ids = line.split("\t")
    labels = emotions([_PLUTCHIK[int(number)] for number in ids.split(",")])
    return sentence(_name(text), labels, "xed", "train") if labels else SkippedRecord(text, NOT_IN_VOCABULARY)


def _unmoved(line: str) -> Record:
    text = line.split("\t")[1].strip()
    return sentence(_name(text), ["neutral"], "xed", "train", "neutral") if text else SkippedRecord(line, "no text")


def read_semeval(root: Path) -> Iterator[Record]:
    """Read task 1, E-c: tweets with eleven yes or no. Love counts as joy; a tweet without a yes is neutral.

    Tweets with only anticipation, optimism, pessimism or trust are left out.
    """
    for file, split in train_and_valid(root, "E-c-En-train.txt", "E-c-En-dev.txt"):
        rows = (line.split("\t") for line in lines(file))
        names = next(rows, [])[2:]
        yield from read_each(rows, partial(_tweet, names, split))


def _tweet(names: Sequence[str], split: Split, row: Sequence[str]) -> Record:
    _, tweet, *flags = row
    if not {"0", "1"} >= set(flags):
        raise ValueError("neither yes nor no")
    felt = [name for name, flag in zip(names, flags, strict=True) if flag == "1"]
    labels = emotions(felt or ["neutral"])
    text = html.unescape(tweet).replace("\\n", " ")
    return sentence(text, labels, "semeval2018", split) if labels else SkippedRecord(text, NOT_IN_VOCABULARY)


def read_isear(root: Path) -> Iterator[Record]:
    """Read `isear.tsv`: label TAB situation, described by students. All for testing.

    Shame, guilt and empty answers are left out. Line breaks of the questionnaire are mojibake in the published file.
    """
    return read_each(lines(root / "isear.tsv"), _situation)


def _situation(line: str) -> Record:
    label, text = line.split("\t")
    answer = re.sub(r"\s*(?:Ã¡|á)\s+", " ", text).strip()
    if _NO_ANSWER.match(answer):
        return SkippedRecord(label, "no answer")
    return (
        sentence(answer, emotions([label]), "isear", "test")
        if label in EMOTION_SYNONYMS
        else SkippedRecord(answer, NOT_IN_VOCABULARY)
    )


def read_sst(root: Path) -> Iterator[Record]:
    """Read `stsa.fine.train` and `.dev`: 0 … 4, a space, and the tokens of a sentence. Sentiment alone."""
    for file, split in train_and_valid(root, "stsa.fine.train", "stsa.fine.dev"):
        yield from read_each(lines(file), partial(_review, split))


def _review(split: Split, line: str) -> Example:
    stars, tokens = line.split(" ", 1)
    return sentence(_joined(tokens), [], "sst", split, _SST[int(stars)])


READERS: dict[str, tuple[str, Callable[[Path], Iterator[Record]]]] = {
    "goemotions": ("goemotions", read_goemotions),
    "meld": ("meld", read_meld),
    "xed": ("xed", read_xed),
    "semeval2018": ("semeval2018_ec", read_semeval),
    "isear": ("isear", read_isear),
    "sst": ("sst", read_sst),
    "brighter": ("brighter", read_brighter),
    "xed-projections": ("xed_projections", read_xed_projections),
    "emobank": ("vad", read_emobank),
}
"""Folder and reader by name of the data set."""


def read_sentences(root: Path, names: Sequence[str]) -> Iterator[Example]:
    """Yield the examples of the named data sets below `root`. Raises InvalidManifest if one is missing."""
    for name in names:
        folder, reader = READERS[name]
        yield from examples_of(reader(root / folder))


def _name(text: str) -> str:
    """Replace XED's placeholder of a person by that of GoEmotions."""
    return text.replace("[PERSON]", "[NAME]")


def _joined(tokens: str) -> str:
    """Join Penn Treebank tokens to a sentence with ordinary spacing."""
    for token, bracket in _BRACKETS.items():
        tokens = tokens.replace(token, bracket)
    tokens = tokens.replace("`` ", '"').replace(" ''", '"')
    return re.sub(r" (n't|'[a-z]+|[.,;:!?)])(?= |$)", r"\1", tokens)
