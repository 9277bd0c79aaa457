"""What reaches out, when processes are killed meanwhile: no link is lost, no webhook is forgotten, nothing is left."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.client import Client, verify
from tests import cluster, media_files
from tests.cluster import Cluster, check_once, until
from tests.e2e.conftest import WEBHOOK_SECRET
from tests.loopback import Handler, loopback


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    settings = {
        "lease_seconds": "2",
        "egress_allow": "127.0.0.0/8",
        "webhook_secrets": f"local:{WEBHOOK_SECRET}",
        "webhook_pauses": ",".join(["0.2"] * 100),
    }
    with cluster.running(tmp_path_factory.mktemp("egress"), **settings) as running:
        running.start_worker(worker_kinds="inference")
        yield running


@pytest.fixture(scope="module")
def affect(service: Cluster) -> Iterator[Client]:
    with Client(f"http://127.0.0.1:{service.start_gateway().port}") as client:
        yield client


def test_a_worker_killed_while_it_fetches_loses_no_link_and_a_restart_no_webhook(
    service: Cluster, affect: Client, tmp_path: Path
) -> None:
    content = media_files.make_image(tmp_path / "private picture.png", (320, 240)).read_bytes()
    well = False

    def answer(handler: Handler) -> None:
        if handler.path.startswith("/hook"):
            return handler.reply(200 if well else 500)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:1000])
        if len(server.requests) == 1:
            handler.ended.wait(100)
        handler.wfile.write(content[1000:])

    def fetching() -> bool:
        record = service.record(job.id)
        return record is not None and record.stage == "fetch" and record.progress > 0

    with loopback(answer) as server:
        hook, link = server.url("/hook?token=hush"), server.url("/private%20picture.png?signature=quiet")
        first = service.start_worker(worker_kinds="io")
        job = affect.submit(url=link, webhook_url=hook, tags=["private tag"])
        until(fetching, what="a download under way")
        first.kill()
        service.start_worker(worker_kinds="io")
        assert affect.result(job, timeout=120).media.kind == "image"
        assert check_once(service, [job.id]) == {"succeeded": 1}
        record = service.record(job.id)
        assert record is not None and (record.attempts, record.fetch_token) == (1, 2)

        until(lambda: affect.deliveries(job).attempts, what="an attempt at the webhook")
        service.redis_server.stop()
        service.redis_server.start()
        well = True
        until(lambda: affect.deliveries(job).state == "delivered", what="a delivery")
    told = [request for request in server.requests if request.path.startswith("/hook")]
    events = [verify(each.body, each.headers, WEBHOOK_SECRET, tolerance=600) for each in told]
    assert {(event.id, event.type) for event in events} == {(f"msg_{job.id[4:]}", "job.succeeded")}

    affect.delete(job)
    service.inspector.expire_events(job.id)
    needles = [
        content[500:564],
        b"private picture",
        b"private%20picture",
        b"private tag",
        b"hush",
        b"quiet",
        job.id.encode(),
    ]
    until(lambda: not service.traces(needles), what="that nothing is left")
