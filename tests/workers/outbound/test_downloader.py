"""Links through the real job store, blobs and HTTP; the test resolves names, and all servers are on loopback."""

import ipaddress
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from tests import media_files
from tests.loopback import Answer, Handler, loopback
from tests.redis_inspector import RedisInspector
from tests.redis_server import redis_server
from workers.jobs.runner import RunnerConfig
from workers.outbound.downloader import DownloadRunner, FetchLimits, name_of
from workers.outbound.page_downloader import PageDownloader
from workers.protocol.blob_keys import fetched_media_info_key, job_prefix, media_key, media_prefix, request_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.net.ssrf import EgressPolicy, Resolver, system_resolver
from workers.protocol.records import JobMedia, JobRecord, JobRequest, WorkerKind, new_job_id
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import JobStore, NewJobs

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
LIMITS = FetchLimits(bytes=2**31, seconds=3600, idle_seconds=30)
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_server() as url:
        yield url


def to_loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


class Service:
    """A job store, blobs, and a runner that downloads."""

    def __init__(self, url: str, folder: Path) -> None:
        settings = SharedSettings(data_dir=folder, lease_seconds=0.3)
        self.redis = Redis.from_url(url)
        self.job_store = JobStore(self.redis, settings)
        self.blobs = BlobStore.from_settings(settings)
        self.woken: list[WorkerKind] = []

    def post(self, url: str) -> str:
        job_id = new_job_id()
        self.blobs.put(request_key(job_id), JobRequest(url=url).model_dump_json().encode())
        self.job_store.create(NewJobs([job_id], "ann", queue="io"))
        return job_id

    def work(
        self,
        *,
        allowed: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = LOOPBACK,
        resolve: Resolver = to_loopback,
        limits: FetchLimits | None = None,
        config: RunnerConfig | None = None,
        pages: PageDownloader | None = None,
    ) -> None:
        limits, config = (
            limits or replace(LIMITS, idle_seconds=20, pauses=()),
            config or RunnerConfig(lease_seconds=0.3),
        )
        egress = EgressPolicy(allowed, resolve)
        DownloadRunner(self.job_store, self.blobs, egress, limits, config, self.woken.append, pages).run_next()

    def fetched(self, url: str, **how: object) -> JobRecord:
        job_id = self.post(url)
        self.work(**how)  # type: ignore[arg-type]
        record = self.job_store.get(job_id)
        assert record is not None
        return record

    def media(self, record: JobRecord) -> JobMedia:
        told = self.blobs.get(fetched_media_info_key(record.id, record.fetch_token))
        assert told is not None
        return JobMedia.model_validate_json(told)

    def failure(self, url: str, **how: object) -> tuple[str, bool]:
        """Its code, and whether it may pass; and nothing of it is kept."""
        record = self.fetched(url, **how)
        assert record.status == "failed" and record.failure is not None and record.stage == "fetch"
        assert not self.blobs.exists(media_prefix(record.id)) and self.woken == []
        return record.failure.code, record.failure.retryable


@pytest.fixture
def service(url: str, tmp_path: Path) -> Service:
    Redis.from_url(url).flushall()
    return Service(url, tmp_path)


def giving(body: bytes = PNG, status: int = 200, **headers: str) -> Answer:
    return lambda handler: handler.reply(status, body, **headers)


def test_download_file_becomes_the_media_of_the_job(service: Service) -> None:
    body = PNG + bytes(3_000_000)
    with loopback(giving(body)) as server:
        record = service.fetched(server.url("/clips/my%20clip.png?key=secret", host="media.example"))
    assert (record.status, record.queue, record.attempts) == ("queued", "inference", 0)
    assert service.blobs.get(media_key(record.id, record.fetch_token)) == body
    assert service.media(record).name == "my clip.png" and service.media(record).size == len(body)
    assert service.woken == ["inference"]
    (request,) = server.requests
    assert (
        request.headers["host"] == f"media.example:{server.port}" and request.path == "/clips/my%20clip.png?key=secret"
    )
    assert "cookie" not in request.headers and request.headers["accept-encoding"] == "identity"
    claim = service.job_store.claim()
    assert claim is not None and claim.fetch_token == record.fetch_token


