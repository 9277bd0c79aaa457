"""The client twice, blocking and asynchronous: both run the flows of `flows`."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from contextlib import ExitStack, aclosing, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Generic, Self, TypeVar, Unpack

import httpx

from .models import Artifact, Change, DeliveryLog, Job, JobStatus, Model, Result
from .operations import Asked, Flows, Retries, path_of
from .sansio import Emit, Flow, Pause, Read, Send, Source, Step

DEFAULT_URL = "http://127.0.0.1:8000"
_TIMEOUT = httpx.Timeout(60.0, connect=10.0, read=90.0)

T = TypeVar("T")


def _settings(url: str | None, api_key: str | None) -> dict[str, Any]:
    key = api_key or os.environ.get("AFFECT_API_KEY")
    return {
        "base_url": url or os.environ.get("AFFECT_URL") or DEFAULT_URL,
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        "timeout": _TIMEOUT,
    }


@contextmanager
def _whole(path: str | Path) -> Iterator[IO[bytes]]:
    """A file to write: it is there, whole, when the context ends well, and not at all otherwise."""
    partial = Path(f"{path}.part")
    try:
        with partial.open("w+b") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class _Run(Generic[T]):
    """A flow under way: the step that it asks for, null at its end; then what it returned. `response`: the streamed
    answer that it reads."""

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self.response: httpx.Response | None = None
        self.pieces: Any = None
        self.step: Step | None = None
        self.value: T | None = None
        self.go_on(None)

    def go_on(self, outcome: Any) -> None:
        try:
            self.step = self._flow.send(outcome)
        except StopIteration as end:
            self.step, self.value = None, end.value

    def fail(self, error: httpx.TransportError) -> None:
        self.step = self._flow.throw(error)  # no flow ends by what went wrong

    @property
    def result(self) -> T:
        return self.value  # type: ignore[return-value]


class Client:
    """Blocking. A context manager; may be shared between threads.

    `url` and `api_key`: else `AFFECT_URL` and `AFFECT_API_KEY`, else the service of this machine without a key.
    """

    def __init__(self, url: str | None = None, api_key: str | None = None, *, retries: Retries | None = None) -> None:
        self._http = httpx.Client(**_settings(url, api_key))
        self._flows = Flows(retries or Retries())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def submit(
        self,
        source: Source | None = None,
        *,
        url: str | None = None,
        source_job: Job | str | None = None,
        **asked: Unpack[Asked],
    ) -> Job:
        """Sends one file (a path, bytes, or an open binary file), or names a link, or a kept job to read again."""
        return self._run(self._flows.submit_one(source, url, source_job, asked))

    def submit_all(self, sources: Sequence[Source], **asked: Unpack[Asked]) -> list[Job]:
        """Sends several files at once: all are accepted, or none."""
        return self._run(self._flows.submit(sources, asked))

    def analyse(
        self,
        source: Source | None = None,
        *,
        url: str | None = None,
        timeout: float | None = None,
        **asked: Unpack[Asked],
    ) -> Result:
        """Submits, waits, and fetches the result. Raises JobFailed, StillRunning."""
        return self._run(self._flows.analyse(source, url, asked, timeout))

    def get(self, job: Job | str) -> Job:
        """The job as it stands."""
        return self._run(self._flows.get(job))

    def wait(self, job: Job | str, timeout: float | None = None) -> Job:
        """The job once it has ended, however it did. Raises StillRunning when `timeout` seconds are over."""
        return self._run(self._flows.wait(job, timeout))

    def result(self, job: Job | str, timeout: float | None = None) -> Result:
        """The result, once the job has ended. Raises JobFailed, JobCancelled, StillRunning."""
        return self._run(self._flows.result(job, timeout))

    def export(self, job: Job | str, format: str, rows: str | None = None) -> bytes:
        """The result of an ended job as `csv`, `vtt`, `srt`, `eaf`, `textgrid` or `txt`."""
        return self._run(self._flows.export(job, format, rows))

    def jobs(self, *, status: JobStatus | None = None, tag: str | None = None) -> Iterator[Job]:
        """All your jobs, newest first, fetched page by page as they are asked for."""
        return self._iterate(self._flows.jobs(status, tag))

    def events(self, job: Job | str, last_event_id: str | None = None) -> Iterator[Change]:
        """The changes of a job as they come, to the last."""
        return self._iterate(self._flows.events(job, last_event_id))

    def cancel(self, job: Job | str) -> Job:
        """Asks for a stop; an ended job stays as it is."""
        return self._run(self._flows.cancel(job))

    def delete(self, job: Job | str) -> None:
        """Cancels the job, and erases its media, result and record."""
        self._run(self._flows.delete(job))

    def artifacts(self, job: Job | str) -> list[Artifact]:
        """The files that were made beside the result."""
        return self._run(self._flows.artifacts(job))

    def download_artifact(self, job: Job | str, name: str, path: str | Path) -> int:
        """Into a file; its size."""
        with _whole(path) as file:
            return self._run(self._flows.download(path_of(job, "artifacts", name), file))

    def download_media(self, job: Job | str, path: str | Path) -> int:
        """Into a file, where the media are kept (`keep_media`); its size."""
        with _whole(path) as file:
            return self._run(self._flows.download(path_of(job, "media"), file))

    def deliveries(self, job: Job | str) -> DeliveryLog:
        """What became of the job's webhook."""
        return self._run(self._flows.deliveries(job))

    def test_webhook(self, url: str) -> DeliveryLog:
        """Sends one webhook of the type `webhook.test`; what came of it."""
        return self._run(self._flows.test_webhook(url))

    def models(self) -> list[Model]:
        """The models that answer now."""
        return self._run(self._flows.models())

    def _run(self, flow: Flow[T]) -> T:
        run = _Run(flow)
        with closing(self._steps(run)) as steps:
            for _ in steps:
                pass
        return run.result

    def _iterate(self, flow: Flow[None]) -> Iterator[Any]:
        return self._steps(_Run(flow))

    def _steps(self, run: _Run[Any]) -> Generator[Any, None, None]:
        """Does what the flow asks for; yields what it hands out."""
        try:
            while run.step is not None:
                if isinstance(run.step, Emit):
                    yield run.step.value
                    run.go_on(None)
                    continue
                try:
                    outcome = self._do(run, run.step)
                except httpx.TransportError as error:
                    run.fail(error)
                else:
                    run.go_on(outcome)
        finally:
            if run.response is not None:
                run.response.close()

    def _do(self, run: _Run[Any], step: Send | Read | Pause) -> Any:
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        if isinstance(step, Read):
            return next(run.pieces, None)
        if run.response is not None:
            run.response.close()
        with ExitStack() as stack:
            run.response = response = self._http.send(step.build(self._http, stack), stream=True)
        run.pieces = response.iter_bytes()
        if not (step.stream and response.is_success):
            response.read()
        return response


