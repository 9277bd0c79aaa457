"""Batch jobs that were submitted: their state, predictions and artifacts."""

import csv
import io
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Literal, cast

from starlette.concurrency import run_in_threadpool

from app.compat.hume.predictions import media_predictions, text_predictions
from app.compat.hume.records import LEADER_TAG, Batch, BatchSource, Member
from app.compat.hume.schemas import (
    HumeFileError,
    HumeFileResult,
    HumeJob,
    HumeModelPredictions,
    HumeResults,
    HumeScore,
    HumeSourceResult,
    HumeState,
    Status,
)
from app.errors import JobNotFound, JobUnfinished
from app.services.jobs import JobQueries, retry_after_seconds
from app.services.results import Results
from ml.errors import AffectError
from ml.results import Result
from workers.protocol.blob_keys import batch_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.records import FINAL_STATUSES, JobRecord
from workers.protocol.store.job_store import JobStore

SortBy = Literal["created", "started", "ended"]
Direction = Literal["asc", "desc"]
When = Literal["created_before", "created_after"]

MAX_LISTED = 1000
"""Maximum number of batches, the newest, among which a list looks."""
_PAGE_SIZE = 100
_MEMORY_BYTES = 16 << 20
"""Bytes of an archive of artifacts that are kept in memory; a larger one is a temporary file."""
_FACE_PICTURES = ("face-", "person-")
"""How the names of the pictures of faces begin."""
_UNSAFE = re.compile(r"[^\w.\-]+")


@dataclass(frozen=True)
class JobFilter:
    """Which jobs a list has, and in which order. Times are in milliseconds since 1970."""

    limit: int
    statuses: Sequence[Status] = ()
    when: When = "created_before"
    timestamp_ms: int | None = None
    sort_by: SortBy = "created"
    direction: Direction = "desc"

    def matches(self, job: HumeJob) -> bool:
        created = job.state.created_timestamp_ms
        if self.timestamp_ms is not None:
            is_before = created < self.timestamp_ms
            if is_before is (self.when == "created_after"):
                return False
        return not self.statuses or job.state.status in self.statuses

    def sorted(self, jobs: Iterable[HumeJob]) -> list[HumeJob]:
        def key(job: HumeJob) -> int:
            return getattr(job.state, f"{self.sort_by}_timestamp_ms") or 0

        return sorted(jobs, key=key, reverse=self.direction == "desc")[: self.limit]


@dataclass(frozen=True)
class _Found:
    """A batch with the records of its jobs; None for a job that was deleted or has expired."""

    id: str
    owner: str
    batch: Batch
    records: Mapping[str, JobRecord | None]

    @property
    def is_final(self) -> bool:
        return all(record is None or record.status in FINAL_STATUSES for record in self.records.values())


