"""Sender of webhooks: notifies the caller's server that a job has ended, and retries for hours.

Each attempt is a POST, signed after Standard Webhooks, to an address that is checked (`workers.outbound.http_client`).
Redirects are not followed. A 2xx response ends the delivery, 410 gives it up; after anything else it is retried, later
each time.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import httpx

from ml.errors import FetchFailed
from workers.outbound.http_client import open_client
from workers.process.metrics import WorkerMetrics
from workers.protocol.blob_keys import request_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.net.ssrf import EgressPolicy, ForbiddenUrl
from workers.protocol.records import JobRequest
from workers.protocol.settings import WebhookSecret
from workers.protocol.store.job_store import JobStore
from workers.protocol.store.webhook_queue import Delivery, DeliveryAttempt
from workers.protocol.webhooks.events import BatchEvent, JobEvent, WebhookTestEvent
from workers.protocol.webhooks.signing import signature

if TYPE_CHECKING:
    from workers.settings import WorkerSettings

logger = logging.getLogger(__name__)

MAX_RETRY_AFTER_SECONDS = 86400.0
MAX_JITTER = 0.1
"""Maximum share by which a pause is extended at random, so that retries do not come all at once."""


@dataclass(frozen=True)
class WebhookPolicy:
    """Timing of deliveries. `timeout_seconds`: time limit of one attempt. `pauses`: seconds before each further
    attempt. `max_per_owner`: maximum attempts for one owner at once."""

    timeout_seconds: float
    pauses: tuple[float, ...]
    max_per_owner: float = math.inf

    @classmethod
    def from_settings(cls, settings: "WorkerSettings") -> Self:
        return cls(settings.webhook_seconds, settings.webhook_pauses, settings.webhooks_per_key)


@dataclass(frozen=True)
class _Response:
    """Result of one attempt. `error`: None if delivered. `permanent`: do not retry. `retry_after`: minimum seconds to
    wait."""

    status: int | None = None
    error: str | None = None
    permanent: bool = False
    retry_after: float = 0.0


class WebhookSender:
    """Sends the webhooks that are due. Safe to share between threads, each of which makes one attempt at a time."""

    def __init__(
        self,
        job_store: JobStore,
        blobs: BlobStore,
        egress: EgressPolicy,
        secrets: Sequence[WebhookSecret],
        policy: WebhookPolicy,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        self._job_store, self._blobs, self._egress = job_store, blobs, egress
        self._secrets, self._policy = secrets, policy
        self._metrics = metrics or WorkerMetrics()

    def send_next(self) -> str | None:
        """Make one attempt at the delivery that is due. Return the id of its job, or None if no delivery is due."""
        policy = self._policy
        delivery = self._job_store.webhook_queue.lease_next(policy.timeout_seconds + 30, policy.max_per_owner)
        if delivery is None:
            return None
        started, at = time.monotonic(), datetime.now(UTC)
        response = self._attempt(delivery)
        seconds = time.monotonic() - started
        attempt = DeliveryAttempt(at=at, seconds=seconds, status=response.status, error=response.error)
        pause = self._pause_before_retry(delivery, response)
        state = self._job_store.webhook_queue.record_attempt(delivery, attempt, pause)
        self._metrics.webhook_deliveries.labels("retried" if state == "pending" else state).inc()
        self._metrics.webhook_delivery_seconds.observe(seconds)
        logger.info(
            "webhook, attempt %d: %s",
            delivery.attempt,
            state,
            extra={"fields": {"job_id": delivery.id, "status": response.status, "seconds": round(seconds, 3)}},
        )
        return delivery.id

    def _pause_before_retry(self, delivery: Delivery, response: _Response) -> float | None:
        """Return the seconds until the next attempt, or None to give up."""
        if response.permanent or delivery.test or delivery.attempt > len(self._policy.pauses):
            return None
        pause = self._policy.pauses[delivery.attempt - 1] * random.uniform(1, 1 + MAX_JITTER)
        return max(pause, response.retry_after)

    def _attempt(self, delivery: Delivery) -> _Response:
        stored = self._blobs.get(request_key(delivery.id))
        request = JobRequest.model_validate_json(stored) if stored else JobRequest()
        url = request.webhook_url
        secrets = [secret for secret in self._secrets if secret.name == delivery.owner]
        event = self._batch_event(request.batch) if request.batch else self._event(delivery)
        if event is None and request.batch:
            return _Response()  # the last of the batch to end sends it
        if url is None or event is None:
            return _Response(error="The job no longer exists.", permanent=True)
        if not secrets:
            return _Response(error="No webhook secret is configured for the owner of the job.")
        body = event.model_dump_json().encode()
        event_of = request.batch[0] if request.batch else delivery.id
        message_id, now = f"msg_{event_of.removeprefix('job_')}", int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(secrets, message_id, now, body),
        }
        return asyncio.run(self._post(url, body, headers))

    def _event(self, delivery: Delivery) -> JobEvent | WebhookTestEvent | None:
        if delivery.test:
            return WebhookTestEvent()
        record = self._job_store.get(delivery.id)
        return JobEvent.from_record(record) if record else None

    def _batch_event(self, batch: Sequence[str]) -> BatchEvent | None:
        """Return the event of a batch; None while one of its jobs has not ended."""
        return BatchEvent.from_records(batch[0], map(self._job_store.get, batch))

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> _Response:
        timeout = self._policy.timeout_seconds
        try:
            async with (
                asyncio.timeout(timeout),
                open_client(self._egress, httpx.Timeout(timeout)) as client,
                client.stream("POST", url, content=body, headers=headers) as response,
            ):
                return _interpret(response)
        except ForbiddenUrl as error:
            return _Response(error=error.message, permanent=True)
        except FetchFailed as error:
            return _Response(error=error.message)
        except (TimeoutError, httpx.TimeoutException):
            return _Response(error=f"The receiver did not answer within {timeout:g} seconds.")
        except (httpx.TransportError, httpx.InvalidURL):
            return _Response(error="The connection failed or was interrupted.")


def _interpret(response: httpx.Response) -> _Response:
    """Read the status and `Retry-After` of a response, and nothing else of it."""
    status = response.status_code
    if response.is_success:
        return _Response(status)
    if response.has_redirect_location or response.is_redirect:
        return _Response(status, "The receiver redirects; redirects are not followed.")
    value = response.headers.get("retry-after", "")
    seconds = float(value) if value.isascii() and value.isdigit() else 0.0
    gone = status == httpx.codes.GONE
    return _Response(status, f"The receiver answered {status}.", gone, min(seconds, MAX_RETRY_AFTER_SECONDS))
