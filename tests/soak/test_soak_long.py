"""Two hours of film through two workers: the result of the unsplit film, in the memory that two minutes take."""

import json
import os
import time
from pathlib import Path

from ml.inference.pipeline.analyzer import Analyzer
from ml.results import Options
from tests.cluster import Cluster, running
from tests.documents import apart
from tests.e2e.test_e2e_long import result_of
from tests.long_files import make_long
from tests.toy_models import make_store

SECONDS = float(os.environ.get("SOAK_LONG_SECONDS", "7200"))
OPTIONS = Options(frame_rate=1.0)
SMALL = ("-vf", "scale=320:180")
MOST_GROWTH = 1.1


def peak(pid: int) -> int:
    """Most memory that a process has held so far, in MiB."""
    status = Path("/proc", str(pid), "status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def worker_peaks(cluster: Cluster) -> list[int]:
    return [peak(int(beat.worker.rpartition(":")[2])) for beat in cluster.loaded()]


def test_two_hours_cost_the_memory_of_minutes_and_change_nothing(tmp_path: Path) -> None:
    short = make_long(tmp_path / "short.mp4", 120, SMALL)
    film = make_long(tmp_path / "film.mp4", SECONDS, SMALL, pause=120)
    asked = OPTIONS.model_dump_json()
    with running(tmp_path, worker_kinds="inference", threads="1") as cluster:
        make_store(cluster.store.root)
        gateway = cluster.start_gateway()
        for _ in range(2):
            cluster.start_worker()
        cluster.wait_for_workers(2)
        for job in [gateway.post(short, options=asked) for _ in range(4)]:
            assert cluster.ended(job["id"], 600).status == "succeeded"
        before, began = worker_peaks(cluster), time.monotonic()
        job_id = gateway.post(film, options=asked)["id"]
        record = cluster.ended(job_id, 3 * 3600)
        assert record.status == "succeeded", record.failure
        seconds, after = time.monotonic() - began, worker_peaks(cluster)
        split = result_of(gateway.client, job_id)
        analyzer = Analyzer.load(cluster.store.root, device="cpu", threads=1)
    analyzer.analyze(short, OPTIONS)
    alone_before, began = peak(os.getpid()), time.monotonic()
    whole = json.loads(analyzer.analyze(film, OPTIONS).model_dump_json(exclude={"timings"}))
    alone_seconds, alone_after = time.monotonic() - began, peak(os.getpid())
    different = list(apart(split, whole))
    print(
        f"\n{SECONDS:g} s of film: {len(whole['windows'])} windows, {len(whole['faces'])} tracks, "
        f"{len(whole['transcript']['text'].split())} words; {len(different)} differences beyond 1e-5\n"
        f"two workers: {seconds:.0f} s, peak memory {before} -> {after} MiB\n"
        f"one process: {alone_seconds:.0f} s, peak memory {alone_before} -> {alone_after} MiB"
    )
    assert different == []
    assert max(after) <= max(before) * MOST_GROWTH and alone_after <= alone_before * MOST_GROWTH
