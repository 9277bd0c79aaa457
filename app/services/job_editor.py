"""Changes of existing jobs: their tags, and names, merges and splits of the people in their results.

Names are personal data. They are stored in the result document alone, a blob that is erased with the job; Redis knows
that there was a change, by a random name, and digests of tags. Each change writes files of its own and is then made
current in one step, if no other change came first, so that a reader sees either all of it or nothing. Files of a change
of which it is unknown whether it became current stay; they are erased with the job too.
"""

import random
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from app.errors import JobExpired, PreconditionFailed, QueueUnavailable, ValidationFailed
from app.schemas import Job
from app.services.jobs import JobQueries, result_version
from ml.people_edits import EditedPeople, InvalidPeopleEdit, PeopleEdit
from ml.results import Result
from workers.protocol.blob_keys import changes_key, result_key, summary_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.records import JobChanges, JobRecord, JobSummary
from workers.protocol.store.job_store import JobStore

MAX_ATTEMPTS = 10
"""Maximum attempts to make a change current while other requests change the same job."""
RETRY_SECONDS = 0.05
"""Maximum seconds between two attempts."""


@dataclass(frozen=True)
class JobEdit:
    """Change of a job.

    Attributes:
        tags: all tags of the job from now on; null leaves them.
        people: correction of the result's people; null leaves them.
        restores_people: whether the people are first restored as the analysis found them.
    """

    tags: Sequence[str] | None = None
    people: PeopleEdit | None = None
    restores_people: bool = False

    @property
    def needs_result(self) -> bool:
        return self.people is not None or self.restores_people


class JobEditor:
    """Changes an owner's jobs."""

    def __init__(self, jobs: JobQueries, job_store: JobStore, blobs: BlobStore) -> None:
        self._jobs, self._job_store, self._blobs = jobs, job_store, blobs

    async def edit(self, owner: str, job_id: str, edit: JobEdit, versions: Sequence[str] = ()) -> tuple[Job, str]:
        """Change a job and return it, with the version of its result. `versions`: those that the result may have; any
        by default.

        Raises JobNotFound, JobExpired; PreconditionFailed; ValidationFailed if a person or track is unknown; if people
        are changed also what `JobQueries.find_succeeded` raises; QueueUnavailable if other requests keep changing the
        job; RedisError, StorageError.
        """
        record = await run_in_threadpool(self._edit, owner, job_id, edit, versions)
        return await self._jobs.get(owner, job_id), result_version(record)

    def _edit(self, owner: str, job_id: str, edit: JobEdit, versions: Sequence[str]) -> JobRecord:
        if edit == JobEdit():
            return self._jobs.find(owner, job_id)
        for _ in range(MAX_ATTEMPTS):
            find = self._jobs.find_succeeded if edit.needs_result else self._jobs.find
            record = find(owner, job_id)
            if versions and result_version(record) not in versions:
                raise PreconditionFailed("The result has changed. Read it again, then repeat the change.")
            if self._try_edit(record, edit):
                return self._jobs.find(owner, job_id)
            time.sleep(random.uniform(0, RETRY_SECONDS))
        raise QueueUnavailable("Other requests keep changing this job. Try again later.")

    def _try_edit(self, record: JobRecord, edit: JobEdit) -> bool:
        """Write a change and make it current. Returns whether the record was current until then; if not, nothing is
        left."""
        edition, changes = secrets.token_hex(8), self._changes(record)
        result_edition, merged = record.result_edition, changes.merged
        if edit.restores_people:
            result_edition, merged = "", {}
        tags = changes.tags if edit.tags is None else tuple(edit.tags)
        if edit.people is not None:
            edited = self._edited(record, edit.people, result_edition, merged)
            if edited is None:
                return False
            self._put(result_key(record.id, record.token, edition), edited.result)
            self._put(summary_key(record.id, record.token, edition), JobSummary.of_result(edited.result))
            result_edition, merged = edition, dict(edited.merged)
        self._put(changes_key(record.id, edition), JobChanges(tags=tags, merged=merged))
        if not self._job_store.edit(record, edition, result_edition, tags):
            self._discard(record, edition)
            return False
        for outdated in {record.edition, record.result_edition}:
            self._discard(record, outdated, keeps_result=outdated == result_edition)
        return True

    def _put(self, key: str, content: BaseModel) -> None:
        self._blobs.put(key, content.model_dump_json().encode())

    def _edited(
        self, record: JobRecord, edit: PeopleEdit, result_edition: str, merged: Mapping[int, int]
    ) -> EditedPeople | None:
        """Return the corrected people of the current result; null if another change has replaced it."""
        document = self._blobs.get(result_key(record.id, record.token, result_edition))
        if document is None and result_edition:
            return None
        if document is None:
            raise JobExpired("The job's result is no longer stored.")
        people = EditedPeople(Result.model_validate_json(document), merged)
        try:
            return people.edit(edit)
        except InvalidPeopleEdit as error:
            raise ValidationFailed(error.message) from error

    def _changes(self, record: JobRecord) -> JobChanges:
        """Return the changes of a job so far."""
        stored = self._blobs.get(changes_key(record.id, record.edition)) if record.edition else None
        if stored is None:
            return JobChanges(tags=self._jobs.tags(record))
        return JobChanges.model_validate_json(stored)

    def _discard(self, record: JobRecord, edition: str, *, keeps_result: bool = False) -> None:
        """Delete the files of a change, if it has any; the result of the analysis itself stays."""
        if not edition:
            return
        self._blobs.delete(changes_key(record.id, edition))
        if not keeps_result:
            self._blobs.delete(result_key(record.id, record.token, edition))
            self._blobs.delete(summary_key(record.id, record.token, edition))
