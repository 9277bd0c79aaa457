"""What the service adds: answers under load, and the time that a job takes beyond its analysis."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ml.places import MODEL_STORE
from tests import cluster, media_files
from tests.bench.load import Load, Tally
from tests.bench.timing import Figure
from tests.cluster import Cluster

POLLERS, UPLOADS, POLLED_JOBS = 500, 50, 200
UPLOAD_BYTES = 4 * 2**20
LOAD_SECONDS = 30.0
IMAGES = 40


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
            began = time.monotonic()
            for job_id in [gateway.post(picture)["id"] for _ in range(IMAGES)]:
                running.ended(job_id)
            rate = IMAGES / (time.monotonic() - began)
        yield Figure.of("picture from POST to the end of its job", "ms", through)
        yield Figure.of("time that a job adds to its stages", "ms", added, aim=20.0)
        yield Figure.of("pictures a second through HTTP, one worker", "1/s", [rate])


def _tally(name: str, tally: Tally) -> Iterator[Figure]:
    yield Figure.of(f"{name}: p50", "ms", [1000 * tally.percentile(0.5)])
    yield Figure.of(f"{name}: p99", "ms", [1000 * tally.percentile(0.99)], aim=100.0 if "poll," in name else None)
    yield Figure.of(f"{name}: answers a second", "1/s", [len(tally.seconds) / LOAD_SECONDS])
    yield Figure.of(f"{name}: errors", "", [float(tally.errors.total())], floor=0.0)
