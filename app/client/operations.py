"""All that the client does, as flows of steps: requests, retries, waiting, reading streams."""

import json
import random
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, TypedDict
from urllib.parse import quote

import httpx

from .errors import ConnectionFailed, Expired, NotFound, StillRunning, error_of, retry_after
from .models import Artifact, Change, DeliveryLog, Job, JobPage, JobStatus, Model, Options, Result
from .sansio import Emit, Flow, Pause, Read, Send, Source, Upload

LONG_POLL_SECONDS = 30.0
LONGEST_PAUSE = 60.0
_RETRIED = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class Retries:
    """How often a request is sent again that met a full queue, a service that cannot work now, or a broken connection.
    The pause doubles from `pause` seconds on, unless the service says how long."""

    most: int = 5
    pause: float = 0.5

    def seconds(self, tried: int, response: httpx.Response | None = None) -> float:
        told = retry_after(response) if response is not None else None
        doubled = self.pause * 2**tried * random.uniform(0.8, 1.2)
        return min(doubled if told is None else max(told, self.pause), LONGEST_PAUSE)


def _may_pass(response: httpx.Response) -> bool:
    """Whether the same request may be answered better a little later."""
    return response.status_code in _RETRIED or error_of(response).code == "idempotency_in_progress"


class Asked(TypedDict, total=False):
    """What may be asked of the service, besides the media. `idempotency_key`: the same request under the same key gives
    the same jobs; else a new one is made for each submission."""

    options: Options
    transcript: str
    tags: Sequence[str]
    webhook_url: str
    idempotency_key: str


def _fields(asked: Asked) -> list[tuple[str, str]]:
    told = [("options", json.dumps(dict(asked["options"])))] if "options" in asked else []
    told += [("transcript", asked["transcript"])] if "transcript" in asked else []
    told += [("webhook_url", asked["webhook_url"])] if "webhook_url" in asked else []
    return told + [("tag", tag) for tag in asked.get("tags", ())]


def path_of(job: Job | str, *parts: str) -> str:
    return "/".join(("/v1/jobs", *(quote(part, safe="") for part in (id_of(job), *parts))))


def id_of(job: Job | str) -> str:
    return job if isinstance(job, str) else job.id


