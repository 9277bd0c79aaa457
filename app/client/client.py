"""The blocking client. Generated from `async_client.py` by `make generate`: do not edit."""

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

import httpx

from .errors import ConnectionFailed, Expired, NotFound, StillRunning, error_from
from .models import (
    AgreementReport,
    Artifact,
    ArtifactList,
    Change,
    DeliveryLog,
    Job,
    JobList,
    JobStatus,
    Model,
    ModelList,
    RatingList,
    RatingReceipt,
    Result,
)
from .transport import (
    LONG_POLL_SECONDS,
    ApiRequest,
    EventParser,
    Retries,
    complete_file,
    http_settings,
    job_id,
    job_path,
    may_succeed_later,
)
from .uploads import Source, SubmitParams, Upload, form_fields


class Client:
    """Blocking client. A context manager; threads may share it.

    `url` and `api_key` default to `AFFECT_URL` and `AFFECT_API_KEY`, and then to the service of this machine without a
    key. Requests are retried as `retries` says. Every method raises an `AffectError` for an error of the service.
    """

    def __init__(self, url: str | None = None, api_key: str | None = None, *, retries: Retries | None = None) -> None:
        self._http = httpx.Client(**http_settings(url, api_key))
        self._retries = retries or Retries()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(
        self,
        source: Source | None = None,
        *,
        url: str | None = None,
        source_job: Job | str | None = None,
        **params: Unpack[SubmitParams],
    ) -> Job:
        """Submit one file (a path, bytes, or an open binary file), a link, or a kept job to analyse again."""
        fields = []
        if url is not None:
            fields.append(("url", url))
        if source_job is not None:
            fields.append(("source_job", job_id(source_job)))
        if (source is not None) + len(fields) != 1:
            raise ValueError("give a file, or a url, or a source_job")
        jobs = self._submit([] if source is None else [source], fields, params)
        return jobs[0]

    def submit_all(self, sources: Sequence[Source], **params: Unpack[SubmitParams]) -> list[Job]:
        """Submit several files at once. Either all are accepted, or none."""
        return self._submit(sources, [], params)

    def analyse(
        self,
        source: Source | None = None,
        *,
        url: str | None = None,
        timeout: float | None = None,
        **params: Unpack[SubmitParams],
    ) -> Result:
        """Submit a file or a link, wait, and return the result. Raises JobFailed, StillRunning."""
        job = self.submit(source, url=url, **params)
        return self.result(job, timeout)

    def get(self, job: Job | str) -> Job:
        """Return the job's current state."""
        return self._get(job)

    def wait(self, job: Job | str, timeout: float | None = None) -> Job:
        """Return the job once it has ended, whatever its status. Raises StillRunning after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        wait_seconds = 0.0
        while True:
            current = self._get(job, wait_seconds or None)
            if current.ended:
                return current
            remaining = LONG_POLL_SECONDS if deadline is None else deadline - time.monotonic()
            if remaining <= 0:
                raise StillRunning(current)
            wait_seconds = min(remaining, LONG_POLL_SECONDS)

    def result(self, job: Job | str, timeout: float | None = None) -> Result:
        """Return the result once the job has ended. Raises JobFailed, JobCancelled; StillRunning after `timeout`
        seconds."""
        self.wait(job, timeout)
        response = self._send(ApiRequest("GET", job_path(job, "result")), needs_result=True)
        return Result.model_validate_json(response.content)

    def export(self, job: Job | str, format: str, rows: str | None = None, *, person: int | None = None) -> bytes:
        """Return the result of an ended job as `csv`, `vtt`, `srt`, `eaf`, `textgrid`, `rttm` or `txt`.

        `person`: number of the only person to report."""
        params = {"format": format, "rows": rows, "person": person}
        request = ApiRequest("GET", job_path(job, "result"), params=params)
        response = self._send(request, needs_result=True)
        return response.content

    def jobs(self, *, status: JobStatus | None = None, tag: str | None = None) -> Iterator[Job]:
        """Iterate over your jobs, newest first. Pages are fetched as they are needed."""
        cursor = None
        while True:
            params = {"status": status, "tag": tag, "limit": 100, "cursor": cursor}
            response = self._send(ApiRequest("GET", "/v1/jobs", params=params))
            page = JobList.model_validate_json(response.content)
            yield from page.jobs
            cursor = page.next_cursor
            if cursor is None:
                return

    def events(self, job: Job | str, last_event_id: str | None = None) -> Iterator[Change]:
        """Iterate over the job's changes as they happen, up to the last. A broken stream is resumed."""
        failures = 0
        while True:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_event_id} if last_event_id else {})}
            with self._stream(ApiRequest("GET", job_path(job, "events"), headers=headers)) as response:
                if response.status_code == httpx.codes.NO_CONTENT:
                    return
                parser = EventParser()
                try:
                    for piece in response.iter_bytes():
                        for event in parser.feed(piece):
                            change = Change.model_validate({**json.loads(event["data"]), "id": event.get("id", "")})
                            last_event_id, failures = change.id or last_event_id, 0
                            yield change
                            if change.status not in ("queued", "running"):
                                return
                except httpx.TransportError as error:
                    if failures >= self._retries.most:
                        raise ConnectionFailed("the event stream broke off", code="connection_failed") from error
            time.sleep(self._retries.seconds(failures))
            failures += 1

    def change(
        self,
        job: Job | str,
        *,
        people: Mapping[int, str | None] | None = None,
        merge: Sequence[Sequence[int]] = (),
        split: Sequence[int] = (),
        tags: Sequence[str] | None = None,
    ) -> Job:
        """Name people of the result (by number; null removes a name), merge groups of people who are one, split face
        tracks off that are another person, and replace the tags. What is left out stays as it is."""
        change: dict[str, object] = {"merge": [list(group) for group in merge], "split": list(split)}
        if people is not None:
            change["people"] = {str(number): name for number, name in people.items()}
        if tags is not None:
            change["tags"] = list(tags)
        return self._change(job, change)

    def restore_people(self, job: Job | str) -> Job:
        """Undo all names, merges and splits: the people are again as the analysis found them."""
        return self._change(job, {"people": None})

    def rate(self, job: Job | str, rater: str, ratings: Sequence[Mapping[str, object]]) -> RatingReceipt:
        """Add corrections and comments of a rater: each has `target`, `start`, `end`, and `emotion` or `comment`; also
        `person` or `track`. One of the same thing replaces the earlier one."""
        content = {"rater": rater, "ratings": [dict(rating) for rating in ratings]}
        response = self._send(ApiRequest("POST", job_path(job, "ratings"), json=content))
        return RatingReceipt.model_validate_json(response.content)

    def import_ratings(
        self,
        job: Job | str,
        source: Source,
        *,
        rater: str | None = None,
        person: int | None = None,
        tiers: Sequence[str] = (),
    ) -> RatingReceipt:
        """Add the ratings of an ELAN, Praat or CSV file. `rater`, `person`: instead of those that it names; `tiers`:
        which to import, all by default."""
        fields = [("rater", rater)] if rater is not None else []
        fields += [("person", str(person))] if person is not None else []
        fields += [("tier", tier) for tier in tiers]
        request = ApiRequest("POST", job_path(job, "ratings"), fields=fields, uploads=[Upload.of(source)])
        return RatingReceipt.model_validate_json((self._send(request)).content)

    def ratings(self, job: Job | str, rater: str | None = None) -> RatingList:
        """Return the human ratings of a job, or those of one rater."""
        response = self._send(ApiRequest("GET", job_path(job, "ratings"), params={"rater": rater}))
        return RatingList.model_validate_json(response.content)

    def delete_ratings(self, job: Job | str, *, rater: str | None = None, rating: str | None = None) -> None:
        """Delete the ratings of a rater, the one with an id, or all."""
        self._send(ApiRequest("DELETE", job_path(job, "ratings"), params={"rater": rater, "rating": rating}))

    def agreement(self, job: Job | str, step: float | None = None) -> AgreementReport:
        """Return how far the raters agree, with each other and with the model. `step`: seconds of a unit of time."""
        response = self._send(ApiRequest("GET", job_path(job, "agreement"), params={"step": step}), needs_result=True)
        return AgreementReport.model_validate_json(response.content)

    def cancel(self, job: Job | str) -> Job:
        """Request that the job stops. An ended job stays as it is."""
        response = self._send(ApiRequest("POST", job_path(job, "cancel")))
        return Job.model_validate_json(response.content)

    def delete(self, job: Job | str) -> None:
        """Cancel the job and delete its media, result and record."""
        try:
            self._send(ApiRequest("DELETE", job_path(job)))
        except NotFound as error:  # deleted already: an earlier response may have been lost
            if isinstance(error, Expired):
                raise

    def artifacts(self, job: Job | str) -> list[Artifact]:
        """List the files that were created in addition to the result."""
        response = self._send(ApiRequest("GET", job_path(job, "artifacts")), needs_result=True)
        return list(ArtifactList.model_validate_json(response.content).artifacts)

    def download_artifact(self, job: Job | str, name: str, path: str | Path) -> int:
        """Download an artifact to a file and return its size in bytes."""
        return self._download(job_path(job, "artifacts", name), path)

    def download_media(self, job: Job | str, path: str | Path) -> int:
        """Download the media to a file and return its size in bytes. They are stored only with `keep_media`."""
        return self._download(job_path(job, "media"), path)

    def deliveries(self, job: Job | str) -> DeliveryLog:
        """Return the delivery attempts of the job's webhook."""
        response = self._send(ApiRequest("GET", job_path(job, "deliveries")))
        return DeliveryLog.model_validate_json(response.content)

    def test_webhook(self, url: str) -> DeliveryLog:
        """Have the service send one webhook of the type `webhook.test`, and return its outcome."""
        response = self._send(ApiRequest("POST", "/v1/webhooks/test", json={"url": url}))
        return DeliveryLog.model_validate_json(response.content)

    def models(self) -> list[Model]:
        """List the models that are served now."""
        response = self._send(ApiRequest("GET", "/v1/models"))
        return list(ModelList.model_validate_json(response.content).models)

    def _submit(self, sources: Sequence[Source], fields: Sequence[tuple[str, str]], params: SubmitParams) -> list[Job]:
        request = ApiRequest(
            "POST",
            "/v1/jobs",
            headers={"Idempotency-Key": params.get("idempotency_key") or str(uuid.uuid4())},
            fields=[*fields, *form_fields(params)],
            uploads=[Upload.of(source) for source in sources],
        )
        response = self._send(request)
        document = response.json()
        return [Job.model_validate(job) for job in document.get("jobs", [document])]

    def _get(self, job: Job | str, wait: float | None = None) -> Job:
        response = self._send(ApiRequest("GET", job_path(job), params={"wait": wait}))
        return Job.model_validate_json(response.content)

    def _change(self, job: Job | str, change: dict[str, object]) -> Job:
        response = self._send(ApiRequest("PATCH", job_path(job), json=change))
        return Job.model_validate_json(response.content)

    def _download(self, url_path: str, path: str | Path) -> int:
        """Download a body to a file, resuming a broken transfer. Returns the size in bytes."""
        with complete_file(path) as file:
            size, failures = 0, 0
            while True:
                headers = {"Range": f"bytes={size}-"} if size else {}
                with self._stream(ApiRequest("GET", url_path, headers=headers)) as response:
                    if size and response.status_code != httpx.codes.PARTIAL_CONTENT:
                        file.seek(-size, 1)
                        file.truncate()
                        size = 0
                    try:
                        for piece in response.iter_bytes():
                            size += file.write(piece)
                        return size
                    except httpx.TransportError as error:
                        if failures >= self._retries.most:
                            raise ConnectionFailed("the download broke off", code="connection_failed") from error
                time.sleep(self._retries.seconds(failures))
                failures += 1

    @contextmanager
    def _stream(self, request: ApiRequest) -> Iterator[httpx.Response]:
        """Send a request and close its response afterwards, without reading its body. Raises as `_send`."""
        response = self._send(request, stream=True)
        try:
            yield response
        finally:
            response.close()

    def _send(self, request: ApiRequest, *, stream: bool = False, needs_result: bool = False) -> httpx.Response:
        """Send a request, with retries, and return the successful response. Every request may be sent twice: a
        submission has an idempotency key.

        `stream`: leave the body of the response unread. `needs_result`: status 422 means that the job failed. Raises
        ConnectionFailed or the exception of the service's error.
        """
        tried = 0
        while True:
            response: httpx.Response | None = None
            transport_error: httpx.TransportError | None = None
            try:
                response = self._send_once(request, stream)
            except httpx.TransportError as error:
                transport_error = error
            if response is not None and response.is_success:
                return response
            if tried >= self._retries.most or (response is not None and not may_succeed_later(response)):
                break
            time.sleep(self._retries.seconds(tried, response))
            tried += 1
        if response is None:
            message = str(transport_error) or type(transport_error).__name__
            raise ConnectionFailed(message, code="connection_failed") from transport_error
        raise error_from(response, needs_result=needs_result)

    def _send_once(self, request: ApiRequest, stream: bool) -> httpx.Response:
        with ExitStack() as stack:
            response = self._http.send(request.build(self._http, stack), stream=stream)
        if stream and not response.is_success:
            try:
                response.read()
            finally:
                response.close()
        return response
