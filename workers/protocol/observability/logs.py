"""Logs of gateway and workers: one JSON object per line for machines, or text for a terminal, with the ids of the
request and the job that a line belongs to.

Logs contain no personal data: no file names, no transcripts, no URL queries, no keys. Our own messages comply; a query
in any other message is removed. The message of an unexpected error may quote what a caller sent, so only its type and
location are logged, unless `AFFECT_LOG_DETAILS` is set.
"""

import json
import logging
import logging.config
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from ml.errors import AffectError
from workers.protocol.settings import LogFormat, SharedSettings

_OWN_PACKAGES = ("app", "workers", "ml", "__main__")
_MAX_FRAMES = 20
"""Maximum frames of an error that are logged: the innermost ones."""
_QUIET_LOGGERS = (
    "httpx",  # logs complete URLs
    "httpcore",
    "celery.worker.strategy",  # logs every wake-up
    "celery.app.trace",
    "python_multipart",
    "botocore",
    "faster_whisper",
    "asyncio",
)
"""Loggers of libraries that are limited to warnings and errors."""
_QUERY = re.compile(r"""(?<=[^\s?])\?[^\s"'<>=]*=[^\s"'<>]*""")
"""Query of a URL or a path within a text."""

_context: ContextVar[dict[str, str] | None] = ContextVar("affect_log_context", default=None)


@contextmanager
def log_context(**ids: str | None) -> Iterator[None]:
    """Add ids to every log line within this context: `request_id`, `job_id`, `trace_id`."""
    token = _context.set(current_context() | {name: value for name, value in ids.items() if value})
    try:
        yield
    finally:
        _context.reset(token)


def current_context() -> dict[str, str]:
    """Return the ids that `log_context` has added."""
    return _context.get() or {}


def configure(service: str, settings: SharedSettings) -> None:
    """Configure the logs of this process, including those of its libraries. `service`: `gateway` or `worker`."""
    logging.config.dictConfig(logging_config(service, settings))
    logging.captureWarnings(True)


def logging_config(service: str, settings: SharedSettings) -> dict[str, Any]:
    """Return the configuration for `logging.config.dictConfig`."""
    level = logging.getLevelNamesMapping()[settings.log_level]
    formatter = {"service": service, "form": settings.log_format, "details": settings.log_details}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"affect": {"()": "workers.protocol.observability.logs.make_formatter", **formatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "affect"}},
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {name: {"level": max(level, logging.WARNING)} for name in _QUIET_LOGGERS},
    }


def make_formatter(service: str, form: LogFormat, details: bool) -> logging.Formatter:
    """Create the formatter of a log format. `details`: log the messages of unexpected errors too."""
    is_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    return TextFormatter(details) if is_text else JsonFormatter(service, details)


class JsonFormatter(logging.Formatter):
    """Formatter of JSON lines.

    Their fields are `time` (RFC 3339), `level`, `service`, `logger`, `message`, `process`, the ids of `log_context`,
    the fields that a call passes as `extra={"fields": {…}}`, and `error`.
    """

    def __init__(self, service: str, details: bool = False) -> None:
        super().__init__()
        self._service, self._details = service, details

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": _message(record, self._details),
            "process": record.process,
            **current_context(),
            **_extra_fields(record),
        }
        if errors := _describe_errors(record, self._details):
            line["error"] = errors
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """Formatter for terminals: time, level, message, and all other fields."""

    def __init__(self, details: bool = False) -> None:
        super().__init__()
        self._details = details

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in {**_extra_fields(record), **current_context()}.items())
        clock = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        message = _message(record, self._details)
        lines = [f"{clock} {record.levelname:<7} {message}" + (f"  {fields}" if fields else "")]
        for error in _describe_errors(record, self._details):
            lines += [f"  {error['type']}: {error.get('message', '')}", *(f"    {frame}" for frame in error["at"])]
        return "\n".join(lines)


def _extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _message(record: logging.LogRecord, details: bool) -> str:
    """Return the message of a line. If a library logs an error, only the unformatted pattern: the arguments may quote
    the error."""
    is_own = record.name.split(".")[0] in _OWN_PACKAGES
    if is_own or details or not record.exc_info:
        return _without_queries(record.getMessage())
    return str(record.msg).partition("\n")[0]


def _without_queries(text: str) -> str:
    """Return the text without the queries of its URLs: they may hold tickets and signatures."""
    return _QUERY.sub("?…", text)


def _describe_errors(record: logging.LogRecord, details: bool) -> list[dict[str, Any]]:
    """Return a description of the record's error and of each error that caused it."""
    described: list[dict[str, Any]] = []
    seen: set[int] = set()
    error = record.exc_info[1] if record.exc_info else None
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        described.append(_describe_error(error, details))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return described


def _describe_error(error: BaseException, details: bool) -> dict[str, Any]:
    """Return type and stack trace of an error, and its message if that is known to be safe."""
    frames = traceback.extract_tb(error.__traceback__)[-_MAX_FRAMES:]
    described: dict[str, Any] = {
        "type": type(error).__qualname__,
        "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    if isinstance(error, AffectError) or details:
        described["message"] = _without_queries(str(error))
    elif isinstance(error, OSError) and error.strerror:
        described["message"] = error.strerror
    return described
