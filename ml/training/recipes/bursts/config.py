"""Configuration of the recipe of the vocal bursts."""

from dataclasses import dataclass
from pathlib import Path

from ml.networks.bursts import BurstConfig
from ml.training.config import TrainConfig
from ml.training.options import option, with_default


@dataclass(frozen=True, kw_only=True)
class BurstTrainConfig(TrainConfig):
    """Options of `python -m ml train bursts`."""

    out: Path = with_default(TrainConfig, "out", Path("runs/bursts"))
    name: str = with_default(TrainConfig, "name", "bursts")
    epochs: int = with_default(TrainConfig, "epochs", 3)
    batch_size: int = with_default(TrainConfig, "batch_size", 32)
    learning_rate: float = with_default(TrainConfig, "learning_rate", 4e-3)
    steps: int = option(help="steps of an epoch", default=40)
    hidden: int = option(help="size of the layers over time", default=BurstConfig.hidden)
    folds: Path | None = option(
        help="publish: folds.json of `evaluate bursts --folds`: gives the thresholds and the figures",
        metavar="FILE",
        default=None,
    )
