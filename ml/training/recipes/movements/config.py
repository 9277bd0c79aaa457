"""Configuration of the recipe of the face movements."""

from dataclasses import dataclass
from pathlib import Path

from ml.errors import InvalidManifest
from ml.training.config import TrainConfig
from ml.training.options import option, with_default

SAMPLE = ("fer2013=5000", "affectnet7_masked=7000", "lfw_emotion=4000", "webfaces3_color=1500", "stock4_color=300")


@dataclass(frozen=True, kw_only=True)
class MovementTrainConfig(TrainConfig):
    """Options of `python -m ml train movements`."""

    out: Path = with_default(TrainConfig, "out", Path("runs/movements"))
    name: str = with_default(TrainConfig, "name", "movements")
    epochs: int = with_default(TrainConfig, "epochs", 8)
    batch_size: int = with_default(TrainConfig, "batch_size", 256)
    learning_rate: float = with_default(TrainConfig, "learning_rate", 2e-3)
    teacher: Path = option(help="face_blendshapes.tflite of mediapipe, whose answers are learnt", metavar="FILE")
    sample: tuple[str, ...] = option(
        help="faces of each data set to train on; a tenth as many, at most 500, are held out. Data sets that are never "
        "trained on are held out as a whole",
        metavar="NAME=COUNT",
        default=SAMPLE,
    )
    hidden: int = option(help="size of the hidden layers", default=192)
    cached: bool = option(help="only faces whose meshes the cache already has", default=False)

    @property
    def counts(self) -> dict[str, int]:
        """Number of faces of each data set. Raises InvalidManifest."""
        try:
            return {name: int(count) for name, _, count in (each.partition("=") for each in self.sample)}
        except ValueError as error:
            raise InvalidManifest("--sample takes NAME=COUNT") from error