def test_download_reports_progress(service: Service) -> None:
    seen: list[tuple[str | None, float]] = []

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(4 << 20))
        handler.end_headers()
        handler.wfile.write(PNG + bytes((2 << 20) - len(PNG)))
        until = time.monotonic() + 20
        while not (record := service.job_store.get(job_id)) or (not record.progress and time.monotonic() < until):
            time.sleep(0.02)
        seen.append((record.stage, record.progress))
        handler.wfile.write(bytes(2 << 20))

    with loopback(answer) as server:
        job_id = service.post(server.url())
        service.work()
    ((stage, progress),) = seen
    assert stage == "fetch" and 0 < progress <= 0.5


@pytest.mark.parametrize(
    ("disposition", "path", "name"),
    [
        ('attachment; filename="talk.mp4"', "/x", "talk.mp4"),
        ("attachment; filename=\"a.mp4\"; filename*=UTF-8''%C3%A9t%C3%A9.mp4", "/x", "été.mp4"),
        ("inline", "/a/talk.mp4", "talk.mp4"),
        ("attachment; filename*=nowhere''%ff", "/a/b.mp4", "ÿ"),
        ("attachment; filename*=undefined''x", "/a/b.mp4", "x"),
        ("attachment; filename*=idna''x%ff", "/a/b.mp4", "xÿ"),
        ("attachment; filename*0=a; filename*=utf-8''b", "/a/b.mp4", "b.mp4"),
        (f"attachment; filename*{'9' * 5000}*=utf-8''b", "/a/b.mp4", "b.mp4"),
        ("", "/", ""),
        ("", "/a/" + "b" * 300, "b" * 255),
    ],
)
def test_name_of_is_the_servers_or_the_last_part_of_the_url(disposition: str, path: str, name: str) -> None:
    request = httpx.Request("GET", f"https://media.example{path}?q=1")
    headers = {"Content-Disposition": disposition} if disposition else {}
    assert name_of(httpx.Response(200, request=request, headers=headers)) == name


@given(st.binary(max_size=80))
def test_name_of_any_header_is_printable_and_short(header: bytes) -> None:
    request = httpx.Request("GET", "https://media.example/a.png")
    name = name_of(httpx.Response(200, request=request, headers=[(b"content-disposition", header)]))
    assert len(name) <= 255 and (not name or name.isprintable())


_PARAMETER = st.sampled_from(["filename", "filename*", "filename*0", "filename*1*", "filename*0*", "name"])
_CHARSET = st.sampled_from(["utf-8", "undefined", "idna", "punycode", "utf-7", "hex", "unicode_escape", "", "x"])


@given(st.lists(st.tuples(_PARAMETER, _CHARSET, st.text(st.characters(codec="ascii"), max_size=12)), max_size=4))
def test_name_of_any_parameters_is_printable(parameters: list[tuple[str, str, str]]) -> None:
    header = "; ".join(["attachment", *(f"{name}={charset}''{value}" for name, charset, value in parameters)])
    request = httpx.Request("GET", "https://media.example/a.png")
    headers = [(b"content-disposition", header.encode())]
    name = name_of(httpx.Response(200, request=request, headers=headers))
    assert len(name) <= 255 and (not name or name.isprintable())


def test_download_slow_server_is_given_up(service: Service) -> None:
    """Each byte comes before the limit of silence, so that only the pace ends it."""

    def drip(handler: Handler) -> None:
        cut(handler)
        while not handler.ended.wait(0.05):
            handler.wfile.write(b"x")

    limits = replace(LIMITS, idle_seconds=20, pauses=(), bytes_per_second=10_000, pace_seconds=1.0)
    with loopback(drip) as server:
        began = time.monotonic()
        assert service.failure(server.url(), limits=limits) == ("fetch_failed", True)
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "deflate, gzip", "zstd"])
def test_download_with_content_encoding_is_refused(service: Service, encoding: str) -> None:
    with loopback(giving(PNG, Content_Encoding=encoding)) as server:
        assert service.failure(server.url()) == ("unsupported_media", False)
    with loopback(giving(PNG, Content_Encoding="identity")) as server:
        assert service.fetched(server.url()).queue == "inference"


