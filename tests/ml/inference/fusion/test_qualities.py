import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import floats, just

from ml.inference.face.quality import QUALITIES
from ml.inference.fusion.qualities import MIN_FRAME_WEIGHT, frame_qualities, frame_weights
from ml.networks.fusion import FRAME_QUALITIES

GOOD = {"size": 200.0, "sharpness": 0.12, "yaw": 5.0, "pitch": -4.0, "roll": 0.0, "mouth": 0.0, "score": 0.95}
SILENT, SPEAKING = np.array([np.nan], np.float32), np.array([1.0], np.float32)


def window(*frames: dict[str, float]) -> np.ndarray:
    """Scaled qualities [1, T, Q] of frames with these differences from a good one."""
    return frame_qualities(np.array([[[(GOOD | frame)[name] for name in QUALITIES] for frame in frames]]))


@pytest.mark.parametrize("spoilt", [{"size": 14.0}, {"sharpness": 0.02}, {"yaw": -55.0}, {"pitch": 55.0}])
def test_a_bad_frame_counts_less_than_a_good_one(spoilt: dict[str, float]) -> None:
    good, bad = frame_weights(window({}, spoilt), SILENT)[0]
    assert good == 1 and MIN_FRAME_WEIGHT <= bad < 0.4


def test_a_speaking_mouth_counts_less_and_a_silent_or_steady_one_does_not() -> None:
    moving = window({"mouth": 0.01}, {"mouth": 0.01}, {"mouth": 0.1}, {"mouth": 0.02})
    weights = frame_weights(moving, SPEAKING)[0]
    assert weights[0] == 1 and weights[2] < 0.5 < weights[3]
    assert frame_weights(moving, SILENT).tolist() == [[1, 1, 1, 1]]
    assert frame_weights(window({"mouth": 0.1}, {"mouth": 0.1}), SPEAKING).tolist() == [[1, 1]], "a smile"


def test_what_is_unknown_takes_nothing_away() -> None:
    unknown = np.full((2, 3, len(FRAME_QUALITIES)), np.nan, np.float32)
    assert (frame_weights(unknown, np.array([np.nan, 1.0], np.float32)) == 1).all()


SCALED = floats(0, 1.5, width=32) | just(np.nan)


@given(arrays(np.float32, (2, 4, len(FRAME_QUALITIES)), elements=SCALED))
def test_weights_are_finite_and_bounded(quality: np.ndarray) -> None:
    weights = frame_weights(quality, np.array([0.5, np.nan], np.float32))
    assert ((weights >= np.float32(MIN_FRAME_WEIGHT)) & (weights <= 1)).all()
