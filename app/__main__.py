"""Runs the gateway: `python -m app`; makes a key: `python -m app keys new NAME`."""

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
"""For which answers under way may go on after Ctrl-C: a long poll would hold the process for a minute."""


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
        os.environ[SHARED_FOLDER] = folder  # read by the processes, which begin afresh
        serve(settings)


def serve(settings: Settings) -> None:
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.gateway_processes,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
        access_log=False,  # `Tracking` tells of requests, without addresses and queries
        log_config=logs.config("gateway", settings),
    )


if __name__ == "__main__":
    main()