class HumeBatches:
    """Reads the batch jobs of an owner; another owner's is not found."""

    def __init__(self, jobs: JobQueries, results: Results, job_store: JobStore, blobs: BlobStore) -> None:
        self._jobs, self._results, self._job_store, self._blobs = jobs, results, job_store, blobs

    async def get(self, owner: str, batch_id: str) -> HumeJob:
        """Return a batch job. Raises JobNotFound, JobExpired."""
        return await run_in_threadpool(lambda: _job(self._find(owner, batch_id)))

    async def list_jobs(self, owner: str, wanted: JobFilter) -> list[HumeJob]:
        """Return batch jobs of the owner."""
        return await run_in_threadpool(self._list, owner, wanted)

    async def predictions(self, owner: str, batch_id: str) -> list[HumeSourceResult]:
        """Return the predictions of a batch job that has ended. Raises JobNotFound, JobExpired, JobUnfinished."""
        return await run_in_threadpool(lambda: list(self._source_results(self._find_final(owner, batch_id))))

    async def artifacts(self, owner: str, batch_id: str) -> BinaryIO:
        """Return a zip of tables (CSV), one for each file and model, and of the pictures of faces, if there are any.
        Close it. Raises as `predictions`."""
        found = await run_in_threadpool(self._find_final, owner, batch_id)
        face = found.batch.request.chosen_models.face
        saved = found.batch.members if face is not None and face.save_faces else ()
        pictures = {member.job_id: await self._faces(owner, member) for member in saved}
        return await run_in_threadpool(self._zip, found, pictures)

    def _find(self, owner: str, batch_id: str) -> _Found:
        record = self._jobs.find(owner, batch_id)
        return self._found(record)

    def _found(self, first: JobRecord) -> _Found:
        stored = self._blobs.get(batch_key(first.id))
        if stored is None:
            raise JobNotFound("There is no batch job with this id.")
        batch = Batch.model_validate_json(stored)
        records = {member.job_id: self._job_store.get(member.job_id) for member in batch.members}
        return _Found(first.id, first.owner, batch, {**records, first.id: first})

    def _find_final(self, owner: str, batch_id: str) -> _Found:
        found = self._find(owner, batch_id)
        if not found.is_final:
            waits = [record.estimated_wait_seconds for record in found.records.values() if record is not None]
            raise JobUnfinished("The job is in progress.", retry_after=retry_after_seconds(max(waits)))
        return found

    def _list(self, owner: str, wanted: JobFilter) -> list[HumeJob]:
        jobs: list[HumeJob] = []
        cursor: int | None = None
        for _ in range(MAX_LISTED // _PAGE_SIZE):
            page = self._job_store.page(owner, tag=LEADER_TAG, limit=_PAGE_SIZE, before=cursor)
            for record in page.records:
                try:
                    job = _job(self._found(record))
                except JobNotFound:  # just deleted, or tagged by its owner
                    continue
                if wanted.matches(job):
                    jobs.append(job)
            cursor = page.next_cursor
            newest_first = wanted.sort_by == "created" and wanted.direction == "desc"
            if cursor is None or (newest_first and len(jobs) >= wanted.limit):
                break
        return wanted.sorted(jobs)

    def _source_results(self, found: _Found) -> Iterator[HumeSourceResult]:
        for source in found.batch.sources:
            outcomes = [outcome for _, outcome in self._outcomes(found, source)]
            predictions = tuple(each for each in outcomes if isinstance(each, HumeFileResult))
            errors = (*source.errors, *(each for each in outcomes if isinstance(each, HumeFileError)))
            yield HumeSourceResult(
                source=source.source,
                results=HumeResults(predictions=predictions, errors=errors),
                error=errors[0].message if errors and not predictions else None,
            )

    def _outcomes(self, found: _Found, source: BatchSource) -> Iterator[tuple[Member, HumeFileResult | HumeFileError]]:
        """Yield the jobs of a source, each with its predictions or with the reason why it has none."""
        for member in source.members:
            try:
                document, _ = self._jobs.find_result(found.owner, member.job_id)
            except AffectError:
                yield member, HumeFileError(message=_failure(found.records[member.job_id]), file=member.file)
            else:
                yield member, _file_result(found.batch, member, Result.model_validate_json(document))

    async def _faces(self, owner: str, member: Member) -> dict[str, bytes]:
        """Return the pictures that were made of a job's faces, by name."""
        pictures: dict[str, bytes] = {}
        with suppress(AffectError, FileNotFoundError):  # it failed, or was just deleted
            for artifact in (await self._results.artifacts(owner, member.job_id)).artifacts:
                if artifact.name.startswith(_FACE_PICTURES):
                    stored = await self._results.artifact(owner, member.job_id, artifact.name)
                    pictures[artifact.name] = await run_in_threadpool(stored.read, 0, stored.size)
        return pictures

    def _zip(self, found: _Found, pictures: Mapping[str, Mapping[str, bytes]]) -> BinaryIO:
        file = tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES)  # noqa: SIM115 (the response closes it)
        outcomes = (each for source in found.batch.sources for each in self._outcomes(found, source))
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, (member, outcome) in enumerate(outcomes, 1):
                if isinstance(outcome, HumeFileError):
                    continue
                folder = f"{number:03}-{_UNSAFE.sub('_', member.file.rpartition('/')[2])[-80:]}"
                for name, table in tables_of(outcome.models):
                    archive.writestr(f"{folder}/csv/{name}.csv", table)
                for name, content in pictures.get(member.job_id, {}).items():
                    archive.writestr(f"{folder}/faces/{name}", content)
        file.seek(0)
        return cast(BinaryIO, file)


