"""Files that go with a result, and the encoding of images."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from PIL import Image

_JPEG_QUALITY = 85

ArtifactKind = Literal[
    "summary", "video", "picture", "face", "person", "moment", "heatmap", "features", "voice", "words"
]


@dataclass(frozen=True)
class RenderedArtifact:
    """A file that goes with a result.

    Attributes:
        name: file name, chosen by the service.
        kind, title: what it shows.
        content: its bytes, or a file with them.
        about: further fields of its index entry (time, track, …).
    """

    name: str
    kind: ArtifactKind
    title: str
    content: bytes | Path
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def entry(self) -> dict[str, Any]:
        """Entry in the index."""
        return {"name": self.name, "kind": self.kind, "title": self.title, **self.about}

    def read(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


def encode_png(image: Image.Image) -> bytes:
    """Encode a drawing. It has few colours, so low compression is enough."""
    return _encoded(image, "PNG", compress_level=1)


def encode_jpeg(image: Image.Image) -> bytes:
    """Encode a photo."""
    return _encoded(image, "JPEG", quality=_JPEG_QUALITY)


def _encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()
