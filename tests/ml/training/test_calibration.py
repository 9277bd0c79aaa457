from pathlib import Path

import pytest
import torch

from ml.errors import InvalidManifest
from ml.training.calibration import Calibration, calibrate
from ml.training.datasets.example import Example
from ml.training.recipes.recipe import HeldOut
from ml.vocabulary import EMOTIONS


def held_out(sharpness: float, split: str = "valid") -> HeldOut:
    """Logits whose softmax would be true, made too sure by a factor."""
    torch.manual_seed(0)
    true = torch.randn(4_000, 7) * 2
    labels = torch.distributions.Categorical(logits=true).sample()
    return HeldOut(true * sharpness, [Example(EMOTIONS[int(label)], "made", split) for label in labels])  # type: ignore[arg-type]


def test_the_temperature_undoes_what_made_the_net_too_sure(tmp_path: Path) -> None:
    found = calibrate(held_out(3.0))
    assert found.temperature == pytest.approx(3.0, rel=0.05)
    assert found.ece_before > 0.1 and found.ece_after < 0.03 and found.n == 4_000
    found.write(tmp_path)
    assert Calibration.read(tmp_path) == found


def test_nothing_is_calibrated_on_a_test_part() -> None:
    with pytest.raises(InvalidManifest, match="no validation part"):
        calibrate(held_out(1.0, "test"))
