"""Diarization error rate: share of the speech that is missed, false, or given to the wrong speaker."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.errors import InvalidManifest
from ml.inference.api import TimeSpan
from ml.inference.people.diarization import Turn
from ml.inference.runtime.assignment import linear_sum_assignment
from ml.training.people.conversations import SpeakerTurn

STEP_SECONDS = 0.01


@dataclass(frozen=True)
class DiarizationError:
    """Seconds of speech that is missed, of false speech, of speech given to another speaker, and of all speech.

    Overlapping speech counts once for each speaker; there is no collar. Source: NIST, "The 2009 (RT-09) Rich
    Transcription Meeting Recognition Evaluation Plan".
    """

    missed: float = 0.0
    false: float = 0.0
    confused: float = 0.0
    speech: float = 0.0
    speakers_right: int = 0
    recordings: int = 0

    @property
    def rate(self) -> float:
        return (self.missed + self.false + self.confused) / max(self.speech, STEP_SECONDS)

    def json(self) -> dict[str, float | int]:
        """Return the rate, its parts as shares of the speech, and how often the number of speakers is right."""
        speech = max(self.speech, STEP_SECONDS)
        return {
            "recordings": self.recordings,
            "diarization_error_rate": round(self.rate, 4),
            "missed": round(self.missed / speech, 4),
            "false": round(self.false / speech, 4),
            "confused": round(self.confused / speech, 4),
            "number_of_speakers_right": round(self.speakers_right / max(self.recordings, 1), 4),
        }

    def __add__(self, other: "DiarizationError") -> "DiarizationError":
        return DiarizationError(
            self.missed + other.missed,
            self.false + other.false,
            self.confused + other.confused,
            self.speech + other.speech,
            self.speakers_right + other.speakers_right,
            self.recordings + other.recordings,
        )


def diarization_error(reference: Sequence[SpeakerTurn], found: Sequence[Turn], duration: float) -> DiarizationError:
    """Return the error with the best assignment of found speakers to those of the reference."""
    actual = _activity([(turn.span, turn.speaker) for turn in reference], duration)
    heard = _activity([(turn.span, str(turn.speaker)) for turn in found], duration)
    both = actual.T.astype(np.int64) @ heard.astype(np.int64)
    correct = 0
    if both.size:
        rows, columns = linear_sum_assignment((-both).tolist())
        correct = int(both[rows, columns].sum())
    actual_F, heard_F = actual.sum(1), heard.sum(1)
    return DiarizationError(
        missed=float(np.maximum(actual_F - heard_F, 0).sum() * STEP_SECONDS),
        false=float(np.maximum(heard_F - actual_F, 0).sum() * STEP_SECONDS),
        confused=float((np.minimum(actual_F, heard_F).sum() - correct) * STEP_SECONDS),
        speech=float(actual_F.sum() * STEP_SECONDS),
        speakers_right=int(actual.shape[1] == heard.shape[1]),
        recordings=1,
    )


def _activity(turns: Iterable[tuple[TimeSpan, str]], duration: float) -> np.ndarray:
    """Return who is heard at each step [steps, speakers]."""
    turns = list(turns)
    names = sorted({name for _, name in turns})
    active = np.zeros((round(duration / STEP_SECONDS), len(names)), bool)
    for span, name in turns:
        active[round(span.start / STEP_SECONDS) : round(span.end / STEP_SECONDS), names.index(name)] = True
    return active


def read_rttm(path: Path) -> dict[str, list[SpeakerTurn]]:
    """Return the turns of each recording of an RTTM file. Raises InvalidManifest."""
    recordings: dict[str, list[SpeakerTurn]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            start, length = float(fields[3]), float(fields[4])
            turn = SpeakerTurn(TimeSpan(start, start + length), fields[7])
        except (IndexError, ValueError) as error:
            raise InvalidManifest(f"{path.name}, line {number}: not a line of RTTM") from error
        recordings.setdefault(fields[1], []).append(turn)
    return recordings
