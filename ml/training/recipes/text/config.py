"""Configuration of the text recipe."""

from dataclasses import dataclass
from pathlib import Path

from ml.training.config import TrainConfig
from ml.training.options import option, with_default

EMOTION_WEIGHT = {"goemotions": 1.0, "meld": 1.5, "xed": 0.5, "semeval2018": 0.5, "sst": 0.0}
"""Weight of a sentence by data set. XED has the noisiest labels; MELD is small, and nearest to what is served."""
HELD_OUT_SETS = ("isear",)


@dataclass(frozen=True, kw_only=True)
class TextTrainConfig(TrainConfig):
    """Options of `python -m ml train text`."""

    out: Path = with_default(TrainConfig, "out", Path("runs/text"))
    name: str = with_default(TrainConfig, "name", "text")
    epochs: int = with_default(TrainConfig, "epochs", 2)
    batch_size: int = with_default(TrainConfig, "batch_size", 128)
    learning_rate: float = with_default(TrainConfig, "learning_rate", 2e-4)
    datasets: tuple[str, ...] = option(
        help="data sets to train on",
        alias="--sets",
        choices=EMOTION_WEIGHT,
        nargs="+",
        default=tuple(EMOTION_WEIGHT),
    )
    unseen: tuple[str, ...] = option(
        help="publish: data sets that are evaluated on, and never trained on", choices=HELD_OUT_SETS, default=()
    )
    soup_with: tuple[str, ...] = option(
        help="publish, calibrate: runs or published models with the same start, to average weights with (model soup)",
        alias="--soup",
        metavar="MODEL",
        default=(),
    )
    soup_share: float | None = option(
        help="share of the models of --soup-with, together, in the soup; by default all models have the same share",
        metavar="SHARE",
        default=None,
    )
    context_tokens: int = option(
        help="tokens of the preceding sentences that the network reads, if the data has them; 0: none",
        alias="--before",
        default=0,
    )
    consistency: float = option(
        help="weight of the R-Drop loss, the difference between two readings under dropout", default=0.0
    )
