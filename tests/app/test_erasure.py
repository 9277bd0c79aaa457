"""After a DELETE nothing of the job is left: not in the data directory, not in Redis, not in Redis's file."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis

from tests.app.conftest import PNG, Gateway, OpenGateway, eventually
from tests.redis_server import RedisServer
from workers.protocol.blob_keys import artifact_key, cache_prefix, result_key
from workers.protocol.settings import SharedSettings
from workers.protocol.store import maintenance
from workers.protocol.store.job_store import JobStore

SECRETS = {
    "content": PNG + b"a private picture" * 4000,
    "name": "our-private-party.png",
    "transcript": "Nobody else may read this.",
    "tag": "patient-4711",
}
NEEDLES = [b"private picture", b"private-party", b"Nobody else", b"patient-4711", b"idempotent-4711"]


def everything(redis: Redis, folders: list[Path]) -> Iterator[bytes]:
    """All that is kept, with the names that it is kept under."""
    for folder in folders:
        for path in folder.rglob("*"):
            yield str(path.relative_to(folder)).encode()
            with suppress(FileNotFoundError):  # it has just gone
                yield path.read_bytes() if path.is_file() else b""
    for key in redis.scan_iter("*"):
        yield key + (redis.dump(key) or b"")


def found(redis: Redis, folders: list[Path], needles: list[bytes]) -> set[bytes]:
    kept = list(everything(redis, folders))
    return {needle for needle in needles if any(needle in each for each in kept)}


def job(gateway: Gateway, key: str) -> str:
    answer = gateway.client.post(
        "/v1/jobs",
        files={"file": (SECRETS["name"], SECRETS["content"])},
        data={"transcript": SECRETS["transcript"], "tag": SECRETS["tag"], "options": '{"keep_media": true}'},
        headers={"Idempotency-Key": key},
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@pytest.mark.slow
def test_delete_leaves_nothing_of_job(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(maintenance, "COMPACT_INTERVAL_SECONDS", 0.2)
    with RedisServer("--appendonly", "yes") as server, Redis.from_url(server.url) as redis:
        gateway = open_gateway(redis_url=server.url, lease_seconds=0.3)
        job_store = JobStore(redis, SharedSettings())
        ids = [job(gateway, f"idempotent-4711-{number}") for number in range(4)]
        for end in ("succeeded", "failed", None):  # one is worked on, one waits
            claim = job_store.claim()
            assert claim is not None
            job_id, token = claim.job_id, claim.token
            kept = f"{cache_prefix(job_id, token)}/mix.flac"
            for stored in (result_key(job_id, token), artifact_key(job_id, token, "a.png"), kept):
                gateway.blobs.put(stored, SECRETS["content"])  # type: ignore[arg-type]
            if end:
                job_store.finish(claim, end)  # type: ignore[arg-type]
        folders = [gateway.settings.data_dir, Path(server.folder)]
        needles = [*NEEDLES[:1], *(each.encode() for each in ids)]
        assert found(redis, folders, needles) == set(needles)  # it would be found
        for job_id in ids:
            assert gateway.client.delete(f"/v1/jobs/{job_id}").status_code == 204
        assert found(redis, [gateway.settings.data_dir], NEEDLES) == set()  # at once
        everywhere = NEEDLES + needles
        assert eventually(lambda: not found(redis, folders, everywhere), 40), found(redis, folders, everywhere)