FORBIDDEN: list[tuple[str, Resolver]] = [
    ("http://127.0.0.1:{port}/a.png", system_resolver),
    ("http://2130706433:{port}/a.png", system_resolver),
    ("http://0177.0.0.1:{port}/a.png", system_resolver),
    ("http://0x7f.1:{port}/a.png", system_resolver),
    ("http://[::ffff:127.0.0.1]:{port}/a.png", system_resolver),
    ("http://[::1]:{port}/a.png", system_resolver),
    ("http://169.254.169.254/latest/meta-data", system_resolver),
    ("http://localhost:{port}/a.png", system_resolver),
    ("http://media.example:{port}/a.png", to_loopback),
    ("http://media.example:{port}/a.png", lambda host, port: ["8.8.8.8", "127.0.0.1"]),
    ("http://media.example:{port}/a.png", lambda host, port: ["::ffff:127.0.0.1"]),
    ("file:///etc/passwd", system_resolver),
    ("gopher://127.0.0.1:{port}/_GET", system_resolver),
    ("http://user:word@media.example:{port}/a.png", to_loopback),
]


@pytest.mark.parametrize(("address", "resolve"), FORBIDDEN)
def test_download_forbidden_address_is_never_connected_to(service: Service, address: str, resolve: Resolver) -> None:
    with loopback(giving()) as server:
        failure = service.failure(address.format(port=server.port), allowed=(), resolve=resolve)
        assert failure == ("forbidden_url", False) and server.connections == 0


def test_download_dns_rebinding_connects_to_the_checked_address(service: Service) -> None:
    """DNS rebinding: the address that was checked is the one that is connected to."""
    answers = iter([["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"]])
    one = (ipaddress.ip_network("127.0.0.1/32"),)
    with loopback(giving()) as server:
        link = server.url(host="media.example")
        record = service.fetched(link, allowed=one, resolve=lambda host, port: next(answers))
        assert record.queue == "inference" and server.connections == 1
        service.woken.clear()
        assert service.failure(link, allowed=one, resolve=lambda host, port: next(answers)) == ("forbidden_url", False)
        assert server.connections == 1


REDIRECTS = ["http://127.0.0.2:{port}/a.png", "http://inner.example:{port}/a.png", "file:///etc/passwd", "gopher://127.0.0.1/",
             "http://u:p@127.0.0.1:{port}/a.png", "//[::1]:{port}/a.png", "http://0x7f000001:{port}/a.png"]  # fmt: skip


@pytest.mark.parametrize("location", REDIRECTS)
def test_download_redirect_to_a_forbidden_address_is_refused(service: Service, location: str) -> None:
    def answer(handler: Handler) -> None:
        handler.reply(302, Location=location.format(port=server.port))

    def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.2" if host == "inner.example" else "127.0.0.1"]

    one = (ipaddress.ip_network("127.0.0.1/32"),)
    with loopback(answer) as server:
        link = server.url(host="media.example")
        assert service.failure(link, allowed=one, resolve=resolve)[0] == "forbidden_url"
        assert server.connections == 1


def test_download_follows_a_limited_number_of_redirects(service: Service) -> None:
    def answer(handler: Handler) -> None:
        step = int(handler.path.strip("/") or 0)
        handler.reply(200, PNG) if step == 5 else handler.reply(307, Location=f"/{step + 1}")

    def circle(handler: Handler) -> None:
        handler.reply(302, Location="/")

    with loopback(answer) as server:
        assert service.fetched(server.url("/")).queue == "inference"
    service.woken.clear()
    with loopback(circle) as server:
        assert service.failure(server.url("/")) == ("fetch_failed", False)
        assert server.connections == 6