class Flows:
    def __init__(self, retries: Retries) -> None:
        self._retries = retries

    def call(self, request: Send, *, of_job: bool = False) -> Flow[httpx.Response]:
        """Sends, again where that may help: no request is one that must not be sent twice (a POST has a key)."""
        tried = 0
        while True:
            broken, response = None, None
            try:
                response = yield request
            except httpx.TransportError as error:
                broken = error
            if response is not None and response.is_success:
                return response
            if tried >= self._retries.most or (response is not None and not _may_pass(response)):
                break
            yield Pause(self._retries.seconds(tried, response))
            tried += 1
        if response is None:
            raise ConnectionFailed(str(broken) or type(broken).__name__, code="connection_failed") from broken
        raise error_of(response, of_job=of_job)

    def submit(self, sources: Sequence[Source], asked: Asked, also: Sequence[tuple[str, str]] = ()) -> Flow[list[Job]]:
        request = Send(
            "POST",
            "/v1/jobs",
            headers={"Idempotency-Key": asked.get("idempotency_key") or str(uuid.uuid4())},
            fields=[*also, *_fields(asked)],
            files=[Upload.of(source) for source in sources],
        )
        response = yield from self.call(request)
        told = response.json()
        return [Job.model_validate(each) for each in told.get("jobs", [told])]

    def submit_one(
        self, source: Source | None, url: str | None, source_job: Job | str | None, asked: Asked
    ) -> Flow[Job]:
        also = []
        if url is not None:
            also.append(("url", url))
        if source_job is not None:
            also.append(("source_job", id_of(source_job)))
        if (source is not None) + len(also) != 1:
            raise ValueError("give a file, or a url, or a source_job")
        jobs = yield from self.submit([] if source is None else [source], asked, also)
        return jobs[0]

    def get(self, job: Job | str, wait: float | None = None) -> Flow[Job]:
        response = yield from self.call(Send("GET", path_of(job), params={"wait": wait}))
        return Job.model_validate_json(response.content)

    def wait(self, job: Job | str, timeout: float | None) -> Flow[Job]:
        until = None if timeout is None else time.monotonic() + timeout
        seconds = 0.0
        while True:
            found = yield from self.get(job, seconds or None)
            if found.ended:
                return found
            left = LONG_POLL_SECONDS if until is None else until - time.monotonic()
            if left <= 0:
                raise StillRunning(found)
            seconds = min(left, LONG_POLL_SECONDS)

    def result(self, job: Job | str, timeout: float | None) -> Flow[Result]:
        yield from self.wait(job, timeout)
        response = yield from self.call(Send("GET", path_of(job, "result")), of_job=True)
        return Result.model_validate_json(response.content)

    def analyse(self, source: Source | None, url: str | None, asked: Asked, timeout: float | None) -> Flow[Result]:
        job = yield from self.submit_one(source, url, None, asked)
        return (yield from self.result(job, timeout))

    def export(self, job: Job | str, format: str, rows: str | None) -> Flow[bytes]:
        request = Send("GET", path_of(job, "result"), params={"format": format, "rows": rows})
        response = yield from self.call(request, of_job=True)
        return response.content

    def jobs(self, status: JobStatus | None, tag: str | None) -> Flow[None]:
        """Emits jobs, newest first."""
        cursor = None
        while True:
            params = {"status": status, "tag": tag, "limit": 100, "cursor": cursor}
            response = yield from self.call(Send("GET", "/v1/jobs", params=params))
            page = JobPage.model_validate_json(response.content)
            for job in page.jobs:
                yield Emit(job)
            cursor = page.next_cursor
            if cursor is None:
                return

    def events(self, job: Job | str, last: str | None) -> Flow[None]:
        """Emits changes until the job has ended; a stream that breaks off is gone on with where it was."""
        failed = 0
        while True:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
            response = yield from self.call(Send("GET", path_of(job, "events"), headers=headers, stream=True))
            if response.status_code == httpx.codes.NO_CONTENT:
                return
            lines = _Lines()
            try:
                while (piece := (yield Read())) is not None:
                    for event in lines.feed(piece):
                        change = Change.model_validate({**json.loads(event["data"]), "id": event.get("id", "")})
                        last, failed = change.id or last, 0
                        yield Emit(change)
                        if change.status not in ("queued", "running"):
                            return
            except httpx.TransportError as error:
                if failed >= self._retries.most:
                    raise ConnectionFailed("the events broke off", code="connection_failed") from error
            yield Pause(self._retries.seconds(failed))
            failed += 1

    def cancel(self, job: Job | str) -> Flow[Job]:
        response = yield from self.call(Send("POST", path_of(job, "cancel")))
        return Job.model_validate_json(response.content)

    def delete(self, job: Job | str) -> Flow[None]:
        """A job that is gone already is deleted: an answer may have been lost."""
        try:
            yield from self.call(Send("DELETE", path_of(job)))
        except NotFound as error:
            if isinstance(error, Expired):
                raise

    def artifacts(self, job: Job | str) -> Flow[list[Artifact]]:
        response = yield from self.call(Send("GET", path_of(job, "artifacts")), of_job=True)
        return [Artifact.model_validate(each) for each in response.json()["artifacts"]]

    def download(self, path: str, target: IO[bytes]) -> Flow[int]:
        """Writes a body into a file, going on where it broke off; how many bytes it has."""
        written = 0
        failed = 0
        while True:
            headers = {"Range": f"bytes={written}-"} if written else {}
            response = yield from self.call(Send("GET", path, headers=headers, stream=True))
            if written and response.status_code != httpx.codes.PARTIAL_CONTENT:
                target.seek(-written, 1)
                target.truncate()
                written = 0
            try:
                while (piece := (yield Read())) is not None:
                    written += target.write(piece)
                return written
            except httpx.TransportError as error:
                if failed >= self._retries.most:
                    raise ConnectionFailed("the download broke off", code="connection_failed") from error
            yield Pause(self._retries.seconds(failed))
            failed += 1

    def deliveries(self, job: Job | str) -> Flow[DeliveryLog]:
        response = yield from self.call(Send("GET", path_of(job, "deliveries")))
        return DeliveryLog.model_validate_json(response.content)

    def test_webhook(self, url: str) -> Flow[DeliveryLog]:
        response = yield from self.call(Send("POST", "/v1/webhooks/test", json={"url": url}))
        return DeliveryLog.model_validate_json(response.content)

    def models(self) -> Flow[list[Model]]:
        response = yield from self.call(Send("GET", "/v1/models"))
        return [Model.model_validate(each) for each in response.json()["models"]]


class _Lines:
    """Server-sent events out of pieces of a stream: the fields `id` and `data` of each (WHATWG HTML 9.2)."""

    def __init__(self) -> None:
        self._rest = b""
        self._event: dict[str, str] = {}

    def feed(self, piece: bytes) -> Iterable[dict[str, str]]:
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
