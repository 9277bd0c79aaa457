"""The model store: `<name>/<version>/{manifest.json,weights.safetensors,card.md}` and `bundles/<name>.json`."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors.torch import load, save_file
from torch import nn

from ml.errors import ArtifactError
from ml.networks import build
from ml.registry.manifest import Bundle, Draft, Manifest

MAX_WEIGHT_BYTES = 48 * 2**20


def parse_reference(reference: str) -> tuple[str, int]:
    """`face@3` → ("face", 3)."""
    name, _, version = reference.partition("@")
    if not name or not version.isdigit():
        raise ArtifactError(f"{reference!r} is no model reference: write name@version")
    return name, int(version)


class ModelStore:
    """Reads and publishes models. A version, once written, is never changed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        found = (path.parent.parent.name for path in self.root.glob("*/*/manifest.json"))
        return sorted(set(found))

    def versions(self, name: str) -> list[int]:
        """Published versions, oldest first."""
        folder = self.root / name
        return sorted(int(path.parent.name) for path in folder.glob("*/manifest.json") if path.parent.name.isdigit())

    def _folder(self, reference: str) -> Path:
        name, version = parse_reference(reference)
        folder = (self.root / name / str(version)).resolve()
        if self.root.resolve() not in folder.parents:
            raise ArtifactError(f"{reference!r} lies outside the model store")
        return folder

    def manifest(self, reference: str) -> Manifest:
        """Raises ArtifactError when there is none, or it is not valid."""
        try:
            return Manifest.model_validate_json((self._folder(reference) / "manifest.json").read_bytes())
        except (OSError, ValidationError) as error:
            raise ArtifactError(f"the manifest of {reference} cannot be read") from error

    def weights(self, reference: str) -> dict[str, torch.Tensor]:
        """The tensors, floating ones as float32. Raises ArtifactError when the sha256 is not the manifest's."""
        expected = self.manifest(reference).sha256
        try:
            content = (self._folder(reference) / "weights.safetensors").read_bytes()
        except OSError as error:
            raise ArtifactError(f"the weights of {reference} cannot be read") from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise ArtifactError(f"the weights of {reference} are damaged: their sha256 is not the manifest's")
        return {
            name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in load(content).items()
        }

    def network(self, reference: str) -> nn.Module:
        """The network, in eval mode. Raises ArtifactError when it is not there, damaged, or its weights do not fit."""
        manifest = self.manifest(reference)
        network = build(manifest.architecture, manifest.config)
        try:
            network.load_state_dict(self.weights(reference))
        except RuntimeError as error:
            raise ArtifactError(f"the weights of {reference} do not fit its architecture") from error
        return network

    def publish(
        self,
        draft: Draft,
        weights: Mapping[str, torch.Tensor],
        card: str,
        files: Mapping[str, bytes] | None = None,
        most_bytes: int | None = MAX_WEIGHT_BYTES,
    ) -> str:
        """Writes the next version by one atomic rename and returns its reference.

        Floating tensors are stored as float16. `files` are further small files of the version (a tokenizer).
        Raises ArtifactError when the weights are larger than `most_bytes`.
        """
        parent = self.root / draft.name
        parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".publish-", dir=parent))
        try:
            path = staging / "weights.safetensors"
            halves = {
                name: tensor.half() if tensor.is_floating_point() else tensor
                for name, tensor in ((name, tensor.detach().cpu()) for name, tensor in weights.items())
            }
            save_file({name: tensor.contiguous() for name, tensor in halves.items()}, path)
            if most_bytes is not None and path.stat().st_size > most_bytes:
                raise ArtifactError(f"the weights of {draft.name} are larger than {most_bytes >> 20} MiB")
            path.chmod(0o644)  # safetensors leaves it to its owner alone
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            (staging / "card.md").write_text(card)
            for name, content in (files or {}).items():
                (staging / name).write_bytes(content)
            return self._seat(draft, digest, staging)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _seat(self, draft: Draft, digest: str, staging: Path) -> str:
        """Renames the staged version to the next free number; another publisher may take a number meanwhile."""
        version = max(self.versions(draft.name), default=0)
        while True:
            version += 1
            manifest = Manifest(**draft.model_dump(), version=version, sha256=digest, created_at=datetime.now(UTC))
            (staging / "manifest.json").write_text(manifest.model_dump_json(indent=2) + "\n")
            staging.chmod(0o755)
            try:
                staging.rename(self.root / draft.name / str(version))
            except OSError:
                if not (self.root / draft.name / str(version)).exists():
                    raise
                continue
            return manifest.reference

    def file(self, reference: str, name: str) -> Path:
        """A further file of a version (the tokenizer of a text model). Raises ArtifactError when it is missing."""
        path = self._folder(reference) / name
        if not path.is_file():
            raise ArtifactError(f"{reference} has no file {name}")
        return path

    def bundle_path(self, name: str) -> Path:
        """The file of a bundle: another one, by rename, whenever the bundle is written."""
        return self.root / "bundles" / f"{name}.json"

    def bundle(self, name: str) -> Bundle:
        """Raises ArtifactError when there is none, or it is not valid."""
        try:
            return Bundle.model_validate_json(self.bundle_path(name).read_bytes())
        except (OSError, ValidationError) as error:
            raise ArtifactError(f"the bundle {name!r} cannot be read") from error

    def write_bundle(self, bundle: Bundle) -> None:
        """Replaces the bundle of that name by one atomic rename. What it was is kept, for `rollback`."""
        path = self.bundle_path(bundle.name)
        former = self._former(bundle.name)
        former.mkdir(parents=True, exist_ok=True)
        if path.exists():
            place = max((int(kept.stem) for kept in former.glob("*.json")), default=0) + 1
            shutil.copyfile(path, former / f"{place}.json")
        staging = path.with_suffix(".tmp")
        staging.write_text(bundle.model_dump_json(indent=2) + "\n")
        os.replace(staging, path)

    def rollback(self, name: str) -> Bundle:
        """Puts back what the bundle was before it was last written. Raises ArtifactError when nothing is kept."""
        kept = sorted(self._former(name).glob("*.json"), key=lambda path: int(path.stem))
        if not kept:
            raise ArtifactError(f"nothing is kept of what the bundle {name!r} was before")
        os.replace(kept[-1], self.bundle_path(name))
        return self.bundle(name)

    def _former(self, name: str) -> Path:
        return self.root / "bundles" / ".former" / name