def cut(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(PNG + bytes(100))


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(PNG)
    while not handler.ended.is_set():
        handler.wfile.write(bytes(1 << 16))


def silent(handler: Handler) -> None:
    handler.ended.wait(60)


@pytest.mark.parametrize(
    ("answer", "limits", "expected"),
    [
        (giving(status=404), None, ("fetch_failed", False)),
        (giving(status=403), None, ("fetch_failed", False)),
        (giving(status=206), None, ("fetch_failed", False)),
        (giving(status=503), None, ("fetch_failed", True)),
        (giving(status=429), None, ("fetch_failed", True)),
        (cut, None, ("fetch_failed", True)),
        (silent, replace(LIMITS, idle_seconds=0.2, pauses=()), ("fetch_failed", True)),
        (silent, replace(LIMITS, seconds=0.2), ("processing_timeout", True)),
        (endless, replace(LIMITS, bytes=3 << 20), ("file_too_large", False)),
        (giving(PNG, Content_Length="5000000000"), None, ("file_too_large", False)),
        (giving(b""), None, ("media_invalid", False)),
        (giving(b"<html>"), None, ("unsupported_media", False)),
        (giving(b"#EXTM3U\nfile:///etc/passwd", Content_Type="video/mp4"), None, ("unsupported_media", False)),
        (giving(b"\x1f\x8b" + bytes(100), Content_Encoding="gzip"), None, ("unsupported_media", False)),
        (lambda handler: None, None, ("fetch_failed", True)),
        (lambda handler: handler.wfile.write(b"\0\1\2\3" * 100), None, ("fetch_failed", True)),
    ],
)
def test_download_failure_has_its_code_and_retryable_flag(
    service: Service, answer: Answer, limits: FetchLimits | None, expected: tuple[str, bool]
) -> None:
    with loopback(answer) as server:
        assert service.failure(server.url(), limits=limits) == expected


def test_download_page_with_pages_enabled_gives_its_media(service: Service, tmp_path: Path) -> None:
    film = media_files.make_video(tmp_path / "film.mp4", seconds=1).read_bytes()

    def answer(handler: Handler) -> None:
        html = b"<html><title>A talk</title><video src='/film.mp4'></video></html>"
        handler.reply(200, html if handler.path == "/watch" else film)

    pages = PageDownloader(EgressPolicy(LOOPBACK, to_loopback), 10**8, 120, 60)
    with loopback(answer) as server:
        record = service.fetched(server.url("/watch", host="media.example"), pages=pages)
    assert record.queue == "inference" and service.blobs.get(media_key(record.id, record.fetch_token)) == film
    media = service.media(record)
    assert media.name.startswith("A talk") and (media.size, media.sha256) == (len(film), sha256(film).hexdigest())


def test_download_temporary_failure_before_any_data_is_retried(service: Service) -> None:
    def answer(handler: Handler) -> None:
        trouble = [giving(status=503), lambda handler: None, giving()]
        trouble[min(len(server.requests), 3) - 1](handler)

    limits = replace(LIMITS, idle_seconds=20, pauses=(0.01, 0.01))
    with loopback(answer) as server:
        assert service.fetched(server.url(), limits=limits).queue == "inference"
    assert len(server.requests) == 3
    service.woken.clear()
    for answering, attempts in ((giving(status=503), 3), (giving(status=404), 1), (cut, 1)):
        with loopback(answering) as server:
            assert service.failure(server.url(), limits=limits)[0] == "fetch_failed"
            assert len(server.requests) == attempts


def test_download_format_that_shows_late_is_waited_for(service: Service) -> None:
    stream = (b"\x47\x40\x11\x10\xf0" + bytes(183)) * 8

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(stream)))
        handler.end_headers()
        for start in range(0, len(stream), 100):
            handler.wfile.write(stream[start : start + 100])
            time.sleep(0.002)

    with loopback(answer) as server:
        record = service.fetched(server.url("/a.ts"))
    assert service.blobs.get(media_key(record.id, record.fetch_token)) == stream


def test_download_unreachable_or_unknown_host_is_retryable(service: Service) -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert service.failure(f"http://127.0.0.1:{port}/") == ("fetch_failed", True)
    assert service.failure("http://nowhere.example/", resolve=unknown) == ("fetch_failed", True)


