from collections.abc import Sequence

import numpy as np
import pytest

from ml.inference.face.observations import FaceObservations
from ml.inference.face.quality import QUALITIES
from ml.inference.people.face_identity import face_people
from ml.networks.face_identity import IDENTITY_SIZE

CLEAR = (120.0, 0.15, 0.0, 0.0, 0.0, 0.0, 0.9)


def identity(person: int, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Return a vector of a person: all have much in common, as those of the network."""
    vector = np.full(IDENTITY_SIZE, 0.2)
    vector[8 * person : 8 * person + 8] += 1.0
    vector += noise * np.random.default_rng(seed).normal(size=IDENTITY_SIZE)
    return vector / np.linalg.norm(vector)


def observations(
    tracks: Sequence[Sequence[int]],
    identities: Sequence[Sequence[np.ndarray | None]],
    qualities: Sequence[float] = CLEAR,
) -> FaceObservations:
    vectors = [vector for frame in identities for vector in frame]
    known = [vector for vector in vectors if vector is not None]
    empty = FaceObservations.empty()
    return FaceObservations(
        times_F=np.arange(len(tracks)) / 4,
        starts_G=np.concatenate([[0], np.cumsum([len(frame) for frame in tracks])]),
        boxes_N4=np.zeros((len(vectors), 4)),
        scores_N=empty.scores_N,
        ranks_N=empty.ranks_N,
        embeddings_NE=empty.embeddings_NE,
        log_probabilities_NC=empty.log_probabilities_NC,
        qualities_NQ=np.tile(np.array(qualities, np.float32), (len(vectors), 1)),
        is_identified_N=np.array([vector is not None for vector in vectors], np.bool_),
        identities_IE=np.array(known, np.float32).reshape(-1, IDENTITY_SIZE),
    )


def test_face_people_joins_the_tracks_of_a_person_across_cuts() -> None:
    tracks = [[1, 2]] * 3 + [[3]] * 3 + [[4, 5]] * 3
    people = {1: 0, 2: 1, 3: 1, 4: 0, 5: 2}
    identities = [
        [identity(people[number], 0.02, 9 * frame + number) for number in each] for frame, each in enumerate(tracks)
    ]
    assert sorted(face_people(tracks, observations(tracks, identities))) == [(1, 4), (2, 3), (5,)]


def test_face_people_two_who_are_seen_at_once_are_two() -> None:
    tracks = [[1, 2]] * 4
    faces = observations(tracks, [[identity(0), identity(0, 0.01)]] * 4)
    assert face_people(tracks, faces) == [(1,), (2,)]
    assert face_people(tracks, faces, max_people=1) == [(1,), (2,)]


def test_face_people_a_track_without_identity_is_a_person_of_its_own() -> None:
    tracks = [[1], [1], [2]]
    faces = observations(tracks, [[identity(0)], [None], [None]])
    assert face_people(tracks, faces) == [(1,), (2,)]


def test_face_people_without_identities_every_track_is_a_person() -> None:
    faces = FaceObservations.empty()
    assert face_people([], faces) == []


def test_face_people_a_brief_blurred_track_goes_to_the_most_similar_person() -> None:
    tracks = [[1]] * 4 + [[2]] * 4 + [[3]]
    identities = [[identity(0)]] * 4 + [[identity(1)]] * 4 + [[identity(1, 0.075)]]
    faces = observations(tracks, identities)
    faces.qualities_NQ[-1] = (20.0, 0.02, 40.0, 0.0, 0.0, 0.0, 0.6)  # type: ignore[index]
    assert sorted(face_people(tracks, faces)) == [(1,), (2, 3)]


@pytest.mark.parametrize(("least", "most", "count"), [(1, None, 3), (1, 2, 2), (3, None, 3)])
def test_face_people_follows_the_hints(least: int, most: int | None, count: int) -> None:
    tracks = [[1]] * 4 + [[2]] * 4 + [[3]] * 4
    identities = [[identity(number)] for number in (0, 1, 2) for _ in range(4)]
    assert len(QUALITIES) == len(CLEAR)
    assert len(face_people(tracks, observations(tracks, identities), min_people=least, max_people=most)) == count
