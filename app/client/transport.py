"""Transport shared by both clients: connection settings, requests, retries, event streams, file downloads."""

import os
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import httpx

from .errors import error_from, retry_after
from .models import Job
from .uploads import FormField, Upload, form_parts

DEFAULT_URL = "http://127.0.0.1:8000"
LONG_POLL_SECONDS = 30.0
"""Seconds that one request waits for a job to end."""
MAX_PAUSE_SECONDS = 60.0
_TIMEOUT = httpx.Timeout(60.0, connect=10.0, read=90.0)
_RETRIED_STATUSES = frozenset({429, 502, 503, 504})


def http_settings(url: str | None, api_key: str | None) -> dict[str, Any]:
    """Return the arguments of the httpx client, with defaults from `AFFECT_URL` and `AFFECT_API_KEY`."""
    key = api_key or os.environ.get("AFFECT_API_KEY")
    return {
        "base_url": url or os.environ.get("AFFECT_URL") or DEFAULT_URL,
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        "timeout": _TIMEOUT,
    }


@dataclass(frozen=True)
class Retries:
    """How often, and after which pauses, a request is sent again if the queue was full, the service was unavailable, or
    the connection broke.

    `most`: maximum number of retries. `pause`: seconds before the first one, doubled for each further one, unless the
    service sends `Retry-After`.
    """

    most: int = 5
    pause: float = 0.5

    def seconds(self, tried: int, response: httpx.Response | None = None) -> float:
        """Return the seconds to wait after `tried` retries; `response`: the response to the last request, if any."""
        requested = retry_after(response) if response is not None else None
        doubled = self.pause * 2**tried * random.uniform(0.8, 1.2)
        return min(doubled if requested is None else max(requested, self.pause), MAX_PAUSE_SECONDS)


def may_succeed_later(response: httpx.Response) -> bool:
    """Return whether the same request may succeed if it is sent again a little later."""
    return response.status_code in _RETRIED_STATUSES or error_from(response).code == "idempotency_in_progress"


@dataclass(frozen=True)
class ApiRequest:
    """A request to the service."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    fields: Sequence[FormField] = ()
    uploads: Sequence[Upload] = ()

    def build(self, http: httpx.Client | httpx.AsyncClient, stack: ExitStack) -> httpx.Request:
        """Return the httpx request, with its files opened until the stack exits."""
        return http.build_request(
            self.method,
            self.path,
            params={name: value for name, value in self.params.items() if value is not None},
            headers=dict(self.headers),
            json=self.json,
            files=form_parts(self.fields, self.uploads, stack),
        )


def job_path(job: Job | str, *parts: str) -> str:
    """Return the path of a job, or of something below it."""
    return "/".join(("/v1/jobs", *(quote(part, safe="") for part in (job_id(job), *parts))))


def job_id(job: Job | str) -> str:
    """Return the id of a job that is given by itself or by its id."""
    return job if isinstance(job, str) else job.id


class EventParser:
    """Parser of server-sent events: collects the fields `id` and `data` (WHATWG HTML 9.2)."""

    def __init__(self) -> None:
        self._rest = b""
        self._event: dict[str, str] = {}

    def feed(self, piece: bytes) -> Iterable[dict[str, str]]:
        """Yield the events that this piece of the stream completes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for raw in lines:
            line = raw.decode("utf-8", "replace").rstrip("\r")
            if line:
                name, _, value = line.partition(":")
                self._event[name] = value.removeprefix(" ")
            else:
                event, self._event = self._event, {}
                if "data" in event:
                    yield event


@contextmanager
def complete_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears under its name when it is complete, and not at all after an error."""
    partial = Path(f"{path}.part")
    try:
        with partial.open("w+b") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
