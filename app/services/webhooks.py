"""Webhooks, as far as the gateway goes: may this one be sent, and a trial of it. Workers send them."""

import asyncio

from celery import Celery
from starlette.concurrency import run_in_threadpool

from app.errors import ValidationFailed
from app.settings import Settings
from workers.protocol.blobs.blobs import Blobs
from workers.protocol.broker import wake
from workers.protocol.net.ssrf import Egress
from workers.protocol.records import JobRequest, job_prefix, new_job_id, request_key
from workers.protocol.store.job_store import JobStore
from workers.protocol.store.webhook_queue import DeliveryLog

TEST_SECONDS = 30.0
"""For which a trial is waited for."""
_LOOK_SECONDS = 0.1


def check_webhook(settings: Settings, owner: str, url: str) -> None:
    """Raises ForbiddenUrl, or ValidationFailed where there is nothing to sign with."""
    Egress.of(settings).check_url(url)
    if not any(secret.name == owner for secret in settings.webhook_secrets):
        raise ValidationFailed(f"No webhook can be signed: AFFECT_WEBHOOK_SECRETS has no secret for {owner}.")


class Webhooks:
    def __init__(self, job_store: JobStore, blobs: Blobs, celery: Celery, settings: Settings) -> None:
        self._job_store, self._blobs, self._celery, self._settings = job_store, blobs, celery, settings

    async def test(self, owner: str, url: str) -> DeliveryLog:
        """One attempt at a webhook of the type `webhook.test`: what came of it, or `pending` where no worker has
        made it in time. Raises what `check_webhook` raises."""
        check_webhook(self._settings, owner, url)
        test_id = new_job_id()
        request = JobRequest(webhook_url=url)
        try:
            await run_in_threadpool(self._blobs.put, request_key(test_id), request.model_dump_json().encode())
            await run_in_threadpool(self._job_store.webhook_queue.add_test, test_id, owner)
            await run_in_threadpool(wake, self._celery, "io")
            return await self._outcome(test_id)
        finally:
            await asyncio.shield(run_in_threadpool(self._blobs.delete, job_prefix(test_id)))

    async def _outcome(self, test_id: str) -> DeliveryLog:
        until = asyncio.get_running_loop().time() + TEST_SECONDS
        while True:
            log = await run_in_threadpool(self._job_store.webhook_queue.delivery_log, test_id)
            if log.state != "pending" or asyncio.get_running_loop().time() > until:
                return log
            await asyncio.sleep(_LOOK_SECONDS)
