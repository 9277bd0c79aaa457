"""Configuration of the text recipe."""

from dataclasses import dataclass
from pathlib import Path

from ml.training.config import TrainConfig
from ml.training.options import option, with_default

EMOTION_WEIGHT = {
    "goemotions": 1.0,
    "meld": 1.5,
    "xed": 0.5,
    "semeval2018": 0.5,
    "sst": 0.0,
    "brighter": 1.0,
    "xed-projections": 0.3,
    "emobank": 0.0,
}
"""Weight of a sentence by data set. XED has the noisiest labels; MELD is small, and nearest to what is served."""
DEFAULT_SETS = ("goemotions", "meld", "xed", "semeval2018", "sst")
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
        default=DEFAULT_SETS,
    )
    start: str = option(
        help="pretrained encoder: minilm reads English, e5 many languages", choices=("minilm", "e5"), default="minilm"
    )
    limits: tuple[str, ...] = option(
        help="maximum sentences of each language of a data set; the same ones are taken in each run",
        metavar="DATASET=NUMBER",
        nargs="+",
        default=(),
    )
    max_tokens: int = option(
        help="tokens of a sentence that are trained on; by default as many as are served", default=0
    )
    checkpoints: int = option(
        help="checkpoints and validations in each pass over the data; each is an epoch of the loop", default=1
    )
    frozen_layers: int = option(help="lowest layers of the encoder that keep the weights of the start", default=0)
    layer_decay: float = option(help="learning rate of a layer relative to the one above it", default=1.0)
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
