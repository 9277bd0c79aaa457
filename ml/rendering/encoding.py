"""Files that go with a result."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from PIL import Image

_QUALITY = 85

ArtifactKind = Literal["summary", "video", "picture", "face", "moment", "heatmap", "features", "voice", "words"]


@dataclass(frozen=True)
class Artifact:
    """A file by a name of ours. `about`: what the index says of it beside name, kind and title (time, track, …)."""

    name: str
    kind: ArtifactKind
    title: str
    content: bytes | Path
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def entry(self) -> dict[str, Any]:
        """Its line of the index."""
        return {"name": self.name, "kind": self.kind, "title": self.title, **self.about}

    def read(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


def png(image: Image.Image) -> bytes:
    """Of a drawing: few colours, so that little compression is enough."""
    return _encoded(image, "PNG", compress_level=1)


def jpeg(image: Image.Image) -> bytes:
    """Of a photo."""
    return _encoded(image, "JPEG", quality=_QUALITY)


def _encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()
