"""Share links: a caller with one can read one job, and nothing else, until it expires or is revoked."""

import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta

from pydantic import Field, TypeAdapter

from app.errors import Fault, JobNotFound, ShareNotFound, Unauthorized, ValidationFailed
from app.schemas import Job
from app.services.jobs import JobQueries, job_path
from ml.results import FrozenModel
from workers.protocol.blob_keys import job_prefix, shares_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.store.job_store import JobStore

MAX_SHARES = 50
"""Maximum number of share links of a job that are valid at the same time."""
DEFAULT_HOURS, MAX_HOURS = 24.0 * 7, 24.0 * 365


class ShareRequest(FrozenModel):
    """A new share link."""

    hours: float = Field(DEFAULT_HOURS, gt=0, le=MAX_HOURS, description="Hours until it expires; at most as the job.")
    media: bool = Field(False, description="Whether the stored media can be played too.")


class Share(FrozenModel):
    """A share link that is valid. Its token is shown once, when it is created."""

    id: str
    media: bool
    created_at: datetime
    expires_at: datetime


class NewShare(Share):
    """A new share link with its token."""

    token: str = Field(description="Replaces the key: `?share=` for the job, its result, artifacts and media.")
    link: str = Field(description="Path and fragment of the page that shows the job.")


class ShareList(FrozenModel):
    """The share links of a job that are valid."""

    shares: tuple[Share, ...]


class _StoredShare(Share):
    digest: str


_STORED = TypeAdapter(tuple[_StoredShare, ...])


class Shares:
    """Creates, lists, revokes and opens share links. Only digests of tokens are stored, with the job's other files."""

    def __init__(self, jobs: JobQueries, job_store: JobStore, blobs: BlobStore) -> None:
        self._jobs, self._job_store, self._blobs = jobs, job_store, blobs

    def create(self, owner: str, job_id: str, request: ShareRequest) -> NewShare:
        """Return a new share link; for use in a thread. Raises what `JobQueries.find_succeeded` raises, and
        ValidationFailed for too many."""
        record = self._jobs.find_succeeded(owner, job_id)
        token, now = secrets.token_urlsafe(24), datetime.now(UTC)
        share = _StoredShare(
            id=f"share_{secrets.token_hex(8)}",
            media=request.media,
            created_at=now,
            expires_at=min(now + timedelta(hours=request.hours), self._jobs.expiry(record) or datetime.max),
            digest=_digest(token),
        )
        with self._job_store.lock(job_id):
            shares = (*self._valid(job_id), share)
            if len(shares) > MAX_SHARES:
                message = f"A job may have {MAX_SHARES} share links at the same time. Revoke one first."
                raise ValidationFailed(message, errors=[Fault(location="share", message=message)])
            self._write(owner, job_id, shares)
        link = f"/#/job/{job_id}?share={token}"
        return NewShare(**share.model_dump(exclude={"digest"}), token=token, link=link)

    def list_shares(self, owner: str, job_id: str) -> ShareList:
        """Return the valid share links; for use in a thread. Raises JobNotFound, JobExpired."""
        self._jobs.find(owner, job_id)
        return ShareList(shares=tuple(Share(**share.model_dump(exclude={"digest"})) for share in self._valid(job_id)))

    def revoke(self, owner: str, job_id: str, share_id: str) -> None:
        """Revoke a share link; for use in a thread. Raises JobNotFound, JobExpired, ShareNotFound."""
        self._jobs.find(owner, job_id)
        with self._job_store.lock(job_id):
            shares = self._valid(job_id)
            kept = tuple(share for share in shares if share.id != share_id)
            if len(kept) == len(shares):
                raise ShareNotFound("The job has no share link with this id. It may have expired.")
            self._write(owner, job_id, kept)

    def open(self, job_id: str, token: str) -> tuple[str, Share]:
        """Return the owner of a job and the share link that a token belongs to; for use in a thread. Raises
        Unauthorized for every token that does not open this job, whether the job exists or not."""
        digest = _digest(token)
        found = [share for share in self._valid(job_id) if hmac.compare_digest(share.digest, digest)]
        record = self._job_store.get(job_id)
        if not found or record is None:
            raise Unauthorized("The link is invalid, has expired or was revoked.")
        return record.owner, found[0]

    def _valid(self, job_id: str) -> tuple[_StoredShare, ...]:
        stored = self._blobs.get(shares_key(job_id))
        now = datetime.now(UTC)
        return tuple(share for share in _STORED.validate_json(stored) if share.expires_at > now) if stored else ()

    def _write(self, owner: str, job_id: str, shares: tuple[_StoredShare, ...]) -> None:
        self._blobs.put(shares_key(job_id), _STORED.dump_json(shares))
        try:
            self._jobs.find(owner, job_id)
        except JobNotFound:  # it was deleted in the meantime
            self._blobs.delete(job_prefix(job_id))
            raise


def shared_view(job: Job, share: Share) -> Job:
    """Return what a share link shows of a job: neither its tags nor, unless they are shared, its media."""
    links = job.links if share.media else job.links.model_copy(update={"media": None})
    return job.model_copy(update={"tags": (), "links": links})


def share_path(job_id: str) -> str:
    """Return the path of the share links of a job."""
    return f"{job_path(job_id)}/shares"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
