"""Command line of the gateway: `python -m app` runs it, `python -m app keys new NAME` creates an API key."""

import os
import sys
import tempfile

import uvicorn
from pydantic import ValidationError

from app import keys
from app.http.metrics import SHARED_FOLDER
from app.settings import Settings
from workers.protocol.observability import logs

SHUTDOWN_SECONDS = 5
"""Seconds to let responses in progress finish after Ctrl-C; a long poll would otherwise delay the exit by a minute."""


def main() -> None:
    if sys.argv[1:2] == ["keys"]:
        keys.main(sys.argv[2:])
        return
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit(str(error))
    if settings.gateway_processes == 1:
        serve(settings)
        return
    with tempfile.TemporaryDirectory(prefix="affect-metrics-") as folder:
        os.environ[SHARED_FOLDER] = folder  # each gateway process starts from scratch and reads it from the environment
        serve(settings)


def serve(settings: Settings) -> None:
    """Run the gateway until it is stopped."""
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.gateway_processes,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
        access_log=False,  # `RequestContextMiddleware` logs requests, without addresses and queries
        log_config=logs.logging_config("gateway", settings),
    )


if __name__ == "__main__":
    main()
