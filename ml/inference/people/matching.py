"""Matching of voices and faces: mouths that move while a voice is heard, over the whole recording.

Each frame of a face is evidence: for a voice that is heard then, if the mouth moves, and against it, if it does not. A
mouth that moves while the voice is silent is evidence against it too. Faces and voices are paired such that the
evidence is greatest, each at most once. A pair with evidence against it is dropped: a narrator stays without a face.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import FloatArray
from ml.inference.face.observations import FaceObservations
from ml.inference.face.quality import MOUTH
from ml.inference.people.diarization import Turn
from ml.inference.runtime.assignment import linear_sum_assignment
from ml.results import PersonMatch

STILL_MOUTH = 0.009
"""Deviation of the gap between the lips, in heights of the face, above which a mouth moves: speech has .015 to .04,
faces that listen or smile have less than .006."""
WINDOW_SECONDS = 0.5
"""Seconds before and after a frame in which the mouth is watched."""
MIN_WINDOW_FRAMES = 3
AGAINST = -0.5
"""Movement of a still mouth: it counts less than a moving one, because speech has pauses."""
MAX_FRAME_SECONDS = 0.5
"""Seconds that a frame stands for at most."""
SILENT_WEIGHT = 0.5
"""Weight of a mouth that moves while the voice is silent."""
MIN_SECONDS = 0.25
"""Minimum evidence of a pair, in seconds of a mouth that clearly moves with the voice."""
SURE_SECONDS = 2.0
"""Evidence from which a pair is sure, and by which it must exceed the next best pairing."""
AGAINST_SECONDS = -1.0
"""Evidence below which the only face is not the only voice's."""


@dataclass(frozen=True)
class Mouth:
    """Mouth of one person over time.

    `times_T`: seconds of the frames that show it; `seconds_T`: how long each stands for; `movement_T`: AGAINST for
    a mouth that is still, 1 for one that clearly moves, 0 if it is not known.
    """

    times_T: NDArray[np.float64]
    seconds_T: NDArray[np.float64]
    movement_T: FloatArray


@dataclass(frozen=True)
class VoiceMatch:
    """A person who is seen and the speaker whose voice is theirs; null for a face without a voice, or the reverse."""

    face_person: int | None
    speaker: int | None
    certainty: PersonMatch


def mouths_of(
    people: Sequence[tuple[int, ...]], tracks: Sequence[Sequence[int]], faces: FaceObservations
) -> list[Mouth]:
    """Return the mouth of each person. `people`: their tracks; `tracks`: of each face of each frame."""
    numbers_N = np.array([number for frame in tracks for number in frame], np.int64)
    times_N = np.repeat(faces.times_F, np.diff(faces.starts_G))
    seconds_N = np.repeat(_frame_seconds(faces.times_F), np.diff(faces.starts_G))
    gaps_N = np.full(len(numbers_N), np.nan) if faces.qualities_NQ is None else faces.qualities_NQ[:, MOUTH]
    movement_N = np.zeros(len(numbers_N), np.float32)
    for number in sorted(set(numbers_N.tolist())):
        rows = np.flatnonzero(numbers_N == number)
        movement_N[rows] = _movement(times_N[rows], gaps_N[rows])
    found = []
    for person in people:
        rows = np.flatnonzero(np.isin(numbers_N, person))
        found.append(Mouth(times_N[rows], seconds_N[rows], movement_N[rows]))
    return found


def _frame_seconds(times_F: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = np.diff(times_F)
    usual = float(np.median(steps)) if len(steps) else 0.0
    return np.minimum(np.append(steps, usual)[: len(times_F)], min(1.5 * usual, MAX_FRAME_SECONDS))


def _movement(times_T: NDArray[np.float64], gaps_T: NDArray[np.floating]) -> FloatArray:
    """Return how clearly the mouth of a track moves at each frame."""
    known = np.flatnonzero(~np.isnan(gaps_T))
    movement_T = np.zeros(len(times_T), np.float32)
    firsts = np.searchsorted(times_T[known], times_T - WINDOW_SECONDS - 1e-6)
    lasts = np.searchsorted(times_T[known], times_T + WINDOW_SECONDS + 1e-6)
    for row, (first, last) in enumerate(zip(firsts, lasts, strict=True)):
        if last - first >= MIN_WINDOW_FRAMES:
            deviation = max(float(gaps_T[known[first:last]].std()), 1e-6)
            movement_T[row] = np.clip(math.log2(deviation / STILL_MOUTH), AGAINST, 1)
    return movement_T


def match_voices(
    people_faces: Sequence[tuple[int, ...]], turns: Sequence[Turn], mouths: Sequence[Mouth]
) -> list[VoiceMatch]:
    """Return which of the people who are seen has which voice, ordered by the speaker.

    `mouths`: of `people_faces`. People and speakers that are in no pair are matched with none.
    """
    speakers = sorted({turn.speaker for turn in turns})
    if not people_faces or not speakers:
        return []
    evidence_PS = np.array([[_evidence(mouth, turns, speaker) for speaker in speakers] for mouth in mouths])
    if evidence_PS.shape == (1, 1):
        return _only_pair(float(evidence_PS[0, 0]), speakers[0])
    pairs = _best_pairs(evidence_PS)
    total = sum(float(evidence_PS[pair]) for pair in pairs)
    found = []
    for person, place in sorted(pairs, key=lambda pair: pair[1]):
        without = evidence_PS.copy()
        without[person, place] = -math.inf
        lead = total - sum(float(evidence_PS[pair]) for pair in _best_pairs(without))
        is_sure = min(lead, float(evidence_PS[person, place])) >= SURE_SECONDS
        found.append(VoiceMatch(person, speakers[place], "sure" if is_sure else "likely"))
    return found


def _only_pair(evidence: float, speaker: int) -> list[VoiceMatch]:
    """Return the pair of the only face and the only voice: they belong together unless the mouth says otherwise."""
    if evidence < AGAINST_SECONDS:
        return []
    return [VoiceMatch(0, speaker, "sure" if evidence >= SURE_SECONDS else "likely")]


def _evidence(mouth: Mouth, turns: Sequence[Turn], speaker: int) -> float:
    """Return the seconds for, less those against, that a mouth is the speaker's. What several voices say at once counts
    for none of them."""
    own, others = (
        _spoken(mouth, [turn for turn in turns if (turn.speaker == speaker) == mine]) for mine in (True, False)
    )
    weighted_T = mouth.movement_T * mouth.seconds_T
    return float(weighted_T[own & ~others].sum() - SILENT_WEIGHT * np.maximum(weighted_T[~own], 0).sum())


def _spoken(mouth: Mouth, turns: Sequence[Turn]) -> NDArray[np.bool_]:
    """Return the frames in which one of the turns is heard."""
    spoken_T = np.zeros(len(mouth.times_T), np.bool_)
    for turn in turns:
        first, last = np.searchsorted(mouth.times_T, [turn.span.start, turn.span.end])
        spoken_T[first:last] = True
    return spoken_T


def _best_pairs(evidence_PS: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return the pairs with the greatest sum of evidence, each of them with at least MIN_SECONDS."""
    gains = np.where(evidence_PS >= MIN_SECONDS, evidence_PS, 0.0)
    rows, columns = linear_sum_assignment((-gains).tolist())
    return [(row, column) for row, column in zip(rows, columns, strict=True) if gains[row, column] > 0]
