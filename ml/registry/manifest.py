"""Manifests of published models, and bundles of them."""

import hashlib
import json
from datetime import datetime
from typing import Any, Self

from pydantic import Field, ValidationError

from ml.errors import ModelStoreError
from ml.results import FrozenModel

DETAILS = ("movements", "bursts", "identity")
"""Fields of a bundle that name the models of details, which do not answer with emotions."""


class Licence(FrozenModel):
    """Licence of weights. `commercial`: whether they may be used commercially; `note`: why."""

    name: str
    commercial: bool
    note: str


class ModelDescription(FrozenModel):
    """Description of a model that is passed to `publish`; the store adds version, hash and time."""

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


class Manifest(ModelDescription):
    """Description of a published version."""

    version: int = Field(ge=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="sha256 of the weights file.")
    created_at: datetime

    @property
    def reference(self) -> str:
        """`name@version`, the way bundles and callers name this version."""
        return f"{self.name}@{self.version}"


class Bundle(FrozenModel):
    """One version of each model, tuned together with its fusion. A null model leaves its modality out.

    Each field from `face` to `fusion` is a role; a new role is one more field. `further_text`: text models that read
    the languages that `text`, and those before them in the list, do not read. `movements`, `bursts`: models of the face
    movements and of the vocal bursts; `identity`: model that distinguishes faces.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")
    face: str | None
    audio: str | None
    text: str | None
    fusion: str | None
    whisper: str | None = "tiny.en"
    further_text: tuple[str, ...] = ()
    movements: str | None = None
    bursts: str | None = None
    identity: str | None = None

    @classmethod
    def from_fields(cls, **fields: Any) -> Self:
        """Return a bundle. Raises ModelStoreError if its name is not one of a bundle."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            name = fields.get("name")
            raise ModelStoreError(
                f"no bundle is named {name!r}: small letters, digits and - make up its name"
            ) from error

    @property
    def digest(self) -> str:
        """sha256 of the content: two bundles with the same digest serve the same models."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()

    def models(self) -> dict[str, str]:
        """Return the references by role, without the roles that the bundle leaves out."""
        references = self.model_dump(exclude={"name", "whisper", "further_text", *DETAILS})
        return {role: reference for role, reference in references.items() if reference is not None}

    def detail_models(self) -> dict[str, str]:
        """Return the references of the models that find details, which are no emotions, by their fields."""
        references = self.model_dump(include=set(DETAILS))
        return {name: reference for name, reference in references.items() if reference is not None}

    def replacing(self, name: str, role: str, reference: str) -> Self:
        """Return another bundle called `name` with one model replaced and without the fusion tuned for the former one.

        Raises ModelStoreError if `name` is not a name of a bundle.
        """
        return self.from_fields(**self.model_dump() | {"name": name, "fusion": None, role: reference})

    def with_further_text(self, name: str, reference: str) -> Self:
        """Return another bundle called `name` with one further text model, in place of an earlier version of it.

        Raises ModelStoreError if `name` is not a name of a bundle.
        """
        model, _, _ = reference.partition("@")
        others = tuple(each for each in self.further_text if each.partition("@")[0] != model)
        return self.from_fields(**self.model_dump() | {"name": name, "further_text": (*others, reference)})
