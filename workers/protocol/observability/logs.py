"""Logs of gateway and workers: one JSON object a line for machines, or text for a terminal, each line with the ids of
the request and the job that it is about.

They hold no personal data: no name of a file, no words, no address's query, no key. A message of our own keeps to that;
what an unexpected error says may quote what a caller sent, so only its type and place are logged, unless
`AFFECT_LOG_DETAILS` is set.
"""

import json
import logging
import logging.config
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from ml.errors import AffectError
from workers.protocol.settings import LogFormat, SharedSettings

_OURS = ("app", "workers", "ml", "__main__")
_FRAMES = 20
"""Most places of an error that are told, the innermost."""
_QUIET = (
    "httpx",  # tells whole addresses
    "httpcore",
    "celery.worker.strategy",  # a line for each wake-up; ours tell of jobs
    "celery.app.trace",
    "python_multipart",
    "botocore",
    "faster_whisper",
    "asyncio",
)
"""Heard from WARNING on only."""

_context: ContextVar[dict[str, str] | None] = ContextVar("affect_log_context", default=None)


@contextmanager
def log_context(**ids: str | None) -> Iterator[None]:
    """What is logged in this context is about these: `request_id`, `job_id`, `trace_id`."""
    token = _context.set(current_context() | {name: value for name, value in ids.items() if value})
    try:
        yield
    finally:
        _context.reset(token)


def current_context() -> dict[str, str]:
    """The ids that `about` has set."""
    return _context.get() or {}


def configure(service: str, settings: SharedSettings) -> None:
    """Makes the process's logs ours, those of its libraries too. `service`: `gateway` or `worker`."""
    logging.config.dictConfig(logging_config(service, settings))
    logging.captureWarnings(True)


def logging_config(service: str, settings: SharedSettings) -> dict[str, Any]:
    """For `logging.config.dictConfig`."""
    least = logging.getLevelNamesMapping()[settings.log_level]
    formatter = {"service": service, "form": settings.log_format, "details": settings.log_details}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"affect": {"()": "workers.protocol.observability.logs.make_formatter", **formatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "affect"}},
        "root": {"level": least, "handlers": ["stderr"]},
        "loggers": {name: {"level": max(least, logging.WARNING)} for name in _QUIET},
    }


def make_formatter(service: str, form: LogFormat, details: bool) -> logging.Formatter:
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    return TextFormatter(details) if text else JsonFormatter(service, details)


class JsonFormatter(logging.Formatter):
    """Fields: `time` (RFC 3339), `level`, `service`, `logger`, `message`, `process`, the ids of `about`, what the
    record gives as `extra={"fields": {…}}`, and of an error `error`."""

    def __init__(self, service: str, details: bool = False) -> None:
        super().__init__()
        self._service, self._details = service, details

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": _message(record, self._details),
            "process": record.process,
            **current_context(),
            **_fields(record),
        }
        if (error := _error(record)) is not None:
            told["error"] = [_told(each, self._details) for each in _chain(error)]
        return json.dumps(told, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """A line for a person: time, level, message, and what else is known."""

    def __init__(self, details: bool = False) -> None:
        super().__init__()
        self._details = details

    def format(self, record: logging.LogRecord) -> str:
        known = " ".join(f"{name}={value}" for name, value in {**_fields(record), **current_context()}.items())
        clock = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        lines = [f"{clock} {record.levelname:<7} {_message(record, self._details)}" + (f"  {known}" if known else "")]
        if (error := _error(record)) is not None:
            for each in _chain(error):
                told = _told(each, self._details)
                lines += [f"  {told['type']}: {told.get('message', '')}", *(f"    {place}" for place in told["at"])]
        return "\n".join(lines)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _message(record: logging.LogRecord, details: bool) -> str:
    """A library's words about an error may quote it: then only their pattern is told."""
    ours = record.name.split(".")[0] in _OURS
    if ours or details or not record.exc_info:
        return record.getMessage()
    return str(record.msg).partition("\n")[0]


def _error(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it came from."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _told(error: BaseException, details: bool) -> dict[str, Any]:
    """Type and places of an error; its message where that is known to be safe."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    told: dict[str, Any] = {
        "type": type(error).__qualname__,
        "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    if isinstance(error, AffectError) or details:
        told["message"] = str(error)
    elif isinstance(error, OSError) and error.strerror:
        told["message"] = error.strerror
    return told
