"""Processes are killed, Redis is restarted, the disk fills up: every accepted job ends once, and none is lost."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from ml.results import Result
from ml.vocabulary import Stage
from tests import cluster, media_files
from tests.cluster import Cluster, Gateway, check_once, until
from workers.protocol.store.idempotency import RESERVATION_TTL_SECONDS
from workers.protocol.store.scripts import DELETED_EVENTS_SECONDS

LEASE = 2.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    return {
        "picture": media_files.make_image(folder / "a.png", (64, 48)),
        "sound": media_files.make_audio(folder / "a.wav", 2.0, rate=16_000),
        "long": media_files.make_audio(folder / "long.flac", 1200.0, rate=8000),
        "hours": silent_hours(folder / "hours.flac"),
    }


def silent_hours(path: Path) -> Path:
    """Two of them: their decoding takes seconds, however fast the machine is."""
    media_files.ffmpeg("-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "7200", path)
    return path


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Redis alone; each test starts what it needs, and leaves the workers that live to the next."""
    folder = tmp_path_factory.mktemp("chaos")
    (folder / "data" / "hold").mkdir(parents=True)
    with cluster.running(folder, lease_seconds=str(LEASE)) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(service: Cluster) -> Gateway:
    return service.start_gateway()


@pytest.fixture
def workers(service: Cluster) -> Cluster:
    """With two workers that live."""
    while len(service.live_workers) < 2:
        service.start_worker("tests.e2e.held_worker")
    service.wait_for_workers(2)
    return service


@contextmanager
def held(service: Cluster, stage: Stage) -> Iterator[Path]:
    """Whoever comes to this stage stands still there."""
    file = service.data / "hold" / stage
    file.touch()
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def holder(service: Cluster, file: Path, job_id: str, stage: Stage) -> int:
    """The process that stands still, once the service says itself that the job is in that stage."""
    pid = int(until(file.read_text, what=f"a job in {stage}"))
    until(lambda: (record := service.record(job_id)) and record.stage == stage, what=f"stage {stage}")
    return pid


STAGES: list[tuple[Stage, str]] = [
    ("probe", "picture"),
    ("decode", "sound"),
    ("segment", "sound"),
    ("faces", "picture"),
    ("audio", "sound"),
    ("transcribe", "sound"),
    ("text", "sound"),
    ("fuse", "picture"),
    ("write", "sound"),
]


def test_pictures_that_a_killed_worker_read_together_are_all_read_again(
    workers: Cluster, gateway: Gateway, files: dict[str, Path]
) -> None:
    gate = workers.data / "hold" / "faces.all"
    gate.touch()
    content = files["picture"].read_bytes()
    answer = gateway.client.post("/v1/jobs", files=[("file", (f"{number}.png", content)) for number in range(6)])
    jobs = [job["id"] for job in answer.json()["jobs"]]

    def together() -> bool:
        return sum(record.stage == "faces" for job_id in jobs if (record := workers.record(job_id))) == len(jobs)

    until(together, what="all pictures under way")
    for worker in workers.live_workers:
        worker.kill()
    gate.unlink()
    workers.start_worker("tests.e2e.held_worker")
    assert {workers.ended(job_id).status for job_id in jobs} == {"succeeded"}
    assert check_once(workers, jobs) == {"succeeded": 6}
    assert {record.attempts for job_id in jobs if (record := workers.record(job_id))} == {2}


@pytest.mark.timeout(600)
def test_a_worker_killed_in_any_stage_loses_no_job(workers: Cluster, gateway: Gateway, files: dict[str, Path]) -> None:
    """Two at a time: each worker stands still at one stage, both are killed."""
    jobs, slowest = [], 0.0
    for pair in (STAGES[first : first + 2] for first in range(0, len(STAGES), 2)):
        with ExitStack() as stack:
            victims = {}
            for stage, kind in pair:
                file = stack.enter_context(held(workers, stage))
                job_id = gateway.post(files[kind])["id"]
                victims[job_id] = holder(workers, file, job_id, stage)
            for pid in victims.values():
                os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        until(
            lambda ids=victims: all(workers.job_store.get(each).attempts == 2 for each in ids), what="second attempts"
        )
        slowest = max(slowest, time.monotonic() - began)
        for job_id in victims:
            record = workers.ended(job_id)
            assert (record.status, record.attempts) == ("succeeded", 2), (pair, record)
            content = gateway.client.get(f"/v1/jobs/{job_id}/result").raise_for_status().content
            assert Result.model_validate_json(content).media.sha256
        jobs += victims
    assert check_once(workers, jobs) == {"succeeded": len(STAGES)}
    print(f"taken up again within {slowest:.1f} s of the kill (lease {LEASE:g} s)")


