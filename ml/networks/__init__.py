"""The networks: an `nn.Module` and a frozen config for each architecture, found by name.

A model module calls `register("name", Config, Module)`; `build` makes the network that a manifest describes. Each
module is imported here, so that the table is whole.
"""

from ml.networks.registry import Architecture, build, config_of, register

__all__ = ["Architecture", "build", "config_of", "register"]
