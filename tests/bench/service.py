"""What the service adds: answers under load, and the time that a job takes beyond its analysis."""

import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.paths import MODEL_STORE
from tests import cluster, media_files
from tests.bench import load, media
from tests.bench.alone import NO_SPEECH
from tests.bench.load import Load, Tally
from tests.bench.processes import cpu_seconds, peak_memory, watched
from tests.bench.timing import Figure, alternate, ratios
from tests.cluster import Cluster, Gateway, Process
from workers.protocol.records import FINAL_STATUSES

POLLERS, UPLOADS, POLLED_JOBS = 500, 50, 200
UPLOAD_BYTES = 4 * 2**20
LARGE_MIB = 256
LOAD_SECONDS = 10.0
"""Of each round."""
POLLING: dict[str, Any] = {"floor": 100.0, "aim": 25.0}
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
    long: bool = False

    def load(self) -> Iterator[Figure]:
        """One gateway of two processes; no worker, so that what is measured is the gateway's own."""
        sound = media_files.make_audio(self.folder / "load.wav", UPLOAD_BYTES / 2 / 44_100).read_bytes()
        picture = media_files.make_image(self.folder / "load.png", (64, 48))
        for pollers, uploads in ((POLLERS, 0), (0, UPLOADS), (POLLERS, UPLOADS)):
            with service(max_queued="1000000") as running:
                gateway = running.start_gateway(gateway_processes="2")
                paths = tuple(gateway.post(picture)["links"]["self"] for _ in range(POLLED_JOBS))
                asked = Load(gateway.port, paths, pollers, uploads, sound, LOAD_SECONDS)
                polled, uploaded = zip(*(asked.run() for _ in range(self.rounds)), strict=True)
            name = " + ".join(
                told for count, told in ((pollers, f"{pollers} pollers"), (uploads, f"{uploads} uploads")) if count
            )
            if pollers:
                yield from _tallies(f"poll, {name}", polled)
            if uploads:
                yield from _tallies(f"upload of 4 MiB at 1 MiB/s, {name}", uploaded)

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

            taken = {side: each.seconds for side, each in alternate({"post": post, "cp": cp}, self.rounds).items()}
        film.unlink()
        for side, seconds in taken.items():
            yield Figure(f"{LARGE_MIB} MiB, {side}", "MB/s", [LARGE_MIB * 2**20 / 1e6 / one for one in seconds])
        yield Figure(f"upload of {LARGE_MIB} MiB ÷ cp", "×", ratios(taken["post"], taken["cp"]))

    def jobs(self) -> Iterator[Figure]:
        """Pictures from POST to the end of the job, one after the other; what its stages did not take was added. The
        first does not count."""
        picture = media_files.make_image(self.folder / "job.png", (640, 480))
        through, added = list[float](), list[float]()
        with reading() as running:
            for _ in range(1 + IMAGES):
                began = time.perf_counter()
                links = running.read(picture)
                through.append(1000 * (time.perf_counter() - began))
                added.append(through[-1] - 1000 * sum(running.result(links)["timings"].values()))
        yield Figure("picture from POST to the end of its job", "ms", through[1:])
        yield Figure("time that a job adds to its stages", "ms", added[1:], floor=40.0, aim=15.0)

    def ready(self) -> Iterator[Figure]:
        """From the start of gateway and worker, Redis running, until `/readyz` agrees; the first does not count."""
        taken = []
        with service(model_store=str(MODEL_STORE.absolute())) as running:
            for _ in range(1 + self.rounds):
                began = time.monotonic()
                worker, gateway = running.start_worker(), running.start_gateway()
                _wait_until_ready(gateway)
                taken.append(time.monotonic() - began)
                for process in (worker, gateway.process):
                    process.terminate()
                    process.wait()
        yield Figure("ready after start, models on a warm disk", "s", taken[1:], floor=15.0, aim=6.0)

    def images(self) -> Iterator[Figure]:
        """Many small pictures with a face at once: from the first POST until the last job has ended; and what each
        costs which process, with all that it starts. The first round does not count."""
        with reading(max_queued="100000") as running:
            found = [running.read_pictures(self._picture(), MANY_IMAGES) for _ in range(1 + self.rounds)][1:]
            memory = peak_memory(running.reader)
        rates = [MANY_IMAGES / each.seconds for each in found]
        yield Figure("pictures a second through HTTP, one worker", "1/s", rates, floor=30.0, aim=80.0, rising=True)
        yield Figure("peak memory of a worker process, after pictures", "MB", [memory], floor=900.0, aim=600.0)
        for name in found[0].computing:
            costs = [1000 * each.computing[name] / MANY_IMAGES for each in found]
            yield Figure(f"CPU of the {name} for a picture", "ms", costs)

    def worker(self) -> Iterator[Figure]:
        """Memory of a worker that reads pictures, then a film, then its words too; half the rounds, a worker each."""
        seconds = 120 if self.long else 60
        film = media.make_clip(self.folder, seconds)
        peaks: dict[str, list[float]] = defaultdict(list)
        trees = list[float]()
        for _ in range(max(1, self.rounds // 2)):
            with reading(max_queued="100000") as running, watched(running.worker.pid) as seen:
                running.read_pictures(self._picture(), MANY_IMAGES)
                peaks["pictures"].append(peak_memory(running.reader))
                running.read(film, options=NO_SPEECH.model_dump_json())
                peaks[f"{seconds} s of 720p30"].append(peak_memory(running.reader))
                result = running.result(running.read(film))
                peaks["its speech too"].append(peak_memory(running.reader))
            if result["transcript"]["source"] != "whisper":
                raise RuntimeError(f"the speech of the film was not recognised: {result['warnings']}")
            trees.append(seen.tree)
        bounds: dict[str, Any] = {f"{seconds} s of 720p30": {"floor": 900.0, "aim": 600.0}}
        for read, held in peaks.items():
            yield Figure(f"peak memory of the analysing process: {read}", "MB", held, **bounds.get(read, {}))
        yield Figure("most memory of the worker and all its children together, speech too", "MB", trees)

    def _picture(self) -> Path:
        return media.make_picture((self.folder / "face.jpg").absolute())


@dataclass(frozen=True)
class Pictures:
    """Seconds that it took to read them, and CPU seconds of each part of the service."""

    seconds: float
    computing: dict[str, float]


@dataclass(frozen=True)
class Reading:
    """A service of one gateway and one worker with the published models."""

    cluster: Cluster
    gateway: Gateway
    worker: Process

    @property
    def reader(self) -> int:
        """The process that analyses."""
        return int(self.cluster.loaded()[0].worker.rpartition(":")[2])

    def read(self, path: Path, **fields: str) -> dict[str, str]:
        """Posts a job and waits for its end: its links. Raises RuntimeError unless it succeeds."""
        links: dict[str, str] = self.gateway.post(path, **fields)["links"]

        def final() -> str | None:
            status = self.gateway.client.get(f"{links['self']}?wait=30").raise_for_status().json()["status"]
            return status if status in FINAL_STATUSES else None

        if (status := cluster.until(final, 600, "the end of a job", every=0)) != "succeeded":
            raise RuntimeError(f"the job of {path.name} {status}")
        return links

    def result(self, links: dict[str, str]) -> dict[str, Any]:
        return dict(self.gateway.client.get(links["result"]).raise_for_status().json())

    def read_pictures(self, picture: Path, count: int) -> Pictures:
        """The same one many times at once, from the first POST until the last job has ended. Raises RuntimeError unless
        all jobs of the service have succeeded."""
        requests = [load.upload(picture.name, picture.read_bytes())] * count
        before, began = self._computing(), time.monotonic()
        tally = load.send_all(self.gateway.port, requests, SENDERS)
        cluster.until(self._is_idle, 300, "the end of all jobs", every=0.05)
        seconds, after = time.monotonic() - began, self._computing()
        ended = Counter(self._statuses())
        if tally.errors or ended.keys() != {"succeeded"}:
            raise RuntimeError(f"not every picture was accepted and read: {tally.errors}, {ended}")
        return Pictures(seconds, {name: after[name] - before[name] for name in after})

    def _computing(self) -> dict[str, float]:
        pids = {"gateway": self.gateway.process.pid, "worker": self.worker.pid, "Redis": self.cluster.redis_server.pid}
        return {name: cpu_seconds(pid) for name, pid in pids.items()}

    def _is_idle(self) -> bool:
        now = self.cluster.job_store.load()
        return now.running == 0 and now.queues["inference"].depth == 0

    def _statuses(self) -> Iterator[str]:
        """Of all jobs, page by page."""
        cursor: dict[str, str] = {}
        while True:
            page = self.gateway.client.get("/v1/jobs", params={"limit": 100, **cursor}).raise_for_status().json()
            yield from (job["status"] for job in page["jobs"])
            if page["next_cursor"] is None:
                return
            cursor = {"cursor": page["next_cursor"]}


@contextmanager
def reading(**settings: str) -> Iterator[Reading]:
    with service(model_store=str(MODEL_STORE.absolute()), **settings) as running:
        found = Reading(running, running.start_gateway(), running.start_worker())
        running.wait_for_workers()
        yield found


def _wait_until_ready(gateway: Gateway) -> None:
    cluster.until(lambda: gateway.client.get("/readyz").status_code == 200, 300, "a service that is ready")


def _tallies(name: str, rounds: Sequence[Tally]) -> Iterator[Figure]:
    asked: dict[str, Any] = POLLING if name == POLLED_ALONE else {}
    yield Figure(f"{name}: p50", "ms", [1000 * each.percentile(0.5) for each in rounds])
    yield Figure(f"{name}: p99", "ms", [1000 * each.percentile(0.99) for each in rounds], **asked)
    yield Figure(f"{name}: answers a second", "1/s", [len(each.seconds) / LOAD_SECONDS for each in rounds])
    yield Figure(f"{name}: errors", "", [float(sum(each.errors.total() for each in rounds))], floor=0.0)
