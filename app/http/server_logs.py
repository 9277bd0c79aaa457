"""Filter of uvicorn's own log lines, which would show who called and with which query: a ticket, for example.

`RequestContextMiddleware` logs requests without either. Uvicorn still writes a line for each WebSocket, and its default
log one for each request.
"""

import logging
import re

_LOGGERS = ("uvicorn.error", "uvicorn.access")
_ADDRESS = re.compile(r"[^/\s]*:\d+")
"""Address of a client as uvicorn writes it: `203.0.113.7:50312`."""


def hide_callers() -> None:
    """Remove addresses and queries from uvicorn's log lines in this process, whatever configures its logs."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_hide_caller)


def _hide_caller(record: logging.LogRecord) -> bool:
    """Remove address and query from a record. Return whether it is logged: at DEBUG the WebSocket library would log
    every header, with keys."""
    if isinstance(record.args, tuple):
        record.args = tuple(_redact(value) for value in record.args)
    return record.levelno >= logging.INFO


def _redact(value: object) -> object:
    if not isinstance(value, str):
        return value
    return "-" if _ADDRESS.fullmatch(value) else value.partition("?")[0]
