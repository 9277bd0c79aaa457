"""Processes refuse to start on a Redis with job data in an unknown layout."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from app.main import create_app
from app.settings import Settings
from workers.protocol.store.job_store import UnsupportedLayout

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def other_layout(redis: Redis) -> None:
    redis.set("affect:layout", b"3")


def test_gateway_unknown_layout_does_not_start(url: str, tmp_path: Path) -> None:
    app = create_app(Settings(redis_url=url, data_dir=tmp_path))

    async def start() -> None:
        async with app.router.lifespan_context(app):
            pytest.fail("it started")

    with pytest.raises(UnsupportedLayout):
        asyncio.run(start())


def test_worker_unknown_layout_does_not_start(url: str, tmp_path: Path) -> None:
    environment = {**os.environ, "AFFECT_REDIS_URL": url, "AFFECT_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "workers", "--kinds", "io"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and "layout 3" in ended.stderr and "Traceback" not in ended.stderr
