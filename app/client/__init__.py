"""Python client of Affect, installed as `affect_client`.

from affect_client import Client

with Client() as affect:
    result = affect.analyse("talk.mp4")
    print(result.overall.emotion)
"""

from .async_client import AsyncClient
from .client import Client
from .errors import (
    AffectError,
    ConnectionFailed,
    Expired,
    ForbiddenUrl,
    IdempotencyError,
    InvalidRequest,
    JobCancelled,
    JobFailed,
    JobUnfinished,
    MediaRefused,
    NotFound,
    ResultChanged,
    StillRunning,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from .models import (
    AgreementReport,
    Artifact,
    Change,
    DeliveryLog,
    Job,
    Model,
    Person,
    Problem,
    Rating,
    RatingList,
    RatingReceipt,
    Result,
    Window,
)
from .transport import Retries
from .uploads import Upload
from .webhooks import NotVerified, WebhookEvent, verify

__all__ = [
    "AffectError",
    "AgreementReport",
    "Artifact",
    "AsyncClient",
    "Change",
    "Client",
    "ConnectionFailed",
    "DeliveryLog",
    "Expired",
    "ForbiddenUrl",
    "IdempotencyError",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobUnfinished",
    "MediaRefused",
    "Model",
    "NotFound",
    "NotVerified",
    "Person",
    "Problem",
    "Rating",
    "RatingList",
    "RatingReceipt",
    "Result",
    "ResultChanged",
    "Retries",
    "StillRunning",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "Upload",
    "WebhookEvent",
    "Window",
    "verify",
]
