"""Human ratings of results, as raters give them or as annotation tools export them.

Names of raters and comments are personal data: they are in one blob of the job, which is erased with it.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import Field, TypeAdapter
from starlette.concurrency import run_in_threadpool

from app.errors import JobNotFound, ValidationFailed
from app.services.jobs import JobQueries
from ml.ratings.agreement import MAJORITY, AgreementReport, agreement_report
from ml.ratings.annotations import read_annotations
from ml.ratings.importing import ImportChoice, ratings_of
from ml.ratings.rating import MODEL, RatedContent, RaterName, Rating
from ml.results import FrozenModel, Result
from workers.protocol.blob_keys import job_prefix, ratings_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.store.job_store import JobStore

MAX_RATINGS = 20_000
"""Maximum number of ratings of one job."""
MAX_RATERS = 12
"""Maximum number of raters of one job: each is compared with each."""
_RATINGS = TypeAdapter(tuple[Rating, ...])
_RESERVED = frozenset({MODEL, MAJORITY})


class RaterSummary(FrozenModel):
    """A rater and the number of ratings."""

    name: str
    ratings: int


class RatingList(FrozenModel):
    """The ratings of a job, in order of time."""

    ratings: tuple[Rating, ...]
    raters: tuple[RaterSummary, ...] = Field(description="All raters of the job, also those that were not asked for.")


class RatingReceipt(FrozenModel):
    """Outcome of a request that adds ratings."""

    ratings: tuple[Rating, ...] = Field(description="The ratings as they are stored.")
    replaced: int = Field(description="Number of earlier ratings of the same raters that they replace.")
    skipped: dict[str, int] = Field({}, description="Number of annotations of a file that were left out, by reason.")


@dataclass(frozen=True)
class _Update:
    kept: tuple[Rating, ...]
    added: tuple[Rating, ...] = ()
    replaced: int = 0


class Ratings:
    """The ratings of an owner's jobs."""

    def __init__(self, jobs: JobQueries, job_store: JobStore, blobs: BlobStore) -> None:
        self._jobs, self._job_store, self._blobs = jobs, job_store, blobs

    async def add(self, owner: str, job_id: str, rater: str, contents: Sequence[RatedContent]) -> RatingReceipt:
        """Store ratings of one rater. One of the same thing replaces the earlier one.

        Raises what `JobQueries.find_succeeded` raises; ValidationFailed; RedisError, StorageError.
        """
        await self._jobs.succeeded(owner, job_id)
        rated = [(rater, content) for content in contents]
        return await run_in_threadpool(self._add, owner, job_id, rated, "call", Counter())

    async def add_file(self, owner: str, job_id: str, data: bytes, choice: ImportChoice) -> RatingReceipt:
        """Store the ratings of a file. Raises as `add`, and UnsupportedRatings, InvalidRatings."""

        def add() -> RatingReceipt:
            document, _ = self._jobs.find_result(owner, job_id)
            imported = ratings_of(read_annotations(data), Result.model_validate_json(document), choice)
            if not imported.ratings:
                reasons = ", ".join(f"{reason} ({count})" for reason, count in imported.skipped.most_common(3))
                raise ValidationFailed(f"The file has no ratings: {reasons or 'it is empty'}.")
            return self._add(owner, job_id, imported.ratings, "import", imported.skipped)

        return await run_in_threadpool(add)

    async def list_ratings(self, owner: str, job_id: str, rater: str | None = None) -> RatingList:
        """Return the ratings, those of one rater if it is named. Raises JobNotFound, JobExpired."""

        def read() -> RatingList:
            self._jobs.find(owner, job_id)
            ratings = self._read(job_id)
            counts = sorted(Counter(rating.rater for rating in ratings).items())
            return RatingList(
                ratings=tuple(rating for rating in ratings if rater in (None, rating.rater)),
                raters=tuple(RaterSummary(name=name, ratings=count) for name, count in counts),
            )

        return await run_in_threadpool(read)

    async def delete(self, owner: str, job_id: str, rater: str | None = None, rating_id: str | None = None) -> None:
        """Delete the ratings of a rater, one rating, or all. Raises JobNotFound, JobExpired, RedisError."""

        def is_kept(rating: Rating) -> bool:
            return (rater is not None and rating.rater != rater) or (rating_id is not None and rating.id != rating_id)

        def change(ratings: tuple[Rating, ...]) -> _Update:
            return _Update(tuple(filter(is_kept, ratings)))

        await run_in_threadpool(self._update, owner, job_id, change)

    async def agreement(self, owner: str, job_id: str, step: float) -> AgreementReport:
        """Return how far raters and model agree. Raises what `JobQueries.find_succeeded` raises."""

        def compute() -> AgreementReport:
            document, _ = self._jobs.find_result(owner, job_id)
            return agreement_report(Result.model_validate_json(document), self._read(job_id), step)

        return await run_in_threadpool(compute)

    def _add(
        self,
        owner: str,
        job_id: str,
        rated: Iterable[tuple[str, RatedContent]],
        source: str,
        skipped: Counter[str],
    ) -> RatingReceipt:
        now = datetime.now(UTC)
        added = {
            (rater, content.key): Rating.model_validate(
                {**dict(content), "id": f"rating_{secrets.token_hex(8)}", "rater": rater, "source": source}
                | {"created_at": now}
            )
            for rater, content in rated
        }

        def change(ratings: tuple[Rating, ...]) -> _Update:
            kept = tuple(rating for rating in ratings if (rating.rater, rating.key) not in added)
            update = _Update(kept, tuple(added.values()), len(ratings) - len(kept))
            _check_limits((*kept, *update.added))
            return update

        update = self._update(owner, job_id, change)
        return RatingReceipt(ratings=update.added, replaced=update.replaced, skipped=dict(skipped))

    def _read(self, job_id: str) -> tuple[Rating, ...]:
        stored = self._blobs.get(ratings_key(job_id))
        return _RATINGS.validate_json(stored) if stored else ()

    def _update(self, owner: str, job_id: str, change: Callable[[tuple[Rating, ...]], _Update]) -> _Update:
        """Change the ratings of a job, while no other request does."""
        with self._job_store.lock(job_id):
            self._jobs.find(owner, job_id)
            update = change(self._read(job_id))
            ratings = sorted((*update.kept, *update.added), key=lambda rating: (rating.start, rating.created_at))
            if ratings:
                self._blobs.put(ratings_key(job_id), _RATINGS.dump_json(tuple(ratings)))
            else:
                self._blobs.delete(ratings_key(job_id))
            try:
                self._jobs.find(owner, job_id)
            except JobNotFound:  # it was just deleted
                self._blobs.delete(job_prefix(job_id))
                raise
        return update


def _check_limits(ratings: Sequence[Rating]) -> None:
    raters = {rating.rater for rating in ratings}
    if reserved := {rater for rater in raters if rater.casefold() in _RESERVED}:
        raise ValidationFailed(f"No rater may have the name {min(reserved)}: it stands for something else.")
    if len(raters) > MAX_RATERS:
        raise ValidationFailed(f"A job may have ratings of {MAX_RATERS} raters.")
    if len(ratings) > MAX_RATINGS:
        raise ValidationFailed(f"A job may have {MAX_RATINGS} ratings.")


class RatingRequest(FrozenModel):
    """Ratings of one rater."""

    rater: RaterName
    ratings: tuple[RatedContent, ...] = Field(min_length=1, max_length=500)
