"""People by their faces: the tracks of one person, found by the identities of the faces.

A track has the mean of its identities, in which large, sharp faces that look into the camera count more. Tracks are
clustered over the whole recording; two that are seen at once are two people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import FloatArray
from ml.inference.face.observations import FaceObservations
from ml.inference.face.quality import PITCH, SHARPNESS, SIZE, YAW
from ml.inference.people.clustering import Item, cluster

SAME_PERSON = 0.935
"""Minimum cosine of two groups of tracks that are joined. Of tracks of one photograph each, of three to six people who
were not trained on, .93 joined with precision .94 and recall .96, .94 with 1.00 and .94."""
DOUBTFUL_PERSON = 0.915
"""The same for a track that is seen too briefly to be sure of its identity."""
MIN_SURE_WEIGHT = 1.0
"""Weight of a track from which on it is sure, about that of a clear face in one frame."""
CLEAR_SIZE, CLEAR_SHARPNESS, CLEAR_ANGLE = 64.0, 0.08, 30.0
"""Pixels, share of fine contrast and degrees at which a face counts fully, or by half."""


@dataclass(frozen=True)
class _Track:
    """Frames of a track, and the sum of its weighted identities."""

    frames: frozenset[int]
    total: FloatArray
    weight: float

    @property
    def item(self) -> Item:
        return Item(self.total / max(float(np.linalg.norm(self.total)), 1e-9), self.weight, self.frames)


def face_people(
    tracks: Sequence[Sequence[int]],
    faces: FaceObservations,
    *,
    min_people: int = 1,
    max_people: int | None = None,
    threshold: float = SAME_PERSON,
) -> list[tuple[int, ...]]:
    """Return the tracks of each person, ascending; the person with the most weight first.

    `tracks`: number of the track of each face of each frame. A track without any identity is a person of its own.
    """
    known = _known_tracks(tracks, faces)
    numbers = sorted(known)
    clusters = cluster(
        [known[number].item for number in numbers], threshold, min_clusters=min_people, max_clusters=max_people
    )
    groups: dict[int, list[int]] = {}
    for number, person in zip(numbers, clusters.tolist(), strict=True):
        groups.setdefault(person, []).append(number)
    found = _with_doubtful([groups[person] for person in sorted(groups)], known, min_people)
    others = sorted({number for frame in tracks for number in frame} - set(numbers))
    return [*(tuple(sorted(group)) for group in found), *((number,) for number in others)]


def _known_tracks(tracks: Sequence[Sequence[int]], faces: FaceObservations) -> dict[int, _Track]:
    """Return the tracks that have an identity."""
    if faces.is_identified_N is None or faces.identities_IE is None:
        return {}
    numbers_N = np.array([number for frame in tracks for number in frame], np.int64)
    frames_N = np.repeat(np.arange(len(tracks)), np.diff(faces.starts_G))
    weights_I = identity_weights(faces)[faces.is_identified_N]
    numbers_I = numbers_N[faces.is_identified_N]
    return {
        number: _Track(
            frozenset(frames_N[numbers_N == number].tolist()),
            np.asarray(weights_I[mine] @ faces.identities_IE[mine], np.float32),
            float(weights_I[mine].sum()),
        )
        for number in sorted(set(numbers_I.tolist()))
        if (mine := numbers_I == number).any()
    }


def identity_weights(faces: FaceObservations) -> FloatArray:
    """Return how much the identity of each face counts [N], 1 for a clear one."""
    if faces.qualities_NQ is None:
        return np.ones(len(faces.boxes_N4), np.float32)
    qualities_NQ = faces.qualities_NQ
    size = np.minimum(qualities_NQ[:, SIZE] / CLEAR_SIZE, 1.0)
    sharpness = np.minimum(qualities_NQ[:, SHARPNESS] / CLEAR_SHARPNESS, 1.0)
    angle = np.hypot(qualities_NQ[:, YAW], qualities_NQ[:, PITCH]) / CLEAR_ANGLE
    frontal = np.where(np.isnan(angle), 0.2, 1 / (1 + np.nan_to_num(angle) ** 2))
    return np.asarray(np.maximum(size * sharpness * frontal, 1e-3), np.float32)


def _with_doubtful(groups: list[list[int]], known: Mapping[int, _Track], min_people: int) -> list[list[int]]:
    """Return the groups, those that are too brief to be sure of joined with the most similar one that may be theirs."""
    sure = [group for group in groups if _joined(group, known).weight >= MIN_SURE_WEIGHT]
    for group in (group for group in groups if group not in sure):
        mine = _joined(group, known)
        similar = [(_similarity(mine, _joined(other, known)), -place) for place, other in enumerate(sure)]
        best, place = max(similar, default=(-np.inf, 0))
        if best >= DOUBTFUL_PERSON and len(groups) > min_people:
            sure[-place].extend(group)
        else:
            sure.append(group)
    return sure


def _joined(group: Sequence[int], known: Mapping[int, _Track]) -> _Track:
    members = [known[number] for number in group]
    frames = frozenset[int]().union(*(each.frames for each in members))
    total: NDArray[np.float32] = np.sum([each.total for each in members], 0)
    return _Track(frames, total, sum(each.weight for each in members))


def _similarity(one: _Track, other: _Track) -> float:
    return float(one.item.embedding @ other.item.embedding) if one.frames.isdisjoint(other.frames) else -np.inf
