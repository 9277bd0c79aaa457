from dataclasses import replace

import numpy as np
import pytest

from ml.inference.face.notices import small_face_notices
from ml.inference.face.observations import FaceObservations


def seen(sides: list[float], missed: list[int]) -> FaceObservations:
    """One face in each of as many frames, four a second."""
    count = len(sides)
    return replace(
        FaceObservations.empty(),
        times_F=0.25 * np.arange(len(missed)),
        starts_G=np.arange(len(missed) + 1),
        boxes_N4=np.array([[0, 0, side, side] for side in sides], float).reshape(-1, 4),
        scores_N=np.ones(count, np.float32),
        missed_F=np.array(missed, np.uint8),
    )


@pytest.mark.parametrize(
    ("sides", "missed"), [([], []), ([33.0], [0]), ([300.0] * 19 + [20.0], [0] * 20), ([100.0] * 160, [1] + [0] * 159)]
)
def test_small_face_notices_none_when_few_are_small(sides: list[float], missed: list[int]) -> None:
    expected = 0 if len(missed) != 160 else 1
    assert len(small_face_notices(seen(sides, missed))) == expected


def test_small_face_notices_tell_how_many_are_small() -> None:
    (notice,) = small_face_notices(seen([20.0, 31.0, 90.0], [0, 0, 0]))
    assert notice.code == "faces_small" and notice.message.startswith("2 of 3 faces")


def test_small_face_notices_tell_of_faces_that_are_not_read() -> None:
    (notice,) = small_face_notices(replace(seen([], [2]), starts_G=np.zeros(2, np.int64)))
    assert notice.code == "faces_small" and "further faces" in notice.message


def test_small_face_notices_of_earlier_features_tell_of_sizes_alone() -> None:
    assert small_face_notices(replace(seen([90.0], [3]), missed_F=None)) == ()
