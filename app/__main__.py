"""Runs the gateway: `python -m app`."""

import uvicorn

from app.settings import Settings

SHUTDOWN_SECONDS = 5
"""For which answers under way may go on after Ctrl-C: a long poll would hold the process for a minute."""


def main() -> None:
    settings = Settings()
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
    )


if __name__ == "__main__":
    main()
