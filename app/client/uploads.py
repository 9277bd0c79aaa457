"""Files and parameters of a submission."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypedDict

from .model_base import Options


@dataclass(frozen=True)
class Upload:
    """A file to send: a path, its bytes, or an open binary file; and the name to send it under."""

    content: Path | bytes | IO[bytes]
    name: str

    @classmethod
    def of(cls, source: "Source") -> "Upload":
        """Return the upload of a source, named after the file, or "upload" if it has no name."""
        if isinstance(source, Upload):
            return source
        if isinstance(source, bytes):
            return cls(source, "upload")
        if isinstance(source, str | Path):
            return cls(Path(source), Path(source).name)
        return cls(source, Path(str(getattr(source, "name", "upload"))).name)

    def open(self, stack: ExitStack) -> bytes | IO[bytes]:
        """Return the content, with a path opened until the stack exits."""
        return stack.enter_context(self.content.open("rb")) if isinstance(self.content, Path) else self.content


FormField = tuple[str, str | bytes]
"""Name and value of a field of a form."""
Source = str | Path | bytes | IO[bytes] | Upload
"""A path, the bytes themselves, or an open binary file that can be read again from its start."""


class SubmitParams(TypedDict, total=False):
    """Parameters of a submission in addition to the media.

    `transcript`: text, or the file of captions (a path or its bytes).
    `idempotency_key`: a request with the same key gets the same jobs; by default each submission has a new key.
    """

    options: Options
    transcript: str | bytes | Path
    tags: Sequence[str]
    webhook_url: str
    idempotency_key: str


def form_fields(params: SubmitParams) -> list[FormField]:
    """Return the parameters as fields of the submission's form."""
    fields: list[FormField] = [("options", json.dumps(dict(params["options"])))] if "options" in params else []
    if (transcript := params.get("transcript")) is not None:
        fields.append(("transcript", transcript.read_bytes() if isinstance(transcript, Path) else transcript))
    fields += [("webhook_url", params["webhook_url"])] if "webhook_url" in params else []
    return fields + [("tag", tag) for tag in params.get("tags", ())]


def form_parts(
    fields: Sequence[FormField], uploads: Sequence[Upload], stack: ExitStack
) -> list[tuple[str, Any]] | None:
    """Return the parts of a multipart form, with its files opened until the stack exits; None for an empty form."""
    parts: list[tuple[str, Any]] = [(name, (None, value)) for name, value in fields]
    parts += [("file", (upload.name, upload.open(stack))) for upload in uploads]
    return parts or None
