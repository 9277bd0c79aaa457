"""Model store: `<name>/<version>/{manifest.json,weights.safetensors,card.md}` and `bundles/<name>.json`."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import nn

from ml.errors import ModelStoreError
from ml.networks import build
from ml.registry.manifest import Bundle, Manifest, ModelDescription
from ml.registry.weights import MAX_WEIGHT_BYTES, read_weights, write_weights


def parse_reference(reference: str) -> tuple[str, int]:
    """Split `face@3` into ("face", 3). Raises ModelStoreError."""
    name, _, version = reference.partition("@")
    if not name or not version.isdigit():
        raise ModelStoreError(f"{reference!r} is no model reference: write name@version")
    return name, int(version)


class ModelStore:
    """Reads and publishes models. A version, once written, is never changed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Return the names of all models that have a version."""
        return sorted({path.parent.parent.name for path in self.root.glob("*/*/manifest.json")})

    def versions(self, name: str) -> list[int]:
        """Return the published versions, oldest first."""
        folder = self.root / name
        return sorted(int(path.parent.name) for path in folder.glob("*/manifest.json") if path.parent.name.isdigit())

    def _folder(self, reference: str) -> Path:
        name, version = parse_reference(reference)
        folder = (self.root / name / str(version)).resolve()
        if self.root.resolve() not in folder.parents:
            raise ModelStoreError(f"{reference!r} is outside the model store")
        return folder

    def manifest(self, reference: str) -> Manifest:
        """Return the manifest of a version. Raises ModelStoreError if it is missing or invalid."""
        try:
            return Manifest.model_validate_json((self._folder(reference) / "manifest.json").read_bytes())
        except (OSError, ValidationError) as error:
            raise ModelStoreError(f"the manifest of {reference} cannot be read") from error

    def weights(self, reference: str) -> dict[str, torch.Tensor]:
        """Return the tensors, floating-point ones as float32. Raises ModelStoreError if the sha256 differs."""
        return read_weights(self._folder(reference), self.manifest(reference).sha256, reference)

    def network(self, reference: str) -> nn.Module:
        """Return the network with its weights, in eval mode.

        Raises ModelStoreError if it is missing or damaged, or if its weights do not fit its architecture.
        """
        manifest = self.manifest(reference)
        network = build(manifest.architecture, manifest.config)
        try:
            network.load_state_dict(self.weights(reference))
        except RuntimeError as error:
            raise ModelStoreError(f"the weights of {reference} do not fit its architecture") from error
        return network

    def publish(
        self,
        description: ModelDescription,
        weights: Mapping[str, torch.Tensor],
        card: str,
        files: Mapping[str, bytes] | None = None,
        max_bytes: int | None = MAX_WEIGHT_BYTES,
        int8: bool = False,
    ) -> str:
        """Write the next version by one atomic rename and return its reference.

        Floating-point tensors are stored as float16, matrices in 8 bits with `int8`. `files`: further small files of
        the version (a tokenizer).
        Raises ModelStoreError if the weights are larger than `max_bytes`.
        """
        parent = self.root / description.name
        parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".publish-", dir=parent))
        try:
            digest = write_weights(staging, weights, description.name, max_bytes, int8=int8)
            (staging / "card.md").write_text(card)
            for name, content in (files or {}).items():
                (staging / name).write_bytes(content)
            return self._rename_to_next_version(description, digest, staging)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _rename_to_next_version(self, description: ModelDescription, digest: str, staging: Path) -> str:
        """Rename the staged version to the next number that no concurrent publisher takes first."""
        version = max(self.versions(description.name), default=0)
        while True:
            version += 1
            manifest = Manifest(
                **description.model_dump(), version=version, sha256=digest, created_at=datetime.now(UTC)
            )
            (staging / "manifest.json").write_text(manifest.model_dump_json(indent=2) + "\n")
            staging.chmod(0o755)
            try:
                staging.rename(self.root / description.name / str(version))
            except OSError:
                if not (self.root / description.name / str(version)).exists():
                    raise
                continue
            return manifest.reference

    def file(self, reference: str, name: str) -> Path:
        """Return the path of a further file of a version (the tokenizer). Raises ModelStoreError if it is missing."""
        path = self._folder(reference) / name
        if not path.is_file():
            raise ModelStoreError(f"{reference} has no file {name}")
        return path

    def bundle_path(self, name: str) -> Path:
        """Return the file of a bundle; each time the bundle is written, another file takes its place by rename."""
        return self.root / "bundles" / f"{name}.json"

    def bundle(self, name: str) -> Bundle:
        """Return a bundle. Raises ModelStoreError if it is missing or invalid."""
        try:
            return Bundle.model_validate_json(self.bundle_path(name).read_bytes())
        except (OSError, ValidationError) as error:
            raise ModelStoreError(f"the bundle {name!r} cannot be read") from error

    def write_bundle(self, bundle: Bundle) -> None:
        """Replace the bundle of that name by one atomic rename, and keep the former one for `rollback`."""
        path = self.bundle_path(bundle.name)
        former = self._former_bundles(bundle.name)
        former.mkdir(parents=True, exist_ok=True)
        if path.exists():
            number = max((int(kept.stem) for kept in former.glob("*.json")), default=0) + 1
            shutil.copyfile(path, former / f"{number}.json")
        staging = path.with_suffix(".tmp")
        staging.write_text(bundle.model_dump_json(indent=2) + "\n")
        os.replace(staging, path)

    def rollback(self, name: str) -> Bundle:
        """Restore the bundle that was replaced last. Raises ModelStoreError if no former one is kept."""
        former = sorted(self._former_bundles(name).glob("*.json"), key=lambda path: int(path.stem))
        if not former:
            raise ModelStoreError(f"nothing is kept of what the bundle {name!r} was before")
        os.replace(former[-1], self.bundle_path(name))
        return self.bundle(name)

    def _former_bundles(self, name: str) -> Path:
        return self.root / "bundles" / ".former" / name
