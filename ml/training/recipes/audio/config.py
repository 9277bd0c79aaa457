"""Configuration of the audio recipe."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ml.training.config import TrainConfig
from ml.training.options import option, with_default

Architecture = Literal["speech_mixture", "speech_encoder", "audio_cnn"]
Encoder = Literal["base", "tiny"]


@dataclass(frozen=True, kw_only=True)
class AudioTrainConfig(TrainConfig):
    """Options of `python -m ml train audio`."""

    out: Path = with_default(TrainConfig, "out", Path("runs/audio"))
    name: str = with_default(TrainConfig, "name", "audio")
    epochs: int = with_default(TrainConfig, "epochs", 8)
    batch_size: int = with_default(TrainConfig, "batch_size", 32)
    learning_rate: float = with_default(TrainConfig, "learning_rate", 1e-3)
    architecture: Architecture = option(help="architecture of the network", default="speech_mixture")
    start: str | None = option(
        help="initial weights of the same architecture: a published model, a run, or a folder of folds",
        metavar="MODEL",
        default=None,
    )
    teacher: Path | None = option(
        help="run of an encoder, or folder of its folds, to distil from in addition to the labels",
        alias="--taught-by",
        metavar="RUN",
        default=None,
    )
    fold: int | None = option(help="split the speakers in five, and leave these out: 0 … 4", default=None)
    all_speakers: bool = option(
        help="train on all speakers; the figures of such a network are those of `evaluate --folds`", default=False
    )
    leave_out: tuple[str, ...] = option(help="corpora that are not trained on, but measured", nargs="+", default=())
    neutral_talk: Path | None = option(
        help="folder of recordings of ordinary talk, which the mixture learns as neutral",
        metavar="FOLDER",
        default=None,
    )
    encoder: Encoder = option(
        help="Whisper encoder whose lower blocks the mixture reads: three of base, or two of tiny for a light network",
        default="base",
    )
    upper_blocks: int = option(
        help="tuned blocks of the mixture; with 0 its second reader pools the frozen frames by attention", default=2
    )
    frozen_share: float | None = option(
        help="weight of the perceptron in the mixture, when it is measured and published", default=None
    )
    copies: int = option(help="simulated other recordings of each sound that the mixture learns from", default=2)
    steps: int | None = option(help="steps per epoch; by default as many as the data fills", default=None)

    @property
    def held_out_fold(self) -> int | None:
        """Fold of the speakers that are left out. Collected voices have no split of their own, so they need a fold."""
        needs_fold = self.fold is None and not self.all_speakers and not self.leave_out
        return 0 if needs_fold and not self.data.is_file() else self.fold

    @property
    def warm_starts(self) -> tuple[str, ...]:
        return (*([self.start] if self.start else []), *([str(self.teacher)] if self.teacher else []))
