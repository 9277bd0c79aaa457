"""What routes ask for, as annotated types."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.fleet import Fleet
from app.jobs import Jobs
from app.metrics import Metrics
from app.security import LOCAL_OWNER, identify
from app.settings import Settings
from app.webhooks import Webhooks

_bearer = HTTPBearer(auto_error=False, description="An API key; not needed on loopback where no keys are set.")


def get_settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def get_jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


def get_fleet(request: Request) -> Fleet:
    fleet: Fleet = request.app.state.fleet
    return fleet


def get_metrics(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


def get_webhooks(request: Request) -> Webhooks:
    webhooks: Webhooks = request.app.state.webhooks
    return webhooks


SettingsOf = Annotated[Settings, Depends(get_settings)]
JobsOf = Annotated[Jobs, Depends(get_jobs)]
FleetOf = Annotated[Fleet, Depends(get_fleet)]
WebhooksOf = Annotated[Webhooks, Depends(get_webhooks)]
MetricsOf = Annotated[Metrics, Depends(get_metrics)]


def get_owner(
    settings: SettingsOf, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> str:
    """The caller's name; without keys the one person at this machine."""
    if not settings.api_keys:
        return LOCAL_OWNER
    sent = f"{credentials.scheme} {credentials.credentials}" if credentials else None
    return identify(sent, settings.api_keys)


Owner = Annotated[str, Depends(get_owner)]
