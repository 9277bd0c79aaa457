"""An exception → the failure that crosses to the caller: a code and words that are safe to show."""

import logging
import secrets

from ml.errors import AffectError
from workers.protocol.blobs.filesystem import is_full
from workers.protocol.records import Failure

logger = logging.getLogger(__name__)


def failure_of(error: Exception) -> Failure:
    """An error with a code keeps it. Any other is `internal_error`, logged under a number that the caller may quote."""
    if isinstance(error, AffectError):
        return Failure(code=error.code, message=error.message, stage=error.stage, retryable=error.retryable)
    if isinstance(error, OSError) and is_full(error):
        return Failure(code="storage_full", message="There was no room to work on the media.", retryable=True)
    number = secrets.token_hex(4)
    logger.error("internal error %s", number, exc_info=error)
    return Failure(code="internal_error", message=f"Something went wrong on our side (error {number}).", retryable=True)
