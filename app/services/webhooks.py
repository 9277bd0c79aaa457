"""The gateway's part in webhooks: validates their addresses and requests test deliveries. Workers send them."""

import asyncio

from celery import Celery
from starlette.concurrency import run_in_threadpool

from app.errors import ValidationFailed
from app.settings import Settings
from workers.protocol.blob_keys import job_prefix, request_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.broker import send_wake_up_if_needed
from workers.protocol.net.ssrf import EgressPolicy
from workers.protocol.records import JobRequest, new_job_id
from workers.protocol.store.job_store import JobStore
from workers.protocol.store.webhook_queue import DeliveryLog

TEST_TIMEOUT_SECONDS = 30.0
"""Seconds to wait for the outcome of a test delivery."""
POLL_INTERVAL_SECONDS = 0.1


def check_webhook(settings: Settings, owner: str, url: str) -> None:
    """Raise ForbiddenUrl if the address isn't allowed, ValidationFailed if the owner has no signing secret."""
    EgressPolicy.from_settings(settings).check_url(url)
    if not any(secret.name == owner for secret in settings.webhook_secrets):
        raise ValidationFailed(f"Webhooks can't be signed: AFFECT_WEBHOOK_SECRETS has no secret for {owner}.")


class Webhooks:
    """Test deliveries of webhooks."""

    def __init__(self, job_store: JobStore, blobs: BlobStore, celery: Celery, settings: Settings) -> None:
        self._job_store, self._blobs, self._celery, self._settings = job_store, blobs, celery, settings

    async def test(self, owner: str, url: str) -> DeliveryLog:
        """Have a worker send one webhook of the type `webhook.test`, and return its outcome: `pending` if no worker
        sent it within `TEST_TIMEOUT_SECONDS`. Raises ForbiddenUrl, ValidationFailed."""
        check_webhook(self._settings, owner, url)
        test_id = new_job_id()
        request = JobRequest(webhook_url=url)
        try:
            await run_in_threadpool(self._blobs.put, request_key(test_id), request.model_dump_json().encode())
            await run_in_threadpool(self._job_store.webhook_queue.add_test, test_id, owner)
            await run_in_threadpool(send_wake_up_if_needed, self._celery, "io")
            return await self._wait_for_outcome(test_id)
        finally:
            await asyncio.shield(run_in_threadpool(self._blobs.delete, job_prefix(test_id)))

    async def _wait_for_outcome(self, test_id: str) -> DeliveryLog:
        deadline = asyncio.get_running_loop().time() + TEST_TIMEOUT_SECONDS
        while True:
            log = await run_in_threadpool(self._job_store.webhook_queue.delivery_log, test_id)
            if log.state != "pending" or asyncio.get_running_loop().time() > deadline:
                return log
            await asyncio.sleep(POLL_INTERVAL_SECONDS)
