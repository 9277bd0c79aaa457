"""Registry of architectures, by the names that manifests use."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from torch import nn

from ml.errors import ModelStoreError


@dataclass(frozen=True)
class Architecture:
    """Architecture of a network. `config`: frozen dataclass of JSON values; `module`: class that takes one."""

    config: type[Any]
    module: Callable[[Any], nn.Module]


MODULES = {
    "face_senet": "ml.networks.face",
    "face_mobilenet": "ml.networks.face_mobilenet",
    "face_efficientnet": "ml.networks.face_efficientnet",
    "face_ensemble": "ml.networks.face_ensemble",
    "face_landmarks": "ml.networks.face_landmarks",
    "face_movements": "ml.networks.movements",
    "vocal_bursts": "ml.networks.bursts",
    "face_identity": "ml.networks.face_identity",
    "speech_encoder": "ml.networks.audio",
    "audio_cnn": "ml.networks.audio",
    "speech_mixture": "ml.networks.speech_mixture",
    "text_minilm": "ml.networks.text",
    "text_e5": "ml.networks.text",
    "fusion": "ml.networks.fusion_embeddings",
    "gated_fusion": "ml.networks.fusion",
    "hub_face": "ml.networks.hub",
    "hub_voice": "ml.networks.hub",
    "hub_words": "ml.networks.hub",
}
"""Module that registers each architecture; it is imported when the architecture is first needed."""
_ARCHITECTURES: dict[str, Architecture] = {}


def register(name: str, config: type[Any], module: Callable[[Any], nn.Module]) -> None:
    """Register an architecture. Raises ValueError if the name is taken."""
    if name in _ARCHITECTURES:
        raise ValueError(f"architecture {name} is registered twice")
    _ARCHITECTURES[name] = Architecture(config, module)


def _find(name: str) -> Architecture:
    if name not in _ARCHITECTURES:
        if name not in MODULES:
            raise ModelStoreError(f"unknown architecture {name}")
        import_module(MODULES[name])
    return _ARCHITECTURES[name]


def build(architecture: str, config: dict[str, Any]) -> nn.Module:
    """Return the network with fresh weights, in eval mode. `config`: as `config_to_dict` returned it.

    Raises ModelStoreError if the architecture is unknown.
    """
    found = _find(architecture)
    values = {key: _to_tuples(value) for key, value in config.items()}
    return found.module(found.config(**values)).eval()


def _to_tuples(value: Any) -> Any:
    return tuple(map(_to_tuples, value)) if isinstance(value, list) else value


def config_to_dict(config: Any) -> dict[str, Any]:
    """Return the JSON form of a frozen configuration."""
    return asdict(config)
