"""A trial of webhooks."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from app.dependencies import Owner, WebhooksOf
from app.schemas import CALLERS, problems
from ml.results import Frozen
from workers.wire.egress import MOST_URL_CHARACTERS
from workers.wire.outbox import DeliveryLog

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], responses=problems(*CALLERS))


class WebhookTest(Frozen):
    url: Annotated[str, Field(max_length=MOST_URL_CHARACTERS, examples=["https://hooks.example.com/affect"])]


@router.post("/test", responses=problems("validation_failed", "forbidden_url", "storage_full"))
async def test_webhook(asked: WebhookTest, webhooks: WebhooksOf, owner: Owner) -> DeliveryLog:
    """Sends one signed webhook of the type `webhook.test`, and tells what came of it. It is `pending` where no worker
    has sent it within half a minute."""
    return await webhooks.test(owner, asked.url)
