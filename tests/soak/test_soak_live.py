"""Live for ten minutes with the published models: latency, frames a second, memory, and jobs beside it.

`AFFECT_SOAK_LIVE_SECONDS` (600) and `AFFECT_SOAK_LIVE_RATE` (10 frames a second) change the trial; figures are printed.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ml.paths import MODEL_STORE
from tests.e2e.conftest import Service, process, serving
from tests.e2e.test_e2e_live import LIVE_WORKER, live_worker, nothing_is_left
from tests.face_files import make_scenes, nobody, portrait
from tests.live_client import LiveClient, jpeg
from tests.speech_files import say, silence

SECONDS = float(os.environ.get("AFFECT_SOAK_LIVE_SECONDS", "600"))
RATE = float(os.environ.get("AFFECT_SOAK_LIVE_RATE", "10"))
MOST_GROWTH = 64 * 2**20


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("affect")
    with serving(folder, AFFECT_MODEL_STORE=str(MODEL_STORE)) as running:
        with process(*LIVE_WORKER, environment=running.environment):
            live_worker(running)
            yield running


def memory_of(pid: int) -> int:
    """Resident bytes of a process."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


def scenes() -> list[bytes]:
    """Two seconds of somebody who moves about, and one of nobody, as a camera of 640 × 480 sends them."""
    canvas = np.full((480, 640, 3), 120, np.uint8)
    frames = []
    for step in range(20):
        frame = canvas.copy()
        left = 150 + round(100 * np.sin(step / 20 * 2 * np.pi))
        frame[90:390, left : left + 256] = portrait()
        frames.append(jpeg(frame))
    return frames + [jpeg(canvas)] * 10


def test_live_goes_on_and_leaves_jobs_alone(service: Service, tmp_path: Path) -> None:
    talk = np.concatenate([say("I have told you so many times before, and I am tired of it."), silence(3.0)])
    film = make_scenes(tmp_path / "film.mp4", [(portrait(), 3.0), (nobody(), 1.0)], talk[: 4 * 16_000])
    alone = _seconds_of_a_job(service, film)
    pid = int(live_worker(service).worker.rpartition(":")[2])
    client = LiveClient.open(service.stream_address)
    assert client.ready.wait(60)
    pictures, beside, early = scenes(), [], 0
    began = time.monotonic()
    while (gone := time.monotonic() - began) < SECONDS:
        client.play(pictures, talk, min(20.0, SECONDS - gone), RATE, rest=gone)
        early = early or (memory_of(pid) if gone > min(60.0, SECONDS / 4) else 0)
        if len(beside) < 3:
            beside.append(_job_beside(service, film, client, pictures, talk))
    lasted = time.monotonic() - began
    late = memory_of(pid)
    waits = np.diff(client.heard_at)
    latencies = np.array(client.latencies())
    client.close()
    print(
        f"\n{lasted:.0f} s at {RATE:g} frames/s: {len(latencies) / lasted:.1f} frames/s read, "
        f"{client.updates[-1]['dropped']} dropped; latency p50 {np.median(latencies):.3f} s, "
        f"p95 {np.quantile(latencies, 0.95):.3f} s; longest pause between updates {waits.max():.2f} s; "
        f"memory {early / 2**20:.0f} → {late / 2**20:.0f} MiB; a job {alone:.1f} s alone, "
        f"{', '.join(f'{seconds:.1f}' for seconds in beside)} s beside it"
    )
    assert np.quantile(waits, 0.95) < 1.0
    assert {update["emotion"] for update in client.updates} - {None}
    assert late - early < MOST_GROWTH
    assert nothing_is_left(service)


def _seconds_of_a_job(service: Service, film: Path) -> float:
    began = time.monotonic()
    assert service.finished(film).status == "succeeded"
    return time.monotonic() - began


def _job_beside(service: Service, film: Path, client: LiveClient, pictures: list[bytes], talk: np.ndarray) -> float:
    """Seconds that a job takes while the stream goes on."""
    began, at = time.monotonic(), client.updates[-1]["time"]
    with film.open("rb") as file:
        job = service.client.post("/v1/jobs", files={"file": file}).raise_for_status().json()
    while job["status"] in ("queued", "running"):
        client.play(pictures, talk, 0.5, RATE, rest=at + time.monotonic() - began)
        job = service.client.get(job["links"]["self"]).raise_for_status().json()
    assert job["status"] == "succeeded", job
    return time.monotonic() - began
