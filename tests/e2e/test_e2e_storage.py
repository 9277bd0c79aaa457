"""Where the bytes lie: an object store, and a disk that fills up."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ml.results import Result
from tests import cluster, media_files
from tests.cluster import Cluster, Gateway, until
from tests.s3_server import BUCKET, keys, s3_server
from workers.protocol.blobs.blob_store import BlobStore

MEBIBYTE = 2**20
SHORT = {"lease_seconds": "2", "result_ttl": "6", "long_seconds": "100", "part_seconds": "60"}
STORE = f"s3://{BUCKET}/jobs of affect"


def check_a_job_in_parts(service: Cluster, gateway: Gateway, sound: Path) -> None:
    """What the parts share goes with the job's end; what is kept is read again, and goes with the job."""
    job_id = gateway.post(sound, options='{"keep_media": true}')["id"]
    assert service.ended(job_id).status == "succeeded"
    assert service.log().count("ended: split") == 1 and service.log().count("ended: observed") == 3
    until(lambda: not any("/parts/" in key for key in keys()), what="that the parts are gone")
    kept = {key.rpartition("/")[2] for key in keys() if "/kept-" in key}
    assert kept == {"observed", "mix.flac", "channels.flac"}
    form = {"source_job": (None, job_id), "options": (None, '{"hop_seconds": 1, "channels": "separate"}')}
    again = gateway.client.post("/v1/jobs", files=form).raise_for_status().json()["id"]
    assert service.ended(again).status == "succeeded"
    result = gateway.client.get(f"/v1/jobs/{again}/result").raise_for_status().json()
    assert len(result["windows"]) > 120 and len(result["channels"]) == 2
    for each in (job_id, again):
        assert gateway.client.delete(f"/v1/jobs/{each}").status_code == 204
    assert keys() == []


def test_a_job_goes_through_an_object_store_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = media_files.make_video(tmp_path / "film.mp4", 3.0)
    with (
        s3_server(monkeypatch) as server,
        cluster.running(tmp_path, blob_url=STORE, **SHORT) as service,
    ):
        service.start_worker()
        gateway = service.start_gateway()
        service.wait_for_workers()
        job_id = gateway.post(film)["id"]
        assert service.ended(job_id).status == "succeeded"
        result = gateway.client.get(f"/v1/jobs/{job_id}/result").raise_for_status().content
        assert Result.model_validate_json(result).windows
        until(lambda: not any("/media" in key for key in keys()), what="that the media are gone")
        assert [key for key in keys() if job_id not in key] == []
        assert not (service.data / "blobs").exists() and not list((service.data / "scratch").rglob("media"))

        assert gateway.client.delete(f"/v1/jobs/{job_id}").status_code == 204 and keys() == []

        job_id = gateway.post(film)["id"]
        until(lambda: gateway.client.get(f"/v1/jobs/{job_id}").status_code == 410, what="that the job is over")
        until(lambda: keys() == [], what="that nothing is kept of it")

        blobs = BlobStore(STORE)
        blobs.put("jobs/job_of_a_dead_gateway/media/0", b"half")
        assert "job_of_a_dead_gateway" in blobs.find_untouched_jobs(-60)
        service.sweep(blobs)
        assert keys() == []

        check_a_job_in_parts(
            service, gateway, media_files.make_audio(tmp_path / "long.flac", 130.0, rate=8000, channels=2)
        )

        server.stop()
        answer = gateway.post_raw(film)
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable"), answer.text
        assert "retry-after" in answer.headers and "127.0.0.1" not in answer.text
        assert [fault["location"] for fault in gateway.client.get("/readyz").json()["errors"]] == ["storage"]


@contextmanager
def small_disk(path: Path, size: int) -> Iterator[Path]:
    """A file system in memory, of so many bytes."""
    path.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True, check=False, text=True
    )
    if mount.returncode:
        pytest.skip(f"no file system may be mounted here: {mount.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def test_a_full_disk_refuses_uploads_loses_no_job_and_recovers(tmp_path: Path) -> None:
    """Media, results and scratch lie on it; so little is left that neither fits."""
    film = media_files.make_video(tmp_path / "film.mp4", 3.0)
    large = media_files.make_audio(tmp_path / "large.wav", 200.0)
    assert large.stat().st_size > 16 * MEBIBYTE
    with small_disk(tmp_path / "data", 16 * MEBIBYTE) as disk:
        with cluster.running(tmp_path, min_free_bytes=str(MEBIBYTE), lease_seconds="2") as service:
            gateway = service.start_gateway()
            refused = gateway.post_raw(large)
            assert (refused.status_code, refused.json()["code"]) == (507, "storage_full"), refused.text
            assert not list(disk.rglob("media*/*"))  # nothing is left of what was cut off

            waiting = [gateway.post(film)["id"] for _ in range(2)]
            with (disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
                while True:
                    filler.write(bytes(4096))
            refused = gateway.post_raw(film)
            assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
            told = gateway.client.get("/readyz").json()
            assert told["errors"][0]["location"] == "storage", told
            service.start_worker(scratch_dir=str(tmp_path / "scratch"))
            service.wait_for_workers()
            until(lambda: "too little free disk space" in service.log(), what="the worker's log line")
            assert [service.job_store.get(job_id).status for job_id in waiting] == ["queued", "queued"]

            (disk / "filler").unlink()
            assert [service.ended(job_id).status for job_id in waiting] == ["succeeded"] * 2
            assert [service.ended(job_id).attempts for job_id in waiting] == [1, 1]
            assert service.ended(gateway.post(film)["id"]).status == "succeeded"
            assert gateway.client.get("/readyz").status_code == 200