def test_download_host_with_several_addresses_uses_one_that_answers(service: Service) -> None:
    with loopback(giving()) as server:
        link = server.url(host="media.example")
        record = service.fetched(link, resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"])
    assert record.queue == "inference"


def during(service: Service, act: Callable[[str], None], config: RunnerConfig | None = None) -> tuple[str, float]:
    """Fetches from a server that never ends, and acts once it has begun; the job's id, and seconds until it stopped."""
    began = threading.Event()
    acted = 0.0

    def answer(handler: Handler) -> None:
        cut(handler)
        began.set()
        handler.ended.wait(60)

    def acting() -> None:
        nonlocal acted
        assert began.wait(30)
        act(job_id)
        acted = time.monotonic()

    with loopback(answer) as server:
        job_id = service.post(server.url())
        thread = threading.Thread(target=acting)
        thread.start()
        service.work(config=config, limits=replace(LIMITS, idle_seconds=100))
        thread.join()
    return job_id, time.monotonic() - acted


def test_download_cancelled_job_stops_at_once(service: Service) -> None:
    job_id, seconds = during(service, service.job_store.cancel)
    record = service.job_store.get(job_id)
    assert record is not None and record.status == "cancelled" and seconds < 10
    assert not service.blobs.exists(media_prefix(job_id))


def test_download_deleted_job_leaves_nothing(service: Service) -> None:
    def delete(job_id: str) -> None:
        service.job_store.delete(job_id)
        service.blobs.delete(job_prefix(job_id))

    job_id, _ = during(service, delete)
    assert service.job_store.get(job_id) is None and not service.blobs.exists(job_prefix(job_id))


def test_download_shutdown_requeues_the_job(service: Service) -> None:
    config = RunnerConfig(lease_seconds=0.3)
    job_id, _ = during(service, lambda _: config.stopping.set(), config)  # type: ignore[attr-defined]
    record = service.job_store.get(job_id)
    assert record is not None and (record.status, record.queue, record.attempts) == ("queued", "io", 0)
    with loopback(giving()) as server:
        service.blobs.put(request_key(job_id), JobRequest(url=server.url()).model_dump_json().encode())
        service.work()
    record = service.job_store.get(job_id)
    assert record is not None and record.queue == "inference"


def test_download_late_worker_does_not_touch_the_newer_media(service: Service) -> None:
    """A worker that was paused past its lease ends its download when the job is long with the analyses."""
    late = threading.Event()

    def answer(handler: Handler) -> None:
        if len(server.requests) == 1:
            late.wait(30)
        handler.reply(200, PNG + str(len(server.requests)).encode())

    with loopback(answer) as server:
        job_id = service.post(server.url())
        slow = threading.Thread(target=service.work, kwargs={"config": RunnerConfig(lease_seconds=1000)})
        slow.start()
        while not server.requests:
            time.sleep(0.01)
        RedisInspector(service.redis).expire_leases(job_id)
        assert service.job_store.reap_expired_leases() == {job_id: "queued"}
        service.work()
        record = service.job_store.get(job_id)
        assert record is not None and record.queue == "inference"
        late.set()
        slow.join()
    after = service.job_store.get(job_id)
    assert after is not None and after.fetch_token == record.fetch_token == 2
    assert service.blobs.get(media_key(job_id, 2)) == PNG + b"2"
    assert not service.blobs.exists(media_key(job_id, 1)) and service.woken == ["inference"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of `media.example`, with its key."""
    path = tmp_path_factory.mktemp("tls") / "media.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=media.example"]
    command += ["-addext", "subjectAltName=DNS:media.example", "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def test_download_certificate_is_checked_against_the_name(
    service: Service, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    tls.sni_callback = lambda _, name, __: asked.append(name)
    with loopback(giving(), tls) as server:
        assert service.failure(server.url(host="media.example", scheme="https")) == ("fetch_failed", True)
        monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
        assert service.failure(server.url(host="other.example", scheme="https")) == ("fetch_failed", True)
        assert server.requests == []
        assert service.fetched(server.url(host="media.example", scheme="https")).queue == "inference"
    assert asked == ["media.example", "other.example", "media.example"]