class AsyncClient:
    """The same for asyncio; `Client` says what each method does."""

    def __init__(self, url: str | None = None, api_key: str | None = None, *, retries: Retries | None = None) -> None:
        self._http = httpx.AsyncClient(**_settings(url, api_key))
        self._flows = Flows(retries or Retries())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def submit(
        self,
        source: Source | None = None,
        *,
        url: str | None = None,
        source_job: Job | str | None = None,
        **asked: Unpack[Asked],
    ) -> Job:
        return await self._run(self._flows.submit_one(source, url, source_job, asked))

    async def submit_all(self, sources: Sequence[Source], **asked: Unpack[Asked]) -> list[Job]:
        return await self._run(self._flows.submit(sources, asked))

    async def analyse(
        self,
        source: Source | None = None,
        *,
        url: str | None = None,
        timeout: float | None = None,
        **asked: Unpack[Asked],
    ) -> Result:
        return await self._run(self._flows.analyse(source, url, asked, timeout))

    async def get(self, job: Job | str) -> Job:
        return await self._run(self._flows.get(job))

    async def wait(self, job: Job | str, timeout: float | None = None) -> Job:
        return await self._run(self._flows.wait(job, timeout))

    async def result(self, job: Job | str, timeout: float | None = None) -> Result:
        return await self._run(self._flows.result(job, timeout))

    async def export(self, job: Job | str, format: str, rows: str | None = None) -> bytes:
        return await self._run(self._flows.export(job, format, rows))

    def jobs(self, *, status: JobStatus | None = None, tag: str | None = None) -> AsyncIterator[Job]:
        return self._iterate(self._flows.jobs(status, tag))

    def events(self, job: Job | str, last_event_id: str | None = None) -> AsyncIterator[Change]:
        return self._iterate(self._flows.events(job, last_event_id))

    async def cancel(self, job: Job | str) -> Job:
        return await self._run(self._flows.cancel(job))

    async def delete(self, job: Job | str) -> None:
        await self._run(self._flows.delete(job))

    async def artifacts(self, job: Job | str) -> list[Artifact]:
        return await self._run(self._flows.artifacts(job))

    async def download_artifact(self, job: Job | str, name: str, path: str | Path) -> int:
        with _whole(path) as file:
            return await self._run(self._flows.download(path_of(job, "artifacts", name), file))

    async def download_media(self, job: Job | str, path: str | Path) -> int:
        with _whole(path) as file:
            return await self._run(self._flows.download(path_of(job, "media"), file))

    async def deliveries(self, job: Job | str) -> DeliveryLog:
        return await self._run(self._flows.deliveries(job))

    async def test_webhook(self, url: str) -> DeliveryLog:
        return await self._run(self._flows.test_webhook(url))

    async def models(self) -> list[Model]:
        return await self._run(self._flows.models())

    async def _run(self, flow: Flow[T]) -> T:
        run = _Run(flow)
        async with aclosing(self._steps(run)) as steps:
            async for _ in steps:
                pass
        return run.result

    def _iterate(self, flow: Flow[None]) -> AsyncIterator[Any]:
        return self._steps(_Run(flow))

    async def _steps(self, run: _Run[Any]) -> AsyncGenerator[Any, None]:
        try:
            while run.step is not None:
                if isinstance(run.step, Emit):
                    yield run.step.value
                    run.go_on(None)
                    continue
                try:
                    outcome = await self._do(run, run.step)
                except httpx.TransportError as error:
                    run.fail(error)
                else:
                    run.go_on(outcome)
        finally:
            if run.response is not None:
                await run.response.aclose()

    async def _do(self, run: _Run[Any], step: Send | Read | Pause) -> Any:
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        if isinstance(step, Read):
            return await anext(run.pieces, None)
        if run.response is not None:
            await run.response.aclose()
        with ExitStack() as stack:
            run.response = response = await self._http.send(step.build(self._http, stack), stream=True)
        run.pieces = response.aiter_bytes()
        if not (step.stream and response.is_success):
            await response.aread()
        return response
