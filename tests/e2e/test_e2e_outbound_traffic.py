"""No byte leaves the host: programs run in a network namespace that records every DNS query and connection attempt."""

import os
import sys
from collections.abc import Iterator

import pytest

from ml import TELEMETRY_OPT_OUTS
from tests.face_files import make_scenes, portrait
from tests.network_trap import Trapped, trapped
from tests.speech_files import say

SECONDS = 150


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Trapped]]:
    """The programs of `outbound_traffic.py`, started at the same time because they wait for most of it."""
    folder = tmp_path_factory.mktemp("trap")
    speech = say("I am so happy to see you here today, my friend. What a wonderful surprise this is.")
    clip = make_scenes(folder / "clip.mp4", [(portrait(), 4.0)], speech)
    environment = {name: value for name, value in os.environ.items() if name not in TELEMETRY_OPT_OUTS}
    command = [sys.executable, "-m", "tests.e2e.outbound_traffic"]
    running = {
        name: trapped([*command, name, str(clip)], folder / name, environment)
        for name in ("talkative", "predict", "service")
    }
    yield running
    for each in running.values():
        each.process.kill()
        each.process.wait()


def test_trap_catches_a_lookup_and_a_connection(programs: dict[str, Trapped]) -> None:
    """`tests/soak/test_soak_outbound_traffic.py` shows that it catches onnxruntime by itself too."""
    attempts = programs["talkative"].wait(SECONDS)
    assert attempts.status == 0, attempts.output
    assert "usage.example.com" in {name.rstrip(".") for name in attempts.lookups}
    assert any(target.endswith(":443") for target in attempts.connections)


def test_predict_with_the_default_bundle_sends_nothing(programs: dict[str, Trapped]) -> None:
    attempts = programs["predict"].wait(SECONDS)
    assert attempts.status == 0, attempts.output
    assert (attempts.lookups, attempts.connections) == ([], [])


def test_a_job_of_gateway_and_worker_sends_nothing(programs: dict[str, Trapped]) -> None:
    attempts = programs["service"].wait(SECONDS)
    assert attempts.status == 0, attempts.output
    assert (attempts.lookups, attempts.connections) == ([], [])
