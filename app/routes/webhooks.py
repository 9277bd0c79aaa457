"""A trial of webhooks."""

from typing import Annotated

from fastapi import APIRouter, Header
from pydantic import Field

from app.dependencies import Owner, WebhooksOf
from app.schemas import CALLERS, problem_responses
from ml.results import Frozen
from workers.protocol.net.ssrf import MOST_URL_CHARACTERS
from workers.protocol.store.webhook_queue import DeliveryLog
from workers.protocol.webhooks.events import JobEvent

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], responses=problem_responses(*CALLERS))


told = APIRouter()
"""What this service sends, for the OpenAPI document."""


@told.post("job-ended", tags=["webhooks"], responses={"4XX": {"description": "Not taken: it is sent again later."}})
def job_ended(
    notice: JobEvent,
    webhook_id: Annotated[str, Header(description="The same each time that this notice is sent.")],
    webhook_timestamp: Annotated[int, Header(description="Seconds since 1970.")],
    webhook_signature: Annotated[str, Header(description="`v1,` and a signature, for each secret; by spaces.")],
) -> None:
    """Sent to a job's `webhook_url` when it has ended, signed after Standard Webhooks. It is sent again until it is
    answered with 2xx, for hours; 410 ends that. A redirect is not followed."""


class WebhookTest(Frozen):
    url: Annotated[str, Field(max_length=MOST_URL_CHARACTERS, examples=["https://hooks.example.com/affect"])]


@router.post("/test", responses=problem_responses("validation_failed", "forbidden_url", "storage_full"))
async def test_webhook(asked: WebhookTest, webhooks: WebhooksOf, owner: Owner) -> DeliveryLog:
    """Sends one signed webhook of the type `webhook.test`, and tells what came of it. It is `pending` where no worker
    has sent it within half a minute."""
    return await webhooks.test(owner, asked.url)
