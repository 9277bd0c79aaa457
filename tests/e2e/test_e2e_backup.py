"""A back-up, taken while the service runs as the operations page says, brings the service back elsewhere."""

import subprocess
from pathlib import Path

import httpx

from tests import cluster, media_files
from tests.cluster import BARE, Cluster, Gateway
from tests.redis_server import RedisServer

KEPT = '{"keep_media": true}'


def post_once(gateway: Gateway, path: Path) -> httpx.Response:
    """A request that may be sent again."""
    with path.open("rb") as file:
        headers = {"Idempotency-Key": "sent-before-the-back-up"}
        return gateway.client.post("/v1/jobs", files={"file": (path.name, file)}, headers=headers)


def take_back_up(service: Cluster, redis: RedisServer, data: Path) -> None:
    """Redis first, then the blobs."""
    service.redis.config_set("auto-aof-rewrite-percentage", 0)
    copy(service.redis_server.folder, "appendonlydir", redis.folder)
    copy(service.data, "blobs", data)
    service.redis.config_set("auto-aof-rewrite-percentage", 100)


def copy(source: Path, name: str, target: Path) -> None:
    """`tar -cf - -C SOURCE NAME`, unpacked into an empty volume."""
    target.mkdir(parents=True, exist_ok=True)
    packed = subprocess.run(["tar", "-cf", "-", "-C", source, name], capture_output=True, check=True).stdout
    subprocess.run(["tar", "-xf", "-", "-C", target], input=packed, check=True)


def test_a_back_up_brings_results_kept_media_and_waiting_jobs_back(tmp_path: Path) -> None:
    film, picture = media_files.make_video(tmp_path / "film.mp4", 2.0), media_files.make_image(tmp_path / "a.png")
    lost, restored = tmp_path / "lost", tmp_path / "restored"
    lost.mkdir()
    redis = RedisServer("--appendonly", "yes")
    with cluster.running(lost, worker_kinds="inference") as service:
        gateway, worker = service.start_gateway(), service.start_worker()
        done = gateway.post(film, options=KEPT, tag="one")["id"]
        assert service.ended(done).status == "succeeded"
        result = gateway.client.get(f"/v1/jobs/{done}/result").raise_for_status().content
        worker.terminate()
        assert worker.wait() == 0
        waiting = post_once(gateway, picture).json()["id"]
        take_back_up(service, redis, restored / "data")
        late = gateway.post(picture)["id"]

    with redis, Cluster(restored, redis) as service:
        service.store.write_bundle(BARE)
        gateway = service.start_gateway()
        assert gateway.client.get(f"/v1/jobs/{done}/result").raise_for_status().content == result
        assert gateway.client.get(f"/v1/jobs/{done}/media").raise_for_status().content == film.read_bytes()
        listed = gateway.client.get("/v1/jobs", params={"tag": "one"}).json()["jobs"]
        assert [job["id"] for job in listed] == [done]
        assert gateway.client.get(f"/v1/jobs/{late}").status_code == 404
        assert post_once(gateway, picture).json()["id"] == waiting
        form = {"source_job": (None, done), "options": (None, '{"hop_seconds": 1}')}
        again = gateway.client.post("/v1/jobs", files=form).raise_for_status().json()["id"]
        service.start_worker()
        assert [service.ended(job_id).status for job_id in (waiting, again)] == ["succeeded"] * 2
        assert cluster.check_once(service, [waiting, again]) == {"succeeded": 2}
        gateway.client.delete(f"/v1/jobs/{done}").raise_for_status()
        assert not list((service.data / "blobs").rglob(f"*{done}*"))