def test_a_whole_worker_is_killed_and_another_takes_its_job(
    workers: Cluster, gateway: Gateway, files: dict[str, Path]
) -> None:
    with held(workers, "decode") as file:
        job_id = gateway.post(files["sound"])["id"]
        pid = holder(workers, file, job_id, "decode")
        os.killpg(os.getpgid(pid), signal.SIGKILL)
    record = workers.ended(job_id)
    assert (record.status, record.attempts) == ("succeeded", 2)
    assert check_once(workers, [job_id]) == {"succeeded": 1}


def test_a_worker_that_is_told_to_stop_hands_its_job_back(
    workers: Cluster, gateway: Gateway, files: dict[str, Path]
) -> None:
    with held(workers, "transcribe") as file:
        job_id = gateway.post(files["sound"])["id"]
        pid = holder(workers, file, job_id, "transcribe")
        stopping = next(worker for worker in workers.live_workers if worker.pid == os.getpgid(pid))
        began = time.monotonic()
        stopping.terminate()
        until(lambda: workers.job_store.get(job_id).token == 2, what="another worker")
        handed = time.monotonic() - began
        assert stopping.wait() == 0
    record = workers.ended(job_id)
    assert (record.status, record.attempts) == ("succeeded", 1)
    assert check_once(workers, [job_id]) == {"succeeded": 1}
    print(f"handed over within {handed:.1f} s")


@pytest.mark.timeout(400)
def test_a_job_that_kills_its_worker_each_time_fails_after_three(
    workers: Cluster, gateway: Gateway, files: dict[str, Path]
) -> None:
    trap = workers.data / "hold" / "text.kill"  # where no picture ever comes
    trap.touch()
    poison = gateway.post(files["sound"])["id"]
    others = [gateway.post(files["picture"])["id"] for _ in range(4)]
    record = workers.ended(poison, 300)
    trap.unlink()
    assert record.failure is not None
    assert (record.status, record.failure.code, record.attempts) == ("failed", "worker_lost", 3)
    error = gateway.client.get(f"/v1/jobs/{poison}").json()["error"]
    assert (error["code"], error["retryable"]) == ("worker_lost", True)
    assert [workers.ended(job_id).status for job_id in others] == ["succeeded"] * 4
    assert check_once(workers, [poison, *others]) == {"failed": 1, "succeeded": 4}
    assert not list((workers.data / "blobs" / "jobs" / poison).glob("media*/*"))


