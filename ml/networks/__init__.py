"""Networks: an `nn.Module` and a frozen configuration per architecture, found by name.

A module calls `register("name", Config, Module)` and has a row in `registry.MODULES`; `build` makes the network that a
manifest describes.
"""

from ml.networks.registry import Architecture, build, config_to_dict, register

__all__ = ["Architecture", "build", "config_to_dict", "register"]
