"""Hundreds of jobs while something is killed every few seconds: each ends once, none is lost, nothing stays behind."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx

from tests import cluster, media_files
from tests.cluster import Cluster, check_once, until

JOBS = 200
GATEWAYS = 2
WORKERS = 3
PAUSE = (2.0, 5.0)
"""Seconds between two kills."""


class Chaos:
    """Kills something every few seconds, and starts again what is dead, as a supervisor would."""

    def __init__(self, service: Cluster) -> None:
        self._service = service
        self._chance = random.Random(7)
        self.kills: Counter[str] = Counter()
        self.gateways = [service.start_gateway() for _ in range(GATEWAYS)]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Chaos":
        self._mend()
        self._service.wait_for_workers(WORKERS)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._mend()

    def _run(self) -> None:
        acts: list[tuple[Callable[[], None], int]] = [
            (self._kill_child, 6),
            (self._kill_worker, 3),
            (self._stop_worker, 2),
            (self._kill_gateway, 2),
            (self._restart_redis, 1),
        ]
        while not self._ended.wait(self._chance.uniform(*PAUSE)):
            (act,) = self._chance.choices([act for act, _ in acts], [weight for _, weight in acts])
            act()
            self.kills[act.__name__.strip("_")] += 1
            self._mend()

    def _mend(self) -> None:
        while len(self._service.live_workers) < WORKERS:
            self._service.start_worker()

    def _kill_child(self) -> None:
        """The process that works, of a worker that lives on and makes another."""
        if beats := self._service.loaded():
            with suppress(ProcessLookupError):
                os.kill(int(self._chance.choice(beats).worker.rpartition(":")[2]), signal.SIGKILL)

    def _kill_worker(self) -> None:
        self._chance.choice(self._service.live_workers).kill()

    def _stop_worker(self) -> None:
        worker = self._chance.choice(self._service.live_workers)
        worker.terminate()
        worker.wait()

    def _kill_gateway(self) -> None:
        place = self._chance.randrange(GATEWAYS)
        self.gateways[place].process.kill()
        self.gateways[place] = self._service.start_gateway(self.gateways[place].port)

    def _restart_redis(self) -> None:
        self._service.redis_server.kill()
        time.sleep(0.5)
        self._service.redis_server.start()


def posted(chaos: Chaos, number: int, path: Path) -> str:
    """The id of a job that was accepted by either gateway, however often that has to be tried."""

    def attempt() -> str | None:
        try:
            answer = chaos.gateways[number % GATEWAYS].post_raw(path, tag="soak")
        except httpx.TransportError:
            return None
        assert answer.status_code in (202, 503), answer.text
        return str(answer.json()["id"]) if answer.status_code == 202 else None

    return str(until(attempt, 120, "an accepted job"))


def test_two_hundred_jobs_under_kills(tmp_path: Path) -> None:
    files = [
        media_files.make_image(tmp_path / "private picture.png", (320, 240)),
        media_files.make_audio(tmp_path / "private sound.wav", 20.0, rate=16_000),
        media_files.make_video(tmp_path / "private film.mp4", 8.0),
    ]
    with cluster.running(tmp_path, lease_seconds="3", max_attempts="5") as service:
        began = time.monotonic()
        with Chaos(service) as chaos:
            jobs = []
            for number in range(JOBS):
                jobs.append(posted(chaos, number, files[number % len(files)]))
                time.sleep(0.3)
            accepted = time.monotonic() - began
            records = [service.ended(job_id, 900) for job_id in jobs]
        spent = time.monotonic() - began
        every = service.inspector.owned_jobs("local")
        counts = check_once(service, every)
        attempts = Counter(record.attempts for record in records)
        print(f"\n{JOBS} jobs accepted in {accepted:.0f} s, all ended after {spent:.0f} s: {dict(counts)}")
        print(f"attempts: {dict(sorted(attempts.items()))}; kills: {dict(chaos.kills)}")
        assert set(jobs) <= set(every)
        assert counts["succeeded"] + counts["failed"] == len(every) and counts["failed"] == 0
        for number, job_id in enumerate(every):
            client = chaos.gateways[number % GATEWAYS].client
            assert client.get(f"/v1/jobs/{job_id}/result").status_code == 200
            assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
        service.sweep()
        needles = [path.read_bytes()[1000:1064] for path in files] + [b"private", *map(str.encode, every)]
        # A job's last event outlives it for a while, and Redis's file follows within a minute.
        until(lambda: not service.traces(needles), 150, "the last trace of the deleted jobs to go")


def test_recovery_with_default_settings(tmp_path: Path) -> None:
    """From the death of a worker's process in the middle of a job to the begin of the next attempt."""
    (tmp_path / "data" / "hold").mkdir(parents=True)
    sound = media_files.make_audio(tmp_path / "a.wav", 5.0, rate=16_000)
    seconds = []
    with cluster.running(tmp_path) as service:
        gateway = service.start_gateway()
        for _ in range(2):
            service.start_worker("tests.e2e.held_worker")
        for whole in (False, True, False):
            while len(service.live_workers) < 2:
                service.start_worker("tests.e2e.held_worker")
            service.wait_for_workers(2)
            hold = service.data / "hold" / "audio"
            hold.touch()
            job_id = gateway.post(sound)["id"]
            pid = int(until(hold.read_text))
            os.killpg(os.getpgid(pid), signal.SIGKILL) if whole else os.kill(pid, signal.SIGKILL)
            hold.unlink()
            began = time.monotonic()
            until(lambda job_id=job_id: service.job_store.get(job_id).attempts == 2, what="another attempt")
            seconds.append(time.monotonic() - began)
            assert service.ended(job_id).status == "succeeded"
    print(f"\nanother attempt began {', '.join(f'{each:.1f}' for each in seconds)} s after the kill")
    assert max(seconds) <= 30
