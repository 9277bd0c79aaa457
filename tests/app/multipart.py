"""Multipart bodies for tests, byte by byte as a client would send them."""

from collections.abc import Sequence
from itertools import pairwise

BOUNDARY = b"----affect-test-boundary"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"

Part = tuple[str, bytes] | tuple[str, bytes, str]
"""Name, content, and for a file the name that it is given."""


def encode(parts: Sequence[Part], boundary: bytes = BOUNDARY) -> bytes:
    body = bytearray()
    for name, content, *filename in parts:
        body += b"--" + boundary + b'\r\nContent-Disposition: form-data; name="' + name.encode() + b'"'
        if filename:
            body += b'; filename="' + filename[0].encode() + b'"\r\nContent-Type: application/octet-stream'
        body += b"\r\n\r\n" + content + b"\r\n"
    return bytes(body + b"--" + boundary + b"--\r\n")


def chop(body: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The body in pieces, cut at the given places."""
    places = [0, *sorted({cut % (len(body) + 1) for cut in cuts}), len(body)]
    return [body[start:end] for start, end in pairwise(places)]
