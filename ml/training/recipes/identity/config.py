"""Configuration of the recipe of the face identity."""

from dataclasses import dataclass
from pathlib import Path

from ml.training.config import TrainConfig
from ml.training.options import option, with_default


@dataclass(frozen=True, kw_only=True)
class IdentityTrainConfig(TrainConfig):
    """Options of `python -m ml train identity`."""

    out: Path = with_default(TrainConfig, "out", Path("runs/identity"))
    name: str = with_default(TrainConfig, "name", "identity")
    epochs: int = with_default(TrainConfig, "epochs", 6)
    batch_size: int = with_default(TrainConfig, "batch_size", 64)
    learning_rate: float = with_default(TrainConfig, "learning_rate", 1e-3)
    start: Path = option(
        help="face_recognition_model-weights_manifest.json of face-api.js, with which the network begins and which "
        "teaches it",
        metavar="FILE",
    )
    size: int = option(help="side of the chips, in pixels", default=112)
    people_weight: float = option(help="weight of telling the people apart, besides the teacher's answers", default=0.1)
