"""Architectures by name."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from torch import nn

from ml.errors import ArtifactError


@dataclass(frozen=True)
class Architecture:
    """`config` is a frozen dataclass of JSON values; `module` takes one and is the network."""

    config: type[Any]
    module: Callable[[Any], nn.Module]


_MODULES = ("ml.models.face", "ml.models.audio", "ml.models.text", "ml.models.fusion")
_ARCHITECTURES: dict[str, Architecture] = {}


def register(name: str, config: type[Any], module: Callable[[Any], nn.Module]) -> None:
    if name in _ARCHITECTURES:
        raise ValueError(f"architecture {name} is registered twice")
    _ARCHITECTURES[name] = Architecture(config, module)


def _find(name: str) -> Architecture:
    for module in _MODULES:
        import_module(module)
    try:
        return _ARCHITECTURES[name]
    except KeyError:
        raise ArtifactError(f"unknown architecture {name}") from None


def build(architecture: str, config: dict[str, Any]) -> nn.Module:
    """The network with fresh weights, in eval mode. `config` is what `config_of` gave when it was published."""
    found = _find(architecture)
    known = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
    return found.module(found.config(**known)).eval()


def config_of(config: Any) -> dict[str, Any]:
    """The JSON form of a frozen config."""
    return asdict(config)
