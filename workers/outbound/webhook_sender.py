"""Webhooks: tells the caller's own server that a job has ended, until it has heard, or for hours.

Each attempt is a POST that is never redirected, to an address that is checked (`workers.outbound.http_client`), signed after Standard
Webhooks. 2xx: heard. 410: never again. Anything else is tried again, later each time.
"""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from ml.errors import FetchFailed
from workers.outbound.http_client import open_client
from workers.process.metrics import Recorder
from workers.protocol.blobs.blobs import Blobs
from workers.protocol.net.ssrf import Egress, ForbiddenUrl
from workers.protocol.records import JobRequest, request_key
from workers.protocol.store.job_store import JobStore
from workers.protocol.store.webhook_queue import Attempt, Delivery
from workers.protocol.webhooks.events import JobNotice, TrialNotice
from workers.protocol.webhooks.signing import WebhookSecret, signature

logger = logging.getLogger(__name__)

LONGEST_RETRY_AFTER = 86400.0
SPREAD = 0.1
"""So much longer, at most, may a pause be, that not all come back at once."""


@dataclass(frozen=True)
class WebhookTerms:
    """`seconds`: for which a receiver may take its time. `pauses`: before each further attempt, in seconds."""

    seconds: float = 15.0
    pauses: tuple[float, ...] = (5, 60, 300, 1800, 7200, 18000, 36000)


@dataclass(frozen=True)
class _Answer:
    status: int | None = None
    error: str | None = None
    lasting: bool = False
    retry_after: float = 0.0


class Postman:
    """Makes the deliveries that are due, one at a time."""

    def __init__(
        self,
        job_store: JobStore,
        blobs: Blobs,
        egress: Egress,
        secrets: Sequence[WebhookSecret],
        terms: WebhookTerms,
        recorder: Recorder | None = None,
    ) -> None:
        self._job_store, self._blobs, self._egress, self._secrets, self._terms = (
            job_store,
            blobs,
            egress,
            secrets,
            terms,
        )
        self._recorder = recorder or Recorder()

    def work(self) -> str | None:
        """Makes one attempt at the delivery that is due. Its job's id; null when none is."""
        delivery = self._job_store.outbox.take(self._terms.seconds + 30)
        if delivery is None:
            return None
        began, at = time.monotonic(), datetime.now(UTC)
        answer = self._attempt(delivery)
        attempt = Attempt(at=at, seconds=time.monotonic() - began, status=answer.status, error=answer.error)
        state = self._job_store.outbox.note(delivery, attempt, self._pause(delivery, answer))
        self._recorder.delivery("retried" if state == "pending" else state, attempt.seconds)
        logger.info(
            "webhook, attempt %d: %s",
            delivery.attempt,
            state,
            extra={"fields": {"job_id": delivery.id, "status": answer.status, "seconds": round(attempt.seconds, 3)}},
        )
        return delivery.id

    def _pause(self, delivery: Delivery, answer: _Answer) -> float | None:
        """Seconds until the next attempt; null: there is none."""
        if answer.lasting or delivery.test or delivery.attempt > len(self._terms.pauses):
            return None
        pause = self._terms.pauses[delivery.attempt - 1] * random.uniform(1, 1 + SPREAD)
        return max(pause, answer.retry_after)

    def _attempt(self, delivery: Delivery) -> _Answer:
        stored = self._blobs.get(request_key(delivery.id))
        url = JobRequest.model_validate_json(stored).webhook_url if stored else None
        secrets = [secret for secret in self._secrets if secret.name == delivery.owner]
        notice = self._notice(delivery)
        if url is None or notice is None:
            return _Answer(error="The job is gone.", lasting=True)
        if not secrets:
            return _Answer(error="There is no secret to sign with.")
        body = notice.model_dump_json().encode()
        message_id, now = f"msg_{delivery.id.removeprefix('job_')}", int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(secrets, message_id, now, body),
        }
        return asyncio.run(self._post(url, body, headers))

    def _notice(self, delivery: Delivery) -> JobNotice | TrialNotice | None:
        if delivery.test:
            return TrialNotice()
        record = self._job_store.get(delivery.id)
        return JobNotice.of(record) if record else None

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> _Answer:
        try:
            async with (
                asyncio.timeout(self._terms.seconds),
                open_client(self._egress, httpx.Timeout(self._terms.seconds)) as client,
                client.stream("POST", url, content=body, headers=headers) as response,
            ):
                return _answer(response)
        except ForbiddenUrl as error:
            return _Answer(error=error.message, lasting=True)
        except FetchFailed as error:
            return _Answer(error=error.message)
        except (TimeoutError, httpx.TimeoutException):
            return _Answer(error=f"No answer came within {self._terms.seconds:g} seconds.")
        except (httpx.TransportError, httpx.InvalidURL):
            return _Answer(error="The connection could not be made, or broke off.")


def _answer(response: httpx.Response) -> _Answer:
    """Nothing but the status and `Retry-After` is read of it."""
    status = response.status_code
    if response.is_success:
        return _Answer(status)
    if response.has_redirect_location or response.is_redirect:
        return _Answer(status, "The receiver redirects, which is not followed.")
    told = response.headers.get("retry-after", "")
    after = float(told) if told.isascii() and told.isdigit() else 0.0
    gone = status == httpx.codes.GONE
    return _Answer(status, f"The receiver answered {status}.", gone, min(after, LONGEST_RETRY_AFTER))