def tables_of(models: HumeModelPredictions) -> Iterator[tuple[str, str]]:
    """Yield the name and the table (CSV) of each model that ran: a row for each prediction, a column for each score."""
    for name in ("face", "burst", "prosody", "language"):
        predictions = getattr(models, name)
        if predictions is not None:
            yield name, _table([_row(group, prediction.model_dump()) for group, prediction in predictions.flat()])


def _row(group: str, prediction: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of a prediction as columns. Those of nested fields are joined: `TimeBegin`, `BoxX`."""
    row: dict[str, object] = {"Id": group}
    for field, value in prediction.items():
        title = "".join(word.capitalize() for word in field.split("_"))
        if isinstance(value, Mapping):
            row |= {f"{title}{part.capitalize()}": each for part, each in value.items()}
        elif isinstance(value, tuple):
            row |= {score["name"] if isinstance(score, Mapping) else score.name: _score(score) for score in value}
        elif value is not None:
            row[title] = value
    return row


def _score(score: Mapping[str, float] | HumeScore) -> float:
    return score["score"] if isinstance(score, Mapping) else score.score


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _file_result(batch: Batch, member: Member, result: Result) -> HumeFileResult:
    if member.text is None:
        return HumeFileResult(
            file=member.file, file_type=result.media.kind, models=media_predictions(result, batch.request)
        )
    language = batch.request.chosen_models.language
    assert language is not None
    predictions = text_predictions(
        member.text, result, language.granularity or "word", with_sentiment=language.sentiment is not None
    )
    return HumeFileResult(file=member.file, file_type="text", models=HumeModelPredictions(language=predictions))


def _job(found: _Found) -> HumeJob:
    return HumeJob(user_id=found.owner, job_id=found.id, request=found.batch.request, state=_state(found))


def _state(found: _Found) -> HumeState:
    records = [record for record in found.records.values() if record is not None]
    created = _milliseconds(found.records[found.id].created_at)  # type: ignore[union-attr]
    started = [_milliseconds(record.started_at) for record in records if record.started_at is not None]
    if not found.is_final:
        if not started:
            return HumeState(status="QUEUED", created_timestamp_ms=created)
        return HumeState(status="IN_PROGRESS", created_timestamp_ms=created, started_timestamp_ms=min(started))
    ended = [_milliseconds(record.finished_at) for record in records if record.finished_at is not None]
    end = max(ended, default=created)
    start = min(started, default=end)
    members = [found.records[member.job_id] for member in found.batch.members]
    succeeded = sum(map(_succeeded, members))
    if not succeeded:
        return HumeState(
            status="FAILED",
            created_timestamp_ms=created,
            started_timestamp_ms=start,
            ended_timestamp_ms=end,
            message=_failure(members[0]),
        )
    refused = sum(len(source.errors) for source in found.batch.sources)
    return HumeState(
        status="COMPLETED",
        created_timestamp_ms=created,
        started_timestamp_ms=start,
        ended_timestamp_ms=end,
        num_predictions=succeeded,
        num_errors=len(members) - succeeded + refused,
    )


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _succeeded(record: JobRecord | None) -> bool:
    return record is not None and record.status == "succeeded"


def _failure(record: JobRecord | None) -> str:
    """Return why a job has no result."""
    if record is None:
        return "The file was deleted, or its result has expired."
    if record.failure is not None:
        return record.failure.message
    return "The analysis was cancelled." if record.status == "cancelled" else "The analysis failed."
