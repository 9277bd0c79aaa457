"""Lines of uvicorn's own loggers, as the gateway's log and uvicorn's default log would show them."""

import logging
from collections.abc import Iterator

import pytest

from tests.app.conftest import Gateway, eventually
from tests.app.live_streams import stream

LOGGERS = ("uvicorn.error", "uvicorn.access")


@pytest.fixture
def server_log(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that uvicorn's loggers pass on, at any level."""
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, name)
        logging.getLogger(name).addHandler(caplog.handler)
    yield caplog
    for name in LOGGERS:
        logging.getLogger(name).removeHandler(caplog.handler)


def test_upgrade_line_has_no_query_and_no_address(gateway: Gateway, server_log: pytest.LogCaptureFixture) -> None:
    headers = {"Authorization": "Bearer hidden-key"}
    with stream(gateway, "?ticket=hidden-ticket", additional_headers=headers):
        assert eventually(lambda: "/v1/stream" in server_log.text)
    assert '"WebSocket /v1/stream" [accepted]' in server_log.text
    assert "hidden" not in server_log.text and "127.0.0.1" not in server_log.text


def test_access_line_has_no_query_and_no_address(gateway: Gateway, server_log: pytest.LogCaptureFixture) -> None:
    gateway.client.get("/livez?ticket=hidden-ticket")
    record = logging.getLogRecordFactory()(
        "uvicorn.access",
        logging.INFO,
        __file__,
        1,
        '%s - "%s %s HTTP/%s" %d',
        ("::1:50000", "GET", "/v1/jobs/job_1/media?ticket=hidden-ticket", "1.1", 200),
        None,
    )
    logging.getLogger("uvicorn.access").handle(record)
    assert record.getMessage() == '- - "GET /v1/jobs/job_1/media HTTP/1.1" 200'
    assert "hidden" not in server_log.text and "127.0.0.1" not in server_log.text
