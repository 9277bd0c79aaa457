"""Webhooks: test deliveries, and the description of what this service sends."""

from typing import Annotated

from fastapi import APIRouter, Header
from pydantic import Field

from app.dependencies import Owner, WebhooksDep, json_body
from app.errors import ValidationFailed
from app.http.bodies import json_request_body
from app.schemas import CALLER_ERRORS, problem_responses
from ml.errors import FileTooLarge
from ml.results import FrozenModel
from workers.protocol.blobs.storage_backend import StorageFull
from workers.protocol.net.ssrf import MAX_URL_LENGTH, ForbiddenUrl
from workers.protocol.store.webhook_queue import DeliveryLog
from workers.protocol.webhooks.events import JobEvent

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], responses=problem_responses(*CALLER_ERRORS))
published = APIRouter()
"""Webhooks that this service sends; for the OpenAPI document only."""


@published.post(
    "job-ended", tags=["webhooks"], responses={"4XX": {"description": "Not accepted: the webhook is retried later."}}
)
def job_ended(
    notice: JobEvent,
    webhook_id: Annotated[str, Header(description="Id of the event; the same for every attempt.")],
    webhook_timestamp: Annotated[int, Header(description="Time of the attempt, in seconds since 1970.")],
    webhook_signature: Annotated[
        str, Header(description="`v1,` and a signature for each secret, separated by spaces.")
    ],
) -> None:
    """Notify a job's `webhook_url` that the job has ended, signed according to Standard Webhooks. Delivery is retried
    for hours until the receiver responds with 2xx, or with 410 to stop. Redirects are not followed."""


class WebhookTest(FrozenModel):
    """Request for a test delivery."""

    url: Annotated[str, Field(max_length=MAX_URL_LENGTH, examples=["https://hooks.example.com/affect"])]


@router.post(
    "/test",
    openapi_extra=json_request_body(WebhookTest),
    responses=problem_responses(ValidationFailed, ForbiddenUrl, FileTooLarge, StorageFull),
)
async def test_webhook(
    request: Annotated[WebhookTest, json_body(WebhookTest)], webhooks: WebhooksDep, owner: Owner
) -> DeliveryLog:
    """Send one signed webhook of the type `webhook.test` and return its outcome, which is `pending` if no worker sent
    it within 30 seconds."""
    return await webhooks.test(owner, request.url)
