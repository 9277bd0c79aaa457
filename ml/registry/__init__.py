"""Trained weights as self-describing, checksummed data: manifests, the model store, bundles."""

from ml.registry.manifest import Bundle, Licence, Manifest, ModelDescription
from ml.registry.store import ModelStore, parse_reference

__all__ = ["Bundle", "Licence", "Manifest", "ModelDescription", "ModelStore", "parse_reference"]
