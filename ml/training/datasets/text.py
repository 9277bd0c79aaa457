"""Sentences with an emotion, a sentiment, or both: GoEmotions, MELD, XED, SemEval 2018, ISEAR, SST.

Each reader takes the folder of its data set, in the layout in which it is published. Several labels of one sentence
become a soft target in equal shares. The sentiment of GoEmotions is that of its groups (Demszky et al. 2020): joy is
its positive group, surprise its ambiguous one, of which no sentiment is known.
"""

import csv
import html
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ml.training.datasets.example import Example, Split
from ml.vocabulary import EMOTIONS, Emotion, Sentiment

_EMOTION: dict[str, Emotion] = {
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "joy": "happy",
    "love": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprise": "surprise",
}
_SENTIMENT: dict[Emotion, Sentiment] = {
    "angry": "negative",
    "disgust": "negative",
    "fear": "negative",
    "happy": "positive",
    "neutral": "neutral",
    "sad": "negative",
}
_PLUTCHIK = ("neutral", "anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust")
_SST: tuple[Sentiment, ...] = ("negative", "negative", "neutral", "positive", "positive")
_NO_ANSWER = re.compile(r"^\[.*\]$|^(?:blank|no response)\.?$", re.IGNORECASE)
_CONTROL = re.compile("[\x80-\x9f]")
_BRACKETS = {"-lrb-": "(", "-rrb-": ")", "-lsb-": "[", "-rsb-": "]"}


def read_goemotions(root: Path) -> Iterator[Example]:
    """Lines of text TAB label ids TAB id, with Ekman's six and neutral as `labels.txt` numbers them; train and dev."""
    names = _read(root / "labels.txt").split()
    for file, split in _splits(root, "train.tsv", "dev.tsv"):
        for line in _lines(file):
            text, ids, _ = line.split("\t")
            found = _emotions(names[int(number)] for number in ids.split(","))
            groups = {_SENTIMENT.get(emotion) for emotion in found}
            yield _example(_unquoted(text), found, "goemotions", split, groups.pop() if len(groups) == 1 else None)


def read_meld(root: Path) -> Iterator[Example]:
    """`train_sent_emo.csv` and `dev_sent_emo.csv`: lines of dialogue with emotion, sentiment and speaker."""
    for file, split in _splits(root, "train_sent_emo.csv", "dev_sent_emo.csv"):
        for row in csv.DictReader(_read(file).splitlines()):
            sentiment: Sentiment = row["Sentiment"]  # type: ignore[assignment]
            yield _example(row["Utterance"], _emotions([row["Emotion"]]), "meld", split, sentiment, row["Speaker"])


def read_xed(root: Path) -> Iterator[Example]:
    """`en-annotated.tsv` (text TAB Plutchik's eight, by number) and `neu_en.txt` (9 TAB text). All for training.

    Sentences with only anticipation or trust have no place in the vocabulary and are left out.
    """
    for line in _lines(root / "en-annotated.tsv"):
        text, ids = line.split("\t")
        found = _emotions(_PLUTCHIK[int(number)] for number in ids.split(","))
        if found:
            yield _example(_name(text), found, "xed", "train")
    for line in _lines(root / "neu_en.txt"):
        text = line.split("\t")[1].strip()
        if text:
            yield _example(_name(text), ["neutral"], "xed", "train", "neutral")


def read_semeval(root: Path) -> Iterator[Example]:
    """Task 1, E-c: tweets with eleven yes or no. Love counts as joy; none of the eleven is neutral.

    Tweets with only anticipation, optimism, pessimism or trust are left out.
    """
    for file, split in _splits(root, "E-c-En-train.txt", "E-c-En-dev.txt"):
        header, *rows = (line.split("\t") for line in _lines(file))
        for _, tweet, *flags in rows:
            felt = [name for name, flag in zip(header[2:], flags, strict=True) if flag == "1"]
            found = _emotions(felt or ["neutral"])
            if found:
                yield _example(html.unescape(tweet).replace("\\n", " "), found, "semeval2018", split)


