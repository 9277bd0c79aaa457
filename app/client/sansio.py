"""What a flow asks of whoever runs it: to send, to wait, to hand something out. Flows know nothing of threads or loops,
so that the blocking and the asynchronous client run the very same ones."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

import httpx


@dataclass(frozen=True)
class Upload:
    """A file to send: a path, its bytes, or an open binary file; and what it is called there."""

    content: Path | bytes | IO[bytes]
    name: str

    @classmethod
    def of(cls, source: "Source") -> "Upload":
        if isinstance(source, Upload):
            return source
        if isinstance(source, bytes):
            return cls(source, "upload")
        if isinstance(source, str | Path):
            return cls(Path(source), Path(source).name)
        return cls(source, Path(str(getattr(source, "name", "upload"))).name)


Source = str | Path | bytes | IO[bytes] | Upload
"""A path, the bytes themselves, or an open binary file that can be read from its beginning again."""


@dataclass(frozen=True)
class Send:
    """Asks for a request and its answer. `stream`: its body is then read by `Read`, piece by piece."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    fields: Sequence[tuple[str, str]] = ()
    files: Sequence[Upload] = ()
    stream: bool = False

    def form(self, stack: ExitStack) -> list[tuple[str, Any]] | None:
        """The parts of a multipart form, its files opened until the stack ends."""
        parts: list[tuple[str, Any]] = [(name, (None, value)) for name, value in self.fields]
        for upload in self.files:
            content = upload.content
            opened = stack.enter_context(content.open("rb")) if isinstance(content, Path) else content
            parts.append(("file", (upload.name, opened)))
        return parts or None

    def build(self, http: httpx.Client | httpx.AsyncClient, stack: ExitStack) -> httpx.Request:
        params = {name: value for name, value in self.params.items() if value is not None}
        return http.build_request(
            self.method,
            self.path,
            params=params,
            headers=dict(self.headers),
            json=self.json,
            files=self.form(stack),
        )


@dataclass(frozen=True)
class Read:
    """Asks for the next piece of the streamed answer's body; null at its end."""


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Emit:
    """Hands one of many results out."""

    value: Any


Step = Send | Read | Pause | Emit
T = TypeVar("T")
Flow = Generator[Step, Any, T]
