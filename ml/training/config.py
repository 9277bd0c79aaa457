"""Configuration that all recipes share; each recipe adds its own fields in its module `config`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ml.paths import MODEL_STORE
from ml.training.loop import ADAMW, OPTIMIZERS, LoopConfig
from ml.training.options import option

Precision = Literal["auto", "fp32", "bf16"]
RESEARCH = "research and non-commercial use"
_BF16: dict[Precision, bool | None] = {"auto": None, "fp32": False, "bf16": True}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Options of `python -m ml train|tune|calibrate|publish` for every kind of model."""

    data: Path = option(help="list of examples (CSV that `datasets import` writes), or folder of collected data")
    out: Path = option(help="folder of the run", default=Path("runs"))
    cache: Path = option(help="folder of preprocessed data", default=Path(".cache"))
    store: Path = option(help="model store", default=MODEL_STORE)
    threads: int = option(help="threads of torch", default=1)
    seed: int = option(help="seed of the random generators", default=0)
    optimizer: str = option(help="optimiser", choices=OPTIMIZERS, default=ADAMW)
    precision: Precision = option(help="precision of training; auto: bf16 if it is faster here", default="auto")
    workers: int = option(help="processes that preprocess", default=1)
    name: str = option(help="publish: name in the model store", default="model")
    licence: str = option(help="publish: licence of the weights, as the data permits", default=RESEARCH)
    commercial: bool = option(help="publish: the data permits commercial use", default=False)
    epochs: int = option(help="passes over the training data", default=10)
    batch_size: int = option(help="examples per step", alias="--batch", default=128)
    learning_rate: float = option(help="peak learning rate", default=1e-3)

    @property
    def bf16(self) -> bool | None:
        """Whether forward passes run in bf16; None: decided when the run begins."""
        return _BF16[self.precision]

    @property
    def warm_starts(self) -> tuple[str, ...]:
        """Models and runs of ours that training begins with or learns from."""
        return ()

    def loop(self, *, warm_up: float, weight_decay: float = LoopConfig.weight_decay) -> LoopConfig:
        """Return the settings of the training loop. `warm_up`: share of the steps before the peak learning rate."""
        return LoopConfig(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            warm_up=warm_up,
            weight_decay=weight_decay,
            bf16=self.bf16,
            seed=self.seed,
        )
