"""The service against its own OpenAPI document: schemathesis, with every check, every phase, and keys.

`AFFECT_CONTRACT_EXAMPLES`: how many cases of each operation are made up (10); `AFFECT_CONTRACT_SEED`: which (1).
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from app.services import webhooks
from tests.app.calls import KEYS, bearer
from tests.app.conftest import PNG, Gateway, OpenGateway
from tests.app.fake_workers import FACE, worker
from tests.ml.reports.made_results import video
from workers.protocol.blob_keys import artifact_key, result_key
from workers.protocol.store import worker_registry
from workers.protocol.store.job_store import LeaseLost

ROOT = Path(__file__).parents[2]
EXAMPLES = os.environ.get("AFFECT_CONTRACT_EXAMPLES", "10")
SEED = os.environ.get("AFFECT_CONTRACT_SEED", "1")


def work(gateway: Gateway, ended: threading.Event) -> None:
    """In place of a worker: each job succeeds at once, with a result and an artifact."""
    result = video().result.model_dump_json().encode()
    while not ended.wait(0.01):
        for claim in (gateway.job_store.claim(), gateway.job_store.claim("io")):
            if claim is not None:
                with suppress(LeaseLost, FileNotFoundError):  # it was deleted, maybe while this was written
                    gateway.blobs.put(result_key(claim.job_id, claim.token), result)
                    gateway.blobs.put(artifact_key(claim.job_id, claim.token, "summary.png"), PNG)
                    gateway.job_store.finish(claim, "succeeded")


@pytest.fixture
def gateway(open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setenv("AFFECT_API_KEYS", KEYS)
    monkeypatch.setenv("AFFECT_WEBHOOK_SECRETS", "ann:whsec_" + "YWZmZWN0" * 4)
    monkeypatch.setattr(webhooks, "TEST_TIMEOUT_SECONDS", 0.05)  # nobody sends them
    monkeypatch.setattr(worker_registry, "LEASE_SECONDS", 3600)
    gateway = open_gateway(headers=bearer("new"))
    gateway.worker_registry.heartbeat(worker("a", FACE))
    ended = threading.Event()
    thread = threading.Thread(target=work, args=(gateway, ended))
    thread.start()
    yield gateway
    ended.set()
    thread.join()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_service_conforms_to_openapi_document(gateway: Gateway, tmp_path: Path) -> None:
    job_id = gateway.made(options='{"keep_media": true}')
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "SCHEMATHESIS_HOOKS": "tests.app.contract_hooks",
        "AFFECT_CONTRACT_JOB": job_id,
    }
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{gateway.client.base_url}/openapi.json"]
    command += ["--checks", "all", "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", EXAMPLES]
    command += ["--header", "Authorization: Bearer new", "--seed", SEED, "--suppress-health-check", "all"]
    command += ["--output-sanitize", "false", "--no-color", "--request-timeout", "90"]  # a poll may wait for 60 s
    command += ["--exclude-path-regex", "^/v0/"]  # Hume's shape, which its SDK checks (`tests/e2e/test_e2e_hume.py`)
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-2000:]
    paths = gateway.client.get("/openapi.json").json()["paths"]
    total = sum(map(len, paths.values()))
    selected = sum(len(item) for path, item in paths.items() if not path.startswith("/v0/"))
    assert f"{selected} selected / {total} total" in ran.stdout
