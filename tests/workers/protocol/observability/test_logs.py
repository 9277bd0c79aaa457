"""Logs hold what a machine can read, the ids that it is about, and nothing that a caller sent."""

import json
import logging
import sys

import pytest

from ml.errors import MediaInvalid
from workers.protocol.observability import logs

SECRET = "a private sentence"


def record(name: str, message: str, *values: object, error: BaseException | None = None) -> logging.LogRecord:
    raised = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord(name, logging.WARNING, "x.py", 1, message, values, raised)


def written(entry: logging.LogRecord, details: bool = False) -> dict[str, object]:
    line = logs.JsonFormatter("worker", details).format(entry)
    assert "\n" not in line
    return dict(json.loads(line))


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as caught:
        return caught


def test_json_formatter_line_has_level_logger_fields_and_ids() -> None:
    entry = record("workers.x", "%d of %d", 1, 2)
    entry.fields = {"seconds": 0.5}
    with logs.log_context(request_id="r", job_id=None), logs.log_context(job_id="job_1"):
        line = written(entry)
        assert logs.current_context() == {"request_id": "r", "job_id": "job_1"}
    assert logs.current_context() == {}
    kept = {"level": "warning", "service": "worker", "logger": "workers.x", "message": "1 of 2", "seconds": 0.5}
    assert kept.items() <= line.items()
    assert (line["request_id"], line["job_id"]) == ("r", "job_1")
    assert str(line["time"]).endswith("+00:00")


def test_json_formatter_unexpected_error_shows_type_and_frames_own_error_shows_message() -> None:
    error = raised(MediaInvalid("Nothing could be decoded."), raised(ValueError(SECRET)))
    ours, other = written(record("workers.x", "failed", error=error))["error"]
    assert (ours["type"], ours["message"]) == ("MediaInvalid", "Nothing could be decoded.")
    assert other["type"] == "ValueError" and "message" not in other
    assert any("test_logs.py" in place and place.endswith("raised") for place in other["at"])
    assert SECRET in str(written(record("workers.x", "failed", error=error), details=True))


def test_json_formatter_system_error_omits_file_name() -> None:
    error = raised(FileNotFoundError(2, "No such file or directory", f"/media/{SECRET}"))
    line = str(written(record("workers.x", "failed", error=error)))
    assert "No such file or directory" in line and SECRET not in line


@pytest.mark.parametrize("form", ["json", "text"])
def test_formatter_library_message_with_error_shows_only_its_pattern(form: logs.LogFormat) -> None:
    entry = record("celery.x", "Task raised: %s\n%s", SECRET, SECRET, error=raised(ValueError(SECRET)))
    line = logs.make_formatter("worker", form, False).format(entry)
    assert SECRET not in line and "Task raised: %s" in line and "ValueError" in line


def test_make_formatter_auto_gives_text_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(logs.make_formatter("worker", "auto", False), logs.JsonFormatter)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    text = logs.make_formatter("worker", "auto", False)
    with logs.log_context(job_id="job_1"):
        assert text.format(record("workers.x", "hello")).endswith("WARNING hello  job_id=job_1")


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("GET https://a.example/v.mp4?sig=hidden&x=1 failed", "GET https://a.example/v.mp4?… failed"),
        ('"/v1/stream?ticket=hidden" [accepted]', '"/v1/stream?…" [accepted]'),
        ("Is this right? a=b", "Is this right? a=b"),
    ],
)
@pytest.mark.parametrize("formatter", [logs.JsonFormatter("worker", True), logs.TextFormatter(True)])
def test_formatter_line_and_error_have_no_query(formatter: logging.Formatter, message: str, line: str) -> None:
    entry = record("urllib3", "%s", message, error=raised(ValueError(message)))
    text = formatter.format(entry)
    assert "hidden" not in text
    assert text.replace('\\"', '"').count(line) == 2
