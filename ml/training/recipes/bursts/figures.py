"""Figures of the vocal bursts: clips found, false alarms in speech, and the model card."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.inference.voice.bursts import BurstOutputs, FoundBurst, find_bursts
from ml.networks.bursts import SECONDS_PER_STEP
from ml.registry import ModelDescription
from ml.training.model_card import card_document
from ml.training.recipes.bursts.data import Clip
from ml.vocabulary import BURSTS, Burst

ALARMS_PER_TEN_MINUTES = 0.2
"""False alarms of one kind in ten minutes of speech down to which its threshold is lowered."""
MIN_THRESHOLD, MAX_THRESHOLD, THRESHOLDS = 0.2, 0.98, 40
"""Bounds of the thresholds, and their number."""


@dataclass(frozen=True)
class HeardClip:
    """A clip with the probabilities [S, 9] of a network that was not trained on its speaker."""

    clip: Clip
    probabilities: NDArray[np.float32]

    def bursts(self, thresholds: Mapping[Burst, float]) -> list[FoundBurst]:
        steps = np.arange(len(self.probabilities))
        return find_bursts(BurstOutputs(steps, self.probabilities), thresholds, len(steps) * SECONDS_PER_STEP)


def choose_thresholds(heard: Sequence[HeardClip]) -> dict[Burst, float]:
    """Return the lowest threshold of each kind with few enough false alarms in speech."""
    grid = np.linspace(MIN_THRESHOLD, MAX_THRESHOLD, THRESHOLDS)
    speech = [each for each in heard if each.clip.is_speech]
    tens = max(sum(each.clip.seconds for each in speech) / 600, 1e-9)
    chosen: dict[Burst, float] = {}
    for kind in BURSTS:
        off = dict.fromkeys(BURSTS, 2.0)
        scores = np.array(
            [burst.score for each in speech for burst in each.bursts({**off, kind: float(grid[0])})], np.float64
        )
        fit = [value for value in grid if (scores >= value).sum() / tens <= ALARMS_PER_TEN_MINUTES]
        chosen[kind] = round(float(fit[0] if fit else grid[-1]), 3)
    return chosen


def burst_figures(heard: Sequence[HeardClip], thresholds: Mapping[Burst, float]) -> dict[str, Any]:
    """Return of each kind how many clips it is found in, and as what the others are heard; and the false alarms in ten
    minutes of speech, of each kind and data set, and in the other sounds of the mouth."""
    found = [(each.clip, [burst.kind for burst in each.bursts(thresholds)]) for each in heard]
    kinds: dict[str, Any] = {}
    for kind in BURSTS:
        own = [bursts for clip, bursts in found if clip.kind == kind]
        heard_as = Counter(bursts[0] if bursts else "nothing" for bursts in own if kind not in bursts)
        hits = sum(kind in bursts for bursts in own)
        kinds[kind] = {"n": len(own), "recall": round(hits / max(len(own), 1), 3), "instead": dict(heard_as)}
    speech = [(clip, bursts) for clip, bursts in found if clip.is_speech]
    alarms = {name: _alarms([each for each in speech if each[0].dataset == name]) for name in _datasets(speech)}
    others = [(clip, bursts) for clip, bursts in found if clip.kind is None and not clip.is_speech]
    return {
        "kinds": kinds,
        "alarms_per_ten_minutes": {"all": _alarms(speech), **alarms},
        "other_sounds": {
            label: {
                "n": sum(clip.label == label for clip, _ in others),
                "taken_for": dict(Counter(kind for clip, kinds in others if clip.label == label for kind in kinds[:1])),
            }
            for label in sorted({clip.label for clip, _ in others})
        },
    }


def _datasets(found: Sequence[tuple[Clip, list[Burst]]]) -> list[str]:
    return sorted({clip.dataset for clip, _ in found})


def _alarms(found: Sequence[tuple[Clip, list[Burst]]]) -> dict[str, float]:
    tens = max(sum(clip.seconds for clip, _ in found) / 600, 1e-9)
    counts = Counter(kind for _, bursts in found for kind in bursts)
    rates: dict[str, float] = {kind: round(counts[kind] / tens, 2) for kind in BURSTS}
    return {"minutes": round(tens * 10, 1), "total": round(counts.total() / tens, 2), **rates}


def burst_table(figures: Mapping[str, Any]) -> str:
    """Return the figures as Markdown tables."""
    alarms = figures["alarms_per_ten_minutes"]
    lines = [
        "| Kind | Clips | Recall | Heard instead | False alarms in 10 minutes of speech |",
        "|---|---|---|---|---|",
    ]
    for kind, own in figures["kinds"].items():
        instead = ", ".join(f"{name} {count}" for name, count in own["instead"].items()) or "–"
        lines.append(f"| {kind} | {own['n']} | {own['recall']:.2f} | {instead} | {alarms['all'][kind]:.2f} |")
    lines += ["", "| Speech | Minutes | False alarms in 10 minutes |", "|---|---|---|"]
    lines += [f"| {name} | {own['minutes']:.0f} | {own['total']:.2f} |" for name, own in alarms.items()]
    lines += ["", "| Other sound | Clips | Taken for |", "|---|---|---|"]
    for label, own in figures["other_sounds"].items():
        taken = ", ".join(f"{name} {count}" for name, count in own["taken_for"].items()) or "–"
        lines.append(f"| {label} | {own['n']} | {taken} |")
    return "\n".join(lines)


def burst_card(description: ModelDescription, limits: Sequence[str]) -> str:
    """Return the model card."""
    return card_document(
        description,
        title="Affect vocal bursts",
        summary="Small convolutional network on log-mel maps that finds laughs, cries, sighs, screams, gasps, groans, "
        "coughs, sneezes and sniffs.",
        use="Events in recordings, with their times. What a sound means is not said.",
        figures=[
            "In five folds by speaker: no clip was heard by a network that was trained on its speaker. Thresholds were "
            "chosen on the same speech in which false alarms are counted.",
            burst_table(description.metrics),
        ],
        limits=limits,
    )
