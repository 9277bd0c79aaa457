"""Command line of the gateway: `python -m app` runs it, `python -m app keys new NAME` creates an API key."""

import sys

import uvicorn
from pydantic import ValidationError

from app import keys
from app.server import server_options
from app.settings import Settings
from workers.protocol.observability import logs
from workers.protocol.observability.metrics import start_sharing, stop_sharing
from workers.protocol.private_files import restrict_folder, restrict_process

SHUTDOWN_SECONDS = 5
"""Seconds to let responses in progress finish after Ctrl-C; a long poll would otherwise delay the exit by a minute."""
STARTUP_SECONDS = 60
"""Seconds without an answer after which one of several gateway processes is replaced. On a busy host several processes
that import their packages at the same time take longer than uvicorn's 5 seconds."""


def main() -> None:
    if sys.argv[1:2] == ["keys"]:
        keys.main(sys.argv[2:])
        return
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit(str(error))
    restrict_process()
    restrict_folder(settings.data_dir)
    if settings.gateway_processes == 1:
        serve(settings)
        return
    folder = start_sharing()  # before the gateway processes start
    try:
        serve(settings)
    finally:
        stop_sharing(folder)


def serve(settings: Settings) -> None:
    """Run the gateway until it is stopped."""
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.gateway_processes,
        timeout_worker_healthcheck=STARTUP_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        log_config=logs.logging_config("gateway", settings),
        **server_options(settings),
    )


if __name__ == "__main__":
    main()
