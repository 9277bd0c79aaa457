"""Configuration of the face recipe."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ml.errors import InvalidManifest
from ml.networks.face import FaceConfig
from ml.networks.face_ensemble import View
from ml.training.config import TrainConfig
from ml.training.loop import LoopConfig
from ml.training.options import option, with_default
from ml.training.recipes.face.augment import PAINTED_PROB
from ml.training.recipes.face.backbones import BACKBONES, IMAGENET_FILE


@dataclass(frozen=True, kw_only=True)
class FaceTrainConfig(TrainConfig):
    """Options of `python -m ml train face`."""

    out: Path = with_default(TrainConfig, "out", Path("runs/face"))
    name: str = with_default(TrainConfig, "name", "face")
    epochs: int = with_default(TrainConfig, "epochs", 10)
    batch_size: int = with_default(TrainConfig, "batch_size", 128)
    learning_rate: float = with_default(TrainConfig, "learning_rate", 3e-3)
    warm_up: float = option(help="share of the steps before the peak learning rate", default=LoopConfig.warm_up)
    crops: bool = option(help="the pictures of the list are face crops already", default=False)
    served: bool = option(help="crop the faces of large pictures as the service does", default=False)
    start: str | None = option(
        help="initial weights: a run, or a published model (alone or in an ensemble), of the same architecture",
        metavar="MODEL",
        default=None,
    )
    tune: Literal["all", "heads"] = option(
        help="heads: train only the embedding and head layers of the network, or ensemble, that --start names",
        default="all",
    )
    dataset_weights: tuple[str, ...] = option(
        help="weight of each data set as a whole; the others are left out. By default all pictures count alike",
        metavar="NAME=WEIGHT",
        default=(),
    )
    leave_out: tuple[str, ...] = option(
        help="people who are held out of training, as the list or the reader names them (indian_film/NAME)",
        metavar="PERSON",
        default=(),
    )
    datasets: tuple[str, ...] = option(
        help="data sets to train on; by default all", alias="--sets", metavar="NAME", default=()
    )
    identity: Path | None = option(
        help="faceres-deep.json: MobileNet with the weights of a face recognition network", default=None
    )
    imagenet: Path | None = option(help=f"{IMAGENET_FILE}: EfficientNet with ImageNet weights", default=None)
    teacher: tuple[str, ...] = option(
        help="published models or runs to distil from; their mean answer is half of each target",
        alias="--taught-by",
        metavar="MODEL",
        default=(),
    )
    backbone: str = option(help="architecture of the backbone", choices=BACKBONES, default=next(iter(BACKBONES)))
    landmarks: Literal["off", "on"] = option(help="add a branch for the face mesh (data: a list)", default="off")
    size: int = option(help="side of a crop in pixels", default=FaceConfig.size)
    widths: tuple[int, int, int, int] = option(help="channels of the four stages", default=FaceConfig.widths)
    augment_strength: float = option(
        help="augmentation strength (scale, shift, rotation, brightness)", alias="--strength", default=1.0
    )
    painted_prob: float = option(
        help="share of masked pictures that get the background of another picture",
        alias="--painted",
        default=PAINTED_PROB,
    )
    mixup: float = option(help="mixup: shares are drawn from Beta(MIXUP, MIXUP); 0 is off", default=0.0)
    votes_share: float = option(help="share of the FER+ votes in the targets", alias="--votes", default=0.15)
    ensemble_with: tuple[str, ...] = option(
        help="publish, calibrate: models averaged with the run: runs, published models, or one member of a published "
        "ensemble (face@6/face_mobilenet)",
        alias="--beside",
        metavar="MODEL",
        default=(),
    )
    tta: tuple[View, ...] = option(
        help="publish, calibrate: view of each member of the ensemble, in their order; by default both",
        alias="--views",
        default=(),
    )

    @property
    def weight_by_dataset(self) -> dict[str, float]:
        """Weight of each data set as a whole; empty if all pictures count alike. Raises InvalidManifest."""
        pairs = [each.partition("=") for each in self.dataset_weights]
        try:
            return {name: float(weight) for name, _, weight in pairs}
        except ValueError as error:
            raise InvalidManifest("--dataset-weights takes NAME=WEIGHT") from error

    @property
    def warm_starts(self) -> tuple[str, ...]:
        return (*([self.start] if self.start else []), *self.teacher)