def decoders(job_id: str) -> list[int]:
    """The ffmpeg processes that read a job's media."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            words = path.read_bytes().split(b"\0")
            if words[0].endswith(b"ffmpeg") and any(job_id.encode() in word for word in words):
                found.append(int(path.parent.name))
    return found


def decoded_sound(data: Path) -> list[str]:
    """Return the names of files with decoded sound. Unlike `rglob`, `walk` accepts that folders are deleted."""
    return [name for *_, names in os.walk(data / "scratch") for name in names if name.endswith(".pcm")]


@pytest.mark.parametrize("act", ["cancel", "delete"])
def test_a_running_job_stops_within_two_seconds(
    workers: Cluster, gateway: Gateway, files: dict[str, Path], act: str
) -> None:
    job_id = gateway.post(files["hours"])["id"]
    until(lambda: decoders(job_id), what="a decoder", every=0.002)
    patience = 2.0 if os.getloadavg()[0] < 2 * (os.cpu_count() or 1) else 10.0
    began = time.monotonic()
    if act == "cancel":
        gateway.client.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
        assert workers.ended(job_id).status == "cancelled"
        assert check_once(workers, [job_id]) == {"cancelled": 1}
    else:
        gateway.client.delete(f"/v1/jobs/{job_id}").raise_for_status()
    final = time.monotonic() - began
    until(lambda: not decoders(job_id), what="the decoder's end")
    gone = time.monotonic() - began
    print(f"{act}: final after {final:.2f} s, no decoder after {gone:.2f} s (load {os.getloadavg()[0]:.1f})")
    assert gone < patience
    blobs = workers.data / "blobs" / "jobs" / job_id
    until(lambda: not list(blobs.glob("media*")), what="that the media are gone")
    until(lambda: not decoded_sound(workers.data), what="that no sound is left")


def test_a_gateway_killed_while_it_held_a_key_leaves_it_to_the_next(
    workers: Cluster, gateway: Gateway, files: dict[str, Path]
) -> None:
    """The caller sends the request again, until the key is free."""
    doomed = workers.start_gateway()
    content, key = files["picture"].read_bytes(), {"Idempotency-Key": "of a doomed gateway".replace(" ", "-")}
    before = workers.inspector.idempotency_keys()

    def body() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + content[:10]
        until(lambda: workers.inspector.idempotency_keys() - before, what="the key")
        doomed.process.kill()
        yield content[10:]

    def again() -> httpx.Response:
        return gateway.client.post("/v1/jobs", files={"file": ("a.png", content)}, headers=key)

    with pytest.raises(httpx.TransportError):
        headers = {"Content-Type": "multipart/form-data; boundary=x", **key}
        doomed.client.post("/v1/jobs", content=body(), headers=headers)
    refused = again()
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_in_progress")
    assert 0 < int(refused.headers["retry-after"]) <= RESERVATION_TTL_SECONDS
    (reservation,) = workers.inspector.idempotency_keys() - before
    assert 0 < workers.inspector.ttl(reservation) <= RESERVATION_TTL_SECONDS
    workers.inspector.expire(reservation)
    answers = [until(lambda: (answer := again()).status_code == 202 and answer) for _ in range(2)]
    job_id, same = (answer.json()["id"] for answer in answers)
    assert job_id == same and workers.ended(job_id).status == "succeeded"
    assert check_once(workers, [job_id]) == {"succeeded": 1}


def test_a_gateway_killed_during_an_upload_leaves_no_job_and_no_rest(
    workers: Cluster, gateway: Gateway, files: dict[str, Path]
) -> None:
    doomed = workers.start_gateway()
    blobs = workers.data / "blobs" / "jobs"
    blobs.mkdir(parents=True, exist_ok=True)
    before = set(blobs.iterdir())

    def body() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.flac"\r\n\r\n'
        content = files["long"].read_bytes()
        yield content[: 3 << 20]
        until(lambda: set(blobs.iterdir()) - before, what="the begin of an upload")
        doomed.process.kill()
        yield content[3 << 20 :]

    with pytest.raises(httpx.TransportError):
        doomed.client.post("/v1/jobs", content=body(), headers={"Content-Type": "multipart/form-data; boundary=x"})
    (left,) = set(blobs.iterdir()) - before
    assert workers.record(left.name) is None and gateway.client.get(f"/v1/jobs/{left.name}").status_code == 404
    workers.sweep()
    assert not left.exists()
    assert workers.ended(gateway.post(files["picture"])["id"]).status == "succeeded"


def test_a_gateway_killed_right_after_its_answers_loses_none(
    workers: Cluster, gateway: Gateway, files: dict[str, Path]
) -> None:
    doomed = workers.start_gateway()
    jobs = [doomed.post(files["picture"])["id"] for _ in range(5)]
    doomed.process.kill()
    assert [workers.ended(job_id).status for job_id in jobs] == ["succeeded"] * 5
    assert check_once(workers, jobs) == {"succeeded": 5}
    assert gateway.client.get(f"/v1/jobs/{jobs[0]}").json()["status"] == "succeeded"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_redis_is_restarted_under_load(workers: Cluster, gateway: Gateway, files: dict[str, Path], end: str) -> None:
    jobs = [gateway.post(files["picture"])["id"] for _ in range(6)]
    with held(workers, "audio") as file:  # one is under way
        jobs.append(gateway.post(files["sound"])["id"])
        until(file.read_text, what="a job under way")
        getattr(workers.redis_server, end)()
        refused = gateway.post_raw(files["picture"])
        assert (refused.status_code, refused.json()["code"]) == (503, "queue_unavailable")
        assert "Retry-After" in refused.headers
        assert gateway.client.get("/readyz").status_code == 503
        workers.redis_server.start()
    jobs.append(gateway.post(files["picture"])["id"])
    assert [workers.ended(job_id).status for job_id in jobs] == ["succeeded"] * 8
    assert check_once(workers, jobs) == {"succeeded": 8}


def test_what_was_deleted_after_all_that_has_left_nothing(
    workers: Cluster, gateway: Gateway, files: dict[str, Path], tmp_path: Path
) -> None:
    """A job whose worker was killed while it wrote, and one that was deleted under its worker's hands."""
    named = files["sound"].rename(tmp_path / "somebody's private recording.wav")
    jobs = []
    with held(workers, "write") as file:
        jobs.append(gateway.post(named, tag="private tag")["id"])
        os.kill(holder(workers, file, jobs[0], "write"), signal.SIGKILL)
    assert workers.ended(jobs[0]).status == "succeeded"
    with held(workers, "audio") as file:
        jobs.append(gateway.post(named)["id"])
        holder(workers, file, jobs[1], "audio")
        assert gateway.client.delete(f"/v1/jobs/{jobs[1]}").status_code == 204
    assert gateway.client.delete(f"/v1/jobs/{jobs[0]}").status_code == 204
    content = named.read_bytes()
    needles = [content[1000:1064], b"private recording", b"private tag", *map(str.encode, jobs)]
    ttls = [workers.inspector.ttl(f"events:{job_id}") for job_id in jobs]  # for those who read them just now
    assert all(0 < ttl <= DELETED_EVENTS_SECONDS for ttl in ttls)
    workers.inspector.expire_events(*jobs)
    until(lambda: not workers.traces(needles), what="that nothing is left")
