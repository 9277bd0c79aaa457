"""Whatever a request contains, its answer is never a 5xx: headers, captions and file names of every kind."""

import socket
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.app.conftest import PNG, Gateway
from tests.app.multipart import BOUNDARY, CONTENT_TYPE

HEADERS = (
    "Accept",
    "Authorization",
    "Content-Type",
    "Expect",
    "Host",
    "Idempotency-Key",
    "If-Range",
    "Last-Event-ID",
    "Origin",
    "Range",
    "Traceparent",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Request-ID",
)
LONG_NUMBER = "9" * 5000
VALUES = st.one_of(
    st.sampled_from(
        [
            "http://[",
            "[::1",
            "[",
            "://",
            f"bytes=0-{LONG_NUMBER}",
            f"{LONG_NUMBER}-0",
            "999999999999999999-999999999999999999",
            "multipart/form-data",
            "multipart/form-data; boundary*=undefined''x",
            "multipart/form-data; boundary=" + "x" * 300,
            "text/csv;q=" + "1" * 100,
            f"00-{'f' * 32}-{'0' * 16}-01",
            "Bearer \xe9",
            "*/*;q=0",
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60),
)
FIELD_VALUES = st.one_of(
    st.sampled_from(
        [
            b"filename=\"a\"; filename*=undefined''x",
            b"filename*=utf-8''%ff%fe",
            b"filename*0=a; filename*1=b",
            b"filename*" + LONG_NUMBER.encode() + b"*=x",
            b'filename="' + b"\\" * 99 + b'"',
            b"filename=" + b"a.b" * 900,
            b'filename="\r\n x"',
            b'filename="\xed\xa0\x80.png"',
            b'filename="\x00\x1f\x7f.png"',
            b'filename="..\\..\\\xe2\x80\xae.png"',
            b'filename="nul"; name="other"',
        ]
    ),
    st.binary(max_size=60).map(lambda value: b'filename="%s"' % value),
    st.text(max_size=60).map(lambda value: b'filename="%s"' % value.encode("utf-8", "surrogatepass")),
)
shared = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def status(gateway: Gateway, *lines: bytes, body: bytes = b"") -> int:
    """Status of the answer, 0 if the gateway only closes the connection."""
    url = gateway.client.base_url
    with socket.create_connection((url.host, url.port), timeout=20) as peer:
        peer.sendall(b"\r\n".join([*lines, b"Connection: close", b"", body]))
        peer.shutdown(socket.SHUT_WR)
        line = peer.recv(65_536).split(b"\r\n")[0].split()
        return int(line[1]) if line else 0


@pytest.mark.parametrize(
    "target",
    [
        b"GET /",
        b"GET /livez",
        b"GET /v1/jobs",
        b"GET /v1/jobs/%s",
        b"GET /v1/jobs/%s/result",
        b"GET /v1/jobs/%s/events",
        b"GET /v1/jobs/%s/media",
        b"GET /v1/stream",
        b"POST /v1/jobs",
        b"POST /v1/webhooks/test",
    ],
)
def test_headers_never_cause_server_error(gateway: Gateway, target: bytes) -> None:
    job_id = gateway.made().encode()
    gateway.client.post(f"/v1/jobs/{job_id.decode()}/cancel")
    target = target % job_id if b"%s" in target else target

    @settings(shared, max_examples=25)
    @given(st.lists(st.tuples(st.sampled_from(HEADERS), VALUES), max_size=4))
    @example([("Origin", "http://[")])
    def check(headers: Sequence[tuple[str, str]]) -> None:
        own = [] if "Host" in dict(headers) else [b"Host: 127.0.0.1"]
        if target == b"GET /v1/stream":
            own += [b"Upgrade: websocket", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", b"Sec-WebSocket-Version: 13"]
        lines = [f"{name}: {value}".encode("latin-1") for name, value in headers]
        assert status(gateway, target + b" HTTP/1.1", *own, *lines) < 500

    check()


@shared
@given(FIELD_VALUES)
def test_file_names_never_cause_server_error(gateway: Gateway, field: bytes) -> None:
    head = b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="file"; '
    body = head + field + b"\r\n\r\n" + PNG + b"\r\n--" + BOUNDARY + b"--\r\n"
    answer = gateway.client.post("/v1/jobs", content=body, headers={"Content-Type": CONTENT_TYPE})
    assert answer.status_code < 500
    if answer.status_code == 202:
        path = answer.json()["links"]["self"]
        assert gateway.client.get(path).status_code == 200
        assert gateway.client.get(f"{path}/media").status_code == 200
        assert gateway.client.delete(path).status_code == 204


@shared
@given(
    st.one_of(
        st.text(max_size=80),
        st.lists(
            st.sampled_from(
                [
                    f"&#{LONG_NUMBER};",
                    "&#0000065;",
                    "&#x" + "f" * 5000,
                    "&#xd800;",
                    "&#0;",
                    "&",
                    "<00:01.0>",
                    "<v A>",
                    "\n\n",
                    "WEBVTT\n\n",
                    "0:0:1 --> 0:0:2\n",
                    "9999:59:59.999999999 --> 0:0\n",
                    "\ufeff",
                    "\0",
                    "word",
                ]
            ),
            max_size=8,
        ).map("".join),
    )
)
@example(f"WEBVTT\n\n00:00.000 --> 00:01.000\nhello &#{LONG_NUMBER};")
def test_captions_never_cause_server_error(gateway: Gateway, captions: str) -> None:
    answer = gateway.post(transcript=captions.encode("utf-8", "replace").decode())
    assert answer.status_code < 500, answer.text
    if answer.status_code == 202:
        assert gateway.client.delete(answer.json()["links"]["self"]).status_code == 204
