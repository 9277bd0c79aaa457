"""Figures of the face identity: how well pairs of faces of one person are distinguished from those of two."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.registry import ModelDescription

PAIRS = 6000
"""Pairs that are compared, half of the same person."""
SEED = 29
PAIR_FIGURES = "lfw_emotion, valid"
"""Name of the figures in a manifest: the people who are held out."""
FOLDS = 10
FALSE_SHARES = (0.01, 0.001)
"""Shares of the pairs of two people that may be taken for one person, for which the shares found are reported."""


def pairs_of(people: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return rows of pairs of faces [P, 2] and which are of the same person [P]; the same pairs for the same people.

    A person has no more pairs than needed: the limit rises until there are enough.
    """
    chooser = np.random.default_rng(SEED)
    rows_of: dict[str, list[int]] = {}
    for row, person in enumerate(people):
        rows_of.setdefault(person, []).append(row)
    of_person = [
        chooser.permutation([(one, other) for place, one in enumerate(rows) for other in rows[place + 1 :]]).tolist()
        for rows in rows_of.values()
        if len(rows) > 1
    ]
    limit = next((each for each in (10, 20, 40, 80, 160, 320) if _count(of_person, each) >= PAIRS // 2), 640)
    same = [pair for pairs in of_person for pair in pairs[:limit]]
    same = [same[row] for row in chooser.permutation(len(same))[: PAIRS // 2]]
    names = sorted(rows_of)
    different: set[tuple[int, int]] = set()
    while len(different) < len(same):
        one, other = (int(chooser.choice(rows_of[names[n]])) for n in chooser.choice(len(names), 2, replace=False))
        different.add((one, other))
    pairs = np.array([*same, *sorted(different)], np.int64)
    return pairs, np.arange(len(pairs)) < len(same)


def _count(of_person: Sequence[Sequence[object]], limit: int) -> int:
    return sum(min(len(pairs), limit) for pairs in of_person)


def pair_figures(vectors_NE: NDArray[np.float32], people: Sequence[str]) -> dict[str, Any]:
    """Return accuracy over ten folds, each at the threshold that is best on the other nine, its threshold, and the
    share of same pairs that is found while few pairs of two people are taken for one."""
    pairs, is_same = pairs_of(people)
    cosines = (vectors_NE[pairs[:, 0]] * vectors_NE[pairs[:, 1]]).sum(1)
    folds = np.random.default_rng(SEED).permutation(len(pairs)) % FOLDS
    accuracies, thresholds = [], []
    for fold in range(FOLDS):
        others = folds != fold
        thresholds.append(_best_threshold(cosines[others], is_same[others]))
        accuracies.append(float(((cosines[~others] >= thresholds[-1]) == is_same[~others]).mean()))
    found = {share: float(np.quantile(cosines[~is_same], 1 - share)) for share in FALSE_SHARES}
    return {
        "n": len(pairs),
        "people": len(set(people)),
        "accuracy": round(float(np.mean(accuracies)), 4),
        "threshold": round(float(np.median(thresholds)), 4),
        **{f"found_at_{share}": round(float((cosines[is_same] > at).mean()), 4) for share, at in found.items()},
    }


def _best_threshold(cosines: NDArray[np.float32], is_same: NDArray[np.bool_]) -> float:
    order = np.argsort(-cosines)
    right = np.cumsum(np.where(is_same[order], 1, -1))
    return float(cosines[order[int(right.argmax())]])


def identity_card(description: ModelDescription, limits: Sequence[str]) -> str:
    """Return the model card."""
    figures = description.metrics[PAIR_FIGURES]
    spread = 1.96 * (figures["accuracy"] * (1 - figures["accuracy"]) / figures["n"]) ** 0.5
    interval = f"[{figures['accuracy'] - spread:.3f}, {min(figures['accuracy'] + spread, 1):.3f}]"
    lines = [
        f"# {description.name}",
        "",
        "Turns the aligned grey crop of a face into a vector of 128 numbers, alike for pictures of the same person.",
        "It tells the people of one recording apart; vectors are never compared between recordings.",
        "",
        "## Figures",
        "",
        "| Pairs of faces | n | Accuracy (95 %) | People, none trained on | Same found at 1 % false | at 0.1 % false |",
        "|---|---|---|---|---|---|",
        f"| {PAIR_FIGURES} | {figures['n']:,} | {figures['accuracy']:.3f} {interval} | {figures['people']} "
        f"| {figures['found_at_0.01']:.3f} | {figures['found_at_0.001']:.3f} |",
        "",
        "Half of the pairs are of the same person. The threshold of each tenth is chosen on the other nine.",
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in limits),
        "",
        "## Made with",
        "",
        *(f"- {each}" for each in (*description.data, *description.starts)),
        "",
        f"Command: `{description.command}`",
        "",
        f"Licence: {description.licence.name}. {description.licence.note}",
    ]
    return "\n".join(lines) + "\n"
