"""Program that runs yt-dlp with bounded responses: `python -I yt_dlp_child.py OPTIONS`.

yt-dlp reads a page into memory, and decompresses it there, before it looks at it. Here a page has a maximum size, both
as received and decompressed. Media is not affected: it is written to a file block by block.
"""

import functools
import sys
import zlib
from typing import Any

MAX_PAGE_BYTES = 32 * 2**20

for _name in ("requests", "curl_cffi", "websockets", "brotli", "brotlicffi"):
    sys.modules[_name] = None  # type: ignore[assignment]  # yt-dlp then uses urllib, which is bounded below

import yt_dlp  # noqa: E402
from yt_dlp.networking import _urllib  # noqa: E402


class PageTooLarge(OSError):
    """A response has more than `MAX_PAGE_BYTES`. An OSError, because yt-dlp reports those as failed requests."""


def read_bounded(read: Any, amount: int | None = None) -> bytes:
    """Read `amount` bytes, or all of them if there are at most `MAX_PAGE_BYTES`. Raises PageTooLarge."""
    if amount is not None and amount >= 0:
        return bytes(read(amount))
    content = bytes(read(MAX_PAGE_BYTES + 1))
    if len(content) > MAX_PAGE_BYTES:
        raise PageTooLarge("The page is too large.")
    return content


def decompress(data: bytes, window_bits: int) -> bytes:
    """Decompress a page. Raises PageTooLarge, zlib.error."""
    decoder = zlib.decompressobj(window_bits)
    content = decoder.decompress(data, MAX_PAGE_BYTES)
    if decoder.unconsumed_tail:
        raise PageTooLarge("The page is too large.")
    return content


def inflate(data: bytes) -> bytes:
    """Decompress the encoding `deflate`, which servers send with and without a header."""
    try:
        return decompress(data, -zlib.MAX_WBITS)
    except zlib.error:
        return decompress(data, zlib.MAX_WBITS)


def bound_responses() -> None:
    """Make yt-dlp's HTTP handler read and decompress with a limit."""
    respond = _urllib.HTTPHandler.http_response

    def http_response(self: Any, request: Any, response: Any) -> Any:
        if response.headers.get("Content-Encoding"):
            response.read = functools.partial(read_bounded, response.read)
        return respond(self, request, response)

    read = _urllib.UrllibResponseAdapter.read

    def read_page(self: Any, amt: int | None = None) -> bytes:
        return read_bounded(functools.partial(read, self), amt)

    handler = _urllib.HTTPHandler
    handler.http_response = handler.https_response = http_response
    handler.gz = staticmethod(functools.partial(decompress, window_bits=zlib.MAX_WBITS | 16))
    handler.deflate = staticmethod(inflate)
    _urllib.UrllibResponseAdapter.read = read_page


if __name__ == "__main__":
    bound_responses()
    yt_dlp.main()
