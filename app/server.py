"""The server process: uvicorn with the limits of this service."""

import logging
from functools import partial
from typing import Any

from app.http.connections import (
    ConnectionLimits,
    ConnectionTable,
    HttpProtocol,
    WebSocketProtocol,
    max_connections,
    raise_file_limit,
)
from app.services.streams import MAX_START_BYTES
from app.settings import Settings

logger = logging.getLogger(__name__)

EXPLAINED_BYTES = 65_536
"""Bytes above the limit of a live message up to which its client gets an explanation; the server closes the connection
without one if a message is even larger."""


def server_options(settings: Settings) -> dict[str, Any]:
    """Return the arguments of `uvicorn.Config` that apply these settings. Raises the limit of open files."""
    connections = max_connections(raise_file_limit(), settings.max_connections)
    if connections < settings.max_connections:
        logger.warning("The limit of open files permits only %d connections (AFFECT_MAX_CONNECTIONS)", connections)
    table = ConnectionTable(
        ConnectionLimits(
            max_connections=connections,
            head_seconds=settings.head_seconds,
            unread_seconds=settings.unread_seconds,
            bytes_per_second=settings.live_bytes_per_second,
            frames_per_second=settings.live_messages_per_second,
        )
    )
    return {
        "http": partial(HttpProtocol, table=table),
        "ws": partial(WebSocketProtocol, table=table),
        "ws_max_size": max(MAX_START_BYTES, settings.live_message_bytes) + EXPLAINED_BYTES,
        "ws_per_message_deflate": False,  # a compressed message may be a thousand times as large as what was sent
        "server_header": False,
        "access_log": False,  # `RequestContextMiddleware` logs requests, without addresses and queries
    }
