"""PageDownloader through the real yt-dlp and the checking proxy, from small sites on loopback."""

import base64
import gzip
import ipaddress
import socket
import zlib
from pathlib import Path

import pytest

from ml.errors import Cancelled, FetchFailed
from ml.media.limits import MediaLimits
from ml.media.probe import probe
from ml.media.sandbox import never_cancelled
from tests import media_files
from tests.loopback import Handler, Loopback, loopback
from workers.outbound.egress_proxy import EgressProxy
from workers.outbound.page_downloader import NoMedia, PageDownloader
from workers.protocol.net.ssrf import EgressPolicy, ForbiddenUrl

ONE = (ipaddress.ip_network("127.0.0.1/32"),)


def resolve(host: str, port: int) -> list[str]:
    return ["127.0.0.2" if host == "inner.example" else "127.0.0.1"]


def egress(*allowed: ipaddress.IPv4Network | ipaddress.IPv6Network) -> EgressPolicy:
    return EgressPolicy(allowed, resolve)


class Site:
    """Files by their path; a page is text, all else media."""

    def __init__(self, **files: bytes | str) -> None:
        self.files = {f"/{name.replace('__', '.')}": content for name, content in files.items()}

    def answer(self, handler: Handler) -> None:
        content = self.files.get(handler.path.partition("?")[0])
        if content is None:
            handler.reply(404)
        elif isinstance(content, str):
            kind = "application/vnd.apple.mpegurl" if handler.path.endswith("m3u8") else "text/html"
            handler.reply(200, content.encode(), Content_Type=kind)
        else:
            handler.reply(200, content, Content_Type="video/mp4")


def page(source: str) -> str:
    return f"<html><head><title>A talk</title></head><body><video src='{source}'></video></body></html>"


def fetch(server: Loopback, folder: Path, path: str = "/watch", **limits: float) -> tuple[Path, str]:
    folder.mkdir()
    pages = PageDownloader(
        egress(*ONE), int(limits.get("most", 10**8)), limits.get("seconds", 120), limits.get("idle", 60)
    )
    return pages.download(server.url(path, host="media.example"), folder, never_cancelled)


def test_page_downloader_segmented_stream_becomes_one_file(tmp_path: Path) -> None:
    media_files.make_video(tmp_path / "film.mp4", seconds=2)
    playlist = tmp_path / "list.m3u8"
    media_files.ffmpeg("-i", tmp_path / "film.mp4", "-c", "copy", "-hls_time", "1", "-f", "hls", playlist)
    pieces = {piece.name.replace(".", "__"): piece.read_bytes() for piece in tmp_path.glob("list*.ts")}
    with loopback(Site(watch=page("/list.m3u8"), list__m3u8=playlist.read_text(), **pieces).answer) as server:
        path, name = fetch(server, tmp_path / "page")
    assert name.startswith("A talk")
    assert {request.headers["host"] for request in server.requests} == {f"media.example:{server.port}"}
    assert not any("proxy" in header for request in server.requests for header in request.headers)
    found = probe(path, MediaLimits())
    assert found.kind == "video" and found.duration == pytest.approx(2, abs=0.3)


@pytest.mark.parametrize(
    ("encoding", "padding", "expected"),
    [("gzip", 1000, None), ("deflate", 1000, None), ("gzip", 80 * 2**20, FetchFailed), ("", 80 * 2**20, FetchFailed)],
)
def test_page_downloader_reads_a_page_up_to_a_limit(
    tmp_path: Path, encoding: str, padding: int, expected: type[Exception] | None
) -> None:
    film = media_files.make_video(tmp_path / "film.mp4", seconds=1).read_bytes()
    watch = page("/film.mp4").replace("<body>", f"<body><!-- {' ' * padding} -->").encode()
    body = {"gzip": gzip.compress, "deflate": zlib.compress, "": bytes}[encoding](watch)

    def answer(handler: Handler) -> None:
        if handler.path == "/film.mp4":
            handler.reply(200, film, Content_Type="video/mp4")
        else:
            headers = {"Content_Encoding": encoding} if encoding else {}
            handler.reply(200, body, Content_Type="text/html", **headers)

    with loopback(answer) as server:
        if expected is None:
            assert fetch(server, tmp_path / "page")[0].read_bytes() == film
        else:
            with pytest.raises(expected) as caught:
                fetch(server, tmp_path / "page")
            assert not isinstance(caught.value, NoMedia)


def test_page_downloader_forbidden_address_in_a_page_is_refused(tmp_path: Path) -> None:
    with loopback(Site().answer) as inner:
        link = inner.url("/film.mp4", host="inner.example")
        with loopback(Site(watch=page(link)).answer) as server, pytest.raises(ForbiddenUrl):
            fetch(server, tmp_path / "page")
        assert inner.connections == 0 and server.connections > 0


def test_page_downloader_page_without_media_is_refused(tmp_path: Path) -> None:
    with loopback(Site(watch="<html><body>Words.</body></html>").answer) as server, pytest.raises(NoMedia):
        fetch(server, tmp_path / "page")


def test_page_downloader_cancelled_job_stops(tmp_path: Path) -> None:
    def answer(handler: Handler) -> None:
        handler.ended.wait(60)

    def check() -> None:
        if server.requests:
            raise Cancelled("The job was cancelled.")

    with loopback(answer) as server, pytest.raises(Cancelled):
        PageDownloader(egress(*ONE), 10**8, 120, 60).download(server.url("/watch"), tmp_path, check)


def through(proxy: EgressProxy, request: str) -> bytes:
    port = int(proxy.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(request.encode())
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    return answer


def test_egress_proxy_checks_every_address_and_serves_one_program_only(tmp_path: Path) -> None:
    proxy = EgressProxy(egress(*ONE), 20, 10**6)
    with loopback(lambda handler: handler.reply(200, b"hello")) as server, proxy.running():
        key = base64.b64encode(proxy.url[7:].partition("@")[0].encode()).decode()
        let = f"Proxy-Authorization: Basic {key}\r\n\r\n"
        good = f"GET http://media.example:{server.port}/a?b=1 HTTP/1.1\r\nHost: media.example\r\n{let}"
        assert through(proxy, good).endswith(b"hello") and server.requests[-1].path == "/a?b=1"
        tunnel = f"CONNECT media.example:{server.port} HTTP/1.1\r\n{let}GET /in HTTP/1.1\r\nHost: x\r\n\r\n"
        assert b"200" in through(proxy, tunnel) and server.requests[-1].path == "/in"
        assert server.connections == 2
        for target in ("inner.example", "127.0.0.2", "[::1]", "2130706433", "169.254.169.254"):
            for line in (f"CONNECT {target}:{server.port}", f"GET http://{target}:{server.port}/"):
                proxy.refused = None
                assert b"403" in through(proxy, f"{line} HTTP/1.1\r\nHost: x\r\n{let}")
                assert proxy.refused is not None
        for line in ("GET file:///etc/passwd", "GET gopher://media.example/"):
            assert b"403" in through(proxy, f"{line} HTTP/1.1\r\n{let}")
        for wrong in (good.replace(key, "x"), "\r\n\r\n", "GET\r\n\r\n", "é é é\r\n\r\n", "A" * 70_000):
            assert through(proxy, wrong) == b""
        assert server.connections == 2
