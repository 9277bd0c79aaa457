"""What a published model says of itself."""

import hashlib
import json
from datetime import datetime
from typing import Any, Self

from pydantic import Field, ValidationError

from ml.errors import ArtifactError
from ml.results import Frozen


class Licence(Frozen):
    """`commercial` says whether the weights may be used commercially; `note` says why."""

    name: str
    commercial: bool
    note: str


class Draft(Frozen):
    """A model as it is handed to `publish`; the store adds version, hash and time."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")
    architecture: str
    config: dict[str, Any]
    labels: tuple[str, ...]
    preprocessing: dict[str, Any] = Field(description="What turns media into the input, by name of its parameter.")
    temperature: float = Field(1.0, gt=0, description="Divides the logits: fitted on data not trained on.")
    metrics: dict[str, Any] = Field(description="Figures as `python -m ml evaluate` printed them, by data set.")
    data: tuple[str, ...] = Field(description="The data sets trained on.")
    starts: tuple[str, ...] = Field((), description="Pretrained weights that training began with, with licence.")
    command: str = Field(description="The command that trained it.")
    licence: Licence


class Manifest(Draft):
    version: int = Field(ge=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of weights.safetensors.")
    created_at: datetime

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"


class Bundle(Frozen):
    """One version of each model, tuned together with its fusion. A null model leaves its modality out."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")
    face: str | None
    audio: str | None
    text: str | None
    fusion: str | None
    whisper: str | None = "tiny.en"

    @classmethod
    def of(cls, **content: str | None) -> Self:
        """Raises ArtifactError when bundles are not named so."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            told = content.get("name")
            raise ArtifactError(f"no bundle is named {told!r}: small letters, digits and - make up its name") from error

    @property
    def digest(self) -> str:
        """Names this content: two bundles with one digest serve the same models."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()

    def models(self) -> dict[str, str]:
        """The references that are named, by role."""
        named = {"face": self.face, "audio": self.audio, "text": self.text, "fusion": self.fusion}
        return {role: reference for role, reference in named.items() if reference is not None}

    def beside(self, name: str, role: str, reference: str) -> Self:
        """Another bundle, with one model replaced; what was tuned for the former ones is left out. Raises ArtifactError
        when bundles are not named so."""
        return self.of(**self.model_dump() | {"name": name, "fusion": None, role: reference})

    def with_model(self, role: str, reference: str | None) -> Self:
        return self.model_copy(update={role: reference})
