"""Conversion of exceptions to job failures: a code and a message that is safe to show to the caller."""

import logging
import secrets

from ml.errors import AffectError
from workers.protocol.blobs.storage_backend import is_out_of_space
from workers.protocol.records import Failure

logger = logging.getLogger(__name__)


def failure_of(error: Exception) -> Failure:
    """Return the failure that an exception stands for.

    An error with a code keeps it. Any other error becomes `internal_error` and is logged under a number that the caller
    may quote.
    """
    if isinstance(error, AffectError):
        return Failure(code=error.code, message=error.message, stage=error.stage, retryable=error.retryable)
    if isinstance(error, OSError) and is_out_of_space(error):
        message = "There was not enough disk space to process the media."
        return Failure(code="storage_full", message=message, retryable=True)
    number = secrets.token_hex(4)
    logger.error("internal error %s", number, exc_info=error)
    return Failure(code="internal_error", message=f"Something went wrong on our side (error {number}).", retryable=True)