def read_isear(root: Path) -> Iterator[Example]:
    """`isear.tsv`: label TAB situation, as told by students. Shame and guilt, and answers that tell nothing, are left
    out. The line breaks of the questionnaire survive as mojibake in the published file. All for testing."""
    for line in _lines(root / "isear.tsv"):
        label, text = line.split("\t")
        told = re.sub(r"\s*(?:Ã¡|á)\s+", " ", text).strip()
        if label in _EMOTION and not _NO_ANSWER.match(told):
            yield _example(told, _emotions([label]), "isear", "test")


def read_sst(root: Path) -> Iterator[Example]:
    """`stsa.fine.train` and `.dev`: 0 … 4, a space, and the tokens of a sentence. Sentiment alone."""
    for file, split in _splits(root, "stsa.fine.train", "stsa.fine.dev"):
        for line in _lines(file):
            yield _example(_joined(line[2:]), [], "sst", split, _SST[int(line[0])])


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
    """The examples of the named data sets below `root`. Raises FileNotFoundError when one is missing."""
    for name in names:
        folder, reader = READERS[name]
        yield from reader(root / folder)


def read_manifest(path: Path) -> Iterator[Example]:
    """A CSV with the columns text and label (of the vocabulary), and perhaps speaker and source.

    Raises ValueError when a column is missing, or a label is not of the vocabulary.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if not {"text", "label"} <= set(rows.fieldnames or ()):
            raise ValueError(f"{path.name} needs the columns text and label")
        for row in rows:
            if row["label"] not in EMOTIONS:
                raise ValueError(f"{path.name}, line {rows.line_num}: {row['label']!r} is not of the vocabulary")
            yield _example(
                row["text"], [row["label"]], row.get("source") or path.stem, "test", None, row.get("speaker")
            )


def _example(
    text: str,
    emotions: Sequence[Emotion],
    dataset: str,
    split: Split,
    sentiment: Sentiment | None = None,
    speaker: str | None = None,
) -> Example:
    return Example(
        label=emotions[0] if emotions else None,
        dataset=dataset,
        split=split,
        text=text,
        speaker=speaker,
        language="en",
        target=tuple((name in emotions) / len(emotions) for name in EMOTIONS) if emotions else None,
        sentiment=sentiment,
    )


def _emotions(names: Iterator[str] | Sequence[str]) -> list[Emotion]:
    """Those that the vocabulary has, each once, in the order given."""
    return list(dict.fromkeys(_EMOTION[name] for name in names if name in _EMOTION))


def _splits(root: Path, train: str, valid: str) -> tuple[tuple[Path, Split], tuple[Path, Split]]:
    return (root / train, "train"), (root / valid, "valid")


def _read(path: Path) -> str:
    """UTF-8 with or without a mark, else Windows-1252; control characters that stand for its quotes are put right."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    return _CONTROL.sub(lambda found: found[0].encode("latin-1").decode("cp1252", errors="replace"), text)


def _lines(path: Path) -> Iterator[str]:
    """Lines that are not empty. Only line feeds part them: the texts hold other separators."""
    return (line.rstrip("\r") for line in _read(path).split("\n") if line.strip())


def _unquoted(text: str) -> str:
    """A field that was quoted as CSV quotes, in a file that is not CSV."""
    quoted = len(text) > 1 and text[0] == text[-1] == '"' and '""' in text[1:-1]
    return text[1:-1].replace('""', '"') if quoted else text


def _name(text: str) -> str:
    """XED's place-holder of a person, as GoEmotions writes it."""
    return text.replace("[PERSON]", "[NAME]")


def _joined(tokens: str) -> str:
    """Penn Treebank tokens → a sentence as people write it."""
    for token, bracket in _BRACKETS.items():
        tokens = tokens.replace(token, bracket)
    tokens = tokens.replace("`` ", '"').replace(" ''", '"')
    return re.sub(r" (n't|'[a-z]+|[.,;:!?)])(?= |$)", r"\1", tokens)
