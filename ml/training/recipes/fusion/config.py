"""Configuration of the fusion recipe."""

from dataclasses import dataclass
from pathlib import Path

from ml.networks.fusion import FusionConfig
from ml.training.config import Precision, TrainConfig
from ml.training.options import option, with_default


@dataclass(frozen=True, kw_only=True)
class FusionTrainConfig(TrainConfig):
    """Options of `python -m ml train fusion`."""

    out: Path = with_default(TrainConfig, "out", Path("runs/fusion"))
    name: str = with_default(TrainConfig, "name", "fusion")
    precision: Precision = with_default(TrainConfig, "precision", "fp32")
    epochs: int = with_default(TrainConfig, "epochs", 8)
    batch_size: int = with_default(TrainConfig, "batch_size", 256)
    learning_rate: float = with_default(TrainConfig, "learning_rate", 2e-3)
    models: tuple[str, str, str] = option(
        help="published models to fuse, which stay as they are", metavar=("FACE", "AUDIO", "TEXT")
    )
    bundle: str = option(help="publish: bundle to write", default="default")
    whisper: str = option(
        help="Whisper model that transcribes the recordings of a list", metavar="NAME", default="tiny.en"
    )
    voice_folds: Path | None = option(
        help="runs of `evaluate audio --folds`, which read collected voices if the voice model heard all speakers",
        metavar="FOLDER",
        default=None,
    )
    lstm: int = option(help="size of the LSTM over the frames", default=FusionConfig.lstm)
    dense: int = option(help="size of the dense layer", default=FusionConfig.dense)
