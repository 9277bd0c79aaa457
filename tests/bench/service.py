"""What the service adds: answers under load, and the time that a job takes beyond its analysis."""

import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ml.places import MODEL_STORE
from tests import cluster, media_files
from tests.bench import load, media
from tests.bench.load import Load, Tally
from tests.bench.timing import Figure, alternate, cpu_seconds, peak_memory, ratios
from tests.cluster import Cluster, Gateway

POLLERS, UPLOADS, POLLED_JOBS = 500, 50, 200
UPLOAD_BYTES = 4 * 2**20
LARGE_MIB = 256
LOAD_SECONDS = 30.0
POLLING = {"floor": 100.0, "aim": 25.0}
POLLED_ALONE = f"poll, {POLLERS} pollers"
IMAGES, MANY_IMAGES, SENDERS = 40, 300, 16


@contextmanager
def service(**settings: str) -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="affect-bench-") as folder:
        with cluster.running(Path(folder), **settings) as running:
            yield running


@dataclass(frozen=True)
class ServiceBench:
    folder: Path
    rounds: int

    def load(self) -> Iterator[Figure]:
        """One gateway of two processes; no worker, so that what is measured is the gateway's own."""
        sound = media_files.make_audio(self.folder / "load.wav", UPLOAD_BYTES / 2 / 44_100).read_bytes()
        picture = media_files.make_image(self.folder / "load.png", (64, 48))
        with service(max_queued="1000000") as running:
            gateway = running.start_gateway(gateway_processes="2")
            paths = tuple(gateway.post(picture)["links"]["self"] for _ in range(POLLED_JOBS))
            for pollers, uploads in ((POLLERS, 0), (0, UPLOADS), (POLLERS, UPLOADS)):
                name = " + ".join(
                    told for count, told in ((pollers, f"{pollers} pollers"), (uploads, f"{uploads} uploads")) if count
                )
                polled, uploaded = Load(gateway.port, paths, pollers, uploads, sound, LOAD_SECONDS).run()
                if pollers:
                    yield from _tally(f"poll, {name}", polled)
                if uploads:
                    yield from _tally(f"upload of 4 MiB at 1 MiB/s, {name}", uploaded)

    def upload(self) -> Iterator[Figure]:
        """One large file over one connection, its client on the same cores, against `cp` to the same disk."""
        film = (self.folder / "large.wav").absolute()
        media_files.make_audio(film, LARGE_MIB * 2**20 / 2 / 44_100)
        with service(max_queued="1000000") as running:
            gateway = running.start_gateway()
            copy = running.folder / "copy"

            def post() -> None:
                gateway.client.delete(gateway.post(film)["links"]["self"]).raise_for_status()

            def cp() -> None:
                subprocess.run(["cp", film, copy], check=True)
                copy.unlink()

            taken = alternate({"post": post, "cp": cp}, self.rounds)
        film.unlink()
        for side, each in taken.items():
            yield Figure.of(f"{LARGE_MIB} MiB, {side}", "MB/s", [LARGE_MIB * 2**20 / 1e6 / one for one in each])
        yield Figure.of(f"upload of {LARGE_MIB} MiB ÷ cp", "×", ratios(taken["post"], taken["cp"]))

    def jobs(self) -> Iterator[Figure]:
        """Pictures from POST to the end of the job, one after the other; what its stages did not take was added."""
        picture = media_files.make_image(self.folder / "job.png", (640, 480))
        with service(model_store=str(MODEL_STORE.absolute())) as running:
            gateway = running.start_gateway()
            running.start_worker()
            running.wait_for_workers()
            through, added = [], []
            for _ in range(IMAGES):
                began = time.perf_counter()
                links = gateway.post(picture)["links"]
                while gateway.client.get(f"{links['self']}?wait=30").json()["status"] != "succeeded":
                    pass
                through.append(1000 * (time.perf_counter() - began))
                timings = gateway.client.get(links["result"]).json()["timings"]
                added.append(through[-1] - 1000 * sum(timings.values()))
        yield Figure.of("picture from POST to the end of its job", "ms", through)
        yield Figure.of("time that a job adds to its stages", "ms", added, floor=40.0, aim=15.0)

    def ready(self) -> Iterator[Figure]:
        """From the start of gateway and worker, Redis running, until `/readyz` agrees; the first does not count."""
        taken = []
        with service(model_store=str(MODEL_STORE.absolute())) as running:
            for _ in range(1 + max(1, self.rounds // 2)):
                began = time.monotonic()
                worker, gateway = running.start_worker(), running.start_gateway()
                _wait_until_ready(gateway)
                taken.append(time.monotonic() - began)
                for process in (worker, gateway.process):
                    process.terminate()
                    process.wait()
        yield Figure.of("ready after start, models on a warm disk", "s", taken[1:], floor=15.0, aim=6.0)

    def images(self) -> Iterator[Figure]:
        """Many small pictures with a face at once: from the first POST until the last job has ended; and what each
        costs which process."""
        picture = (self.folder / "face.jpg").absolute()
        media.make_picture(picture)
        request = load.upload(picture.name, picture.read_bytes())
        rates: list[float] = []
        costs: dict[str, list[float]] = defaultdict(list)
        with service(model_store=str(MODEL_STORE.absolute()), max_queued="100000") as running:
            gateway, worker = running.start_gateway(), running.start_worker()
            running.wait_for_workers()
            pids = {"gateway": gateway.process.pid, "worker": worker.pid, "Redis": running.redis_server.pid}
            for round_ in range(1 + max(1, self.rounds // 2)):
                before = {name: cpu_seconds(pid) for name, pid in pids.items()}
                began = time.monotonic()
                tally = load.send_all(gateway.port, [request] * MANY_IMAGES, SENDERS)
                cluster.until(lambda: _is_idle(running), 300, "the end of all jobs", every=0.05)
                seconds = time.monotonic() - began
                if tally.errors:
                    raise RuntimeError(f"not every picture was accepted: {tally.errors}")
                if round_ == 0:  # it warms up
                    continue
                rates.append(MANY_IMAGES / seconds)
                for name, pid in pids.items():
                    costs[name].append(1000 * (cpu_seconds(pid) - before[name]) / MANY_IMAGES)
            memory = peak_memory(worker.pid)
            ended = {job["status"] for job in gateway.client.get("/v1/jobs?limit=100").json()["jobs"]}
            if ended != {"succeeded"}:
                raise RuntimeError(f"not every picture was read: {ended}")
        yield Figure.of("pictures a second through HTTP, one worker", "1/s", rates, floor=30.0, aim=80.0, rising=True)
        yield Figure.of("peak memory of a worker process, after pictures", "MB", [memory], floor=900.0, aim=600.0)
        for name, spent in costs.items():
            yield Figure.of(f"CPU of the {name} for a picture", "ms", spent)


def _wait_until_ready(gateway: Gateway) -> None:
    cluster.until(lambda: gateway.client.get("/readyz").status_code == 200, 300, "a service that is ready")


def _is_idle(running: Cluster) -> bool:
    load = running.ledger.load()
    return load.running == 0 and load.queues["inference"].depth == 0


def _tally(name: str, tally: Tally) -> Iterator[Figure]:
    yield Figure.of(f"{name}: p50", "ms", [1000 * tally.percentile(0.5)])
    yield Figure.of(f"{name}: p99", "ms", [1000 * tally.percentile(0.99)], **(POLLING if name == POLLED_ALONE else {}))
    yield Figure.of(f"{name}: answers a second", "1/s", [len(tally.seconds) / LOAD_SECONDS])
    yield Figure.of(f"{name}: errors", "", [float(tally.errors.total())], floor=0.0)
