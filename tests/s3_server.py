"""An object store for tests: moto's S3 server on loopback, and one that refuses everything."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

BUCKET = "affect"


def credentials(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """What botocore reads from the environment, in this process and those that it starts."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()  # a client goes on with the address that it began with


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadedMotoServer]:
    """A server with an empty bucket `BUCKET`."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    credentials(monkeypatch, f"http://{host}:{port}")
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    try:
        yield server
    finally:
        server.stop()


def keys() -> list[str]:
    """Everything that the bucket holds, uploads under way too."""
    client = boto3.client("s3")
    found = [each["Key"] for each in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    return found + [each["Key"] for each in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]


class _Denies(BaseHTTPRequestHandler):
    def _deny(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _deny

    def log_message(self, *_: object) -> None:
        return None


@contextmanager
def denying_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store whose answer is always that access is denied."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Denies) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        credentials(monkeypatch, f"http://127.0.0.1:{server.server_address[1]}")
        yield
        server.shutdown()
