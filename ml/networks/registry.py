"""Architectures by name."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from torch import nn

from ml.errors import ModelStoreError


@dataclass(frozen=True)
class Architecture:
    """`config` is a frozen dataclass of JSON values; `module` takes one and is the network."""

    config: type[Any]
    module: Callable[[Any], nn.Module]


_MODULES = {
    "face_senet": "ml.networks.face",
    "face_mobilenet": "ml.networks.face_mobilenet",
    "face_efficientnet": "ml.networks.face_efficientnet",
    "face_ensemble": "ml.networks.face_ensemble",
    "face_landmarks": "ml.networks.face_landmarks",
    "speech_encoder": "ml.networks.audio",
    "audio_cnn": "ml.networks.audio",
    "text_minilm": "ml.networks.text",
    "fusion": "ml.networks.fusion",
    "hub_face": "ml.networks.hub",
    "hub_voice": "ml.networks.hub",
    "hub_words": "ml.networks.hub",
}
_ARCHITECTURES: dict[str, Architecture] = {}


def register(name: str, config: type[Any], module: Callable[[Any], nn.Module]) -> None:
    if name in _ARCHITECTURES:
        raise ValueError(f"architecture {name} is registered twice")
    _ARCHITECTURES[name] = Architecture(config, module)


def _find(name: str) -> Architecture:
    if name not in _ARCHITECTURES:
        if name not in _MODULES:
            raise ModelStoreError(f"unknown architecture {name}")
        import_module(_MODULES[name])
    return _ARCHITECTURES[name]


def build(architecture: str, config: dict[str, Any]) -> nn.Module:
    """The network with fresh weights, in eval mode. `config` is what `config_of` gave when it was published."""
    found = _find(architecture)
    known = {key: _frozen(value) for key, value in config.items()}
    return found.module(found.config(**known)).eval()


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def config_of(config: Any) -> dict[str, Any]:
    """The JSON form of a frozen config."""
    return asdict(config)
