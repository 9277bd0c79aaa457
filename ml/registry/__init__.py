"""Trained weights as self-describing, checksummed data: manifests, the store, bundles."""

from ml.registry.manifest import Bundle, Draft, Licence, Manifest
from ml.registry.store import ModelStore, parse_reference

__all__ = ["Bundle", "Draft", "Licence", "Manifest", "ModelStore", "parse_reference"]
