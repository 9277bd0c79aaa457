"""Face crops, listed by a `manifest.csv` of path, label, dataset, split."""

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from ml.training.datasets.example import SPLITS, Example, Record, SkippedRecord, Split
from ml.training.datasets.splits import split_by
from ml.training.datasets.tables import read_each, table
from ml.vocabulary import EMOTION_SYNONYMS, EMOTIONS

HELD_OUT = frozenset({"sfew", "ckplus48", "jaffe"})
"""Data sets that are never trained on, and evaluated on as a whole."""

NAMED_BY_PERSON = frozenset({"ckplus48", "indian_film"})
"""Data sets in which the first word of a picture's name is a person."""

_PLUS = {"angry": "v_angry", "disgust": "v_disgust", "fear": "v_fear", "happy": "v_happy", "sad": "v_sad"}
_PLUS |= {"surprise": "v_surprise", "neutral": "v_neutral"}
_VOTES = ("image", "train_exact_dup_of_eval", "train_near_dup_of_eval_cc", *_PLUS.values())
_NEAR_DUPLICATE = 0.98


def read_faces(root: Path, votes_share: float = 0.15) -> Iterator[Record]:
    """Yield the examples of `root/manifest.csv`, with their splits.

    AffectNet has no split of its own: a tenth, by the sha256 of the file name, is for validation; of LFW it is a fifth
    of its people (`lfw_people.csv`). People are the `speaker` of an example, if the file names contain them. Training
    pictures of FER2013 with a (near) duplicate in the other splits are left out, and the votes of FER+ annotators
    become `votes_share` of the target. Raises InvalidManifest if the list cannot be read.
    """
    votes = _fer_votes(root / "fer2013" / "labels.csv")
    rows = table(root / "manifest.csv", "path", "label", "dataset", "split")
    return read_each(rows, partial(_face, root, votes, votes_share, _lfw_people(root / "lfw_people.csv")))


def _face(
    root: Path, votes: Mapping[str, dict[str, str]], share: float, people: Mapping[str, str], row: dict[str, str]
) -> Record:
    path, dataset, label = Path(row["path"]), row["dataset"], EMOTION_SYNONYMS[row["label"]]
    person = people.get(row["path"]) or _person(dataset, path)
    split = _split(dataset, path, row["split"], person)
    plus = votes.get(path.name, {}) if dataset == "fer2013" else {}
    if split == "train" and plus and _is_duplicate(plus):
        return SkippedRecord(row["path"], "duplicate of a held-out picture")
    return Example(
        label=label,
        dataset=dataset,
        split=split,
        path=root / path,
        speaker=f"{dataset}/{person}" if person else None,
        target=_target(label, plus, share),
    )


def _lfw_people(path: Path) -> dict[str, str]:
    return {row["path"]: row["person"] for row in table(path, "path", "person")} if path.exists() else {}


def _person(dataset: str, path: Path) -> str | None:
    """Return the person in the name of a picture; None if there is no such name."""
    if dataset == "jaffe":
        return path.stem[:2]
    return path.stem.split("_")[0] if dataset in NAMED_BY_PERSON else None


def _split(dataset: str, path: Path, listed: str, person: str | None) -> Split:
    """Return the split of a picture. Raises ValueError if the listed one is unknown."""
    if dataset in HELD_OUT:
        return "test"
    if dataset == "lfw_emotion":
        return split_by(person or path.stem, valid=20, test=0)
    if dataset.startswith("affectnet"):
        return "valid" if int(hashlib.sha256(path.name.encode()).hexdigest(), 16) % 10 == 0 else "train"
    return SPLITS[SPLITS.index(listed)]


def _fer_votes(path: Path) -> dict[str, dict[str, str]]:
    return {row["image"]: row for row in table(path, *_VOTES)} if path.exists() else {}


def _is_duplicate(row: dict[str, str]) -> bool:
    return row["train_exact_dup_of_eval"] == "1" or float(row["train_near_dup_of_eval_cc"] or 0) > _NEAR_DUPLICATE


def _target(label: str, votes: dict[str, str], share: float) -> tuple[float, ...]:
    """Return the label, mixed with `share` of the FER+ votes, if at least three annotators saw one of the emotions."""
    hard = np.array([name == label for name in EMOTIONS], dtype=float)
    counted = np.array([float(votes.get(_PLUS[name]) or 0) for name in EMOTIONS])
    total = counted.sum()
    return tuple((1 - share) * hard + share * counted / total) if total >= 3 else tuple(hard)
