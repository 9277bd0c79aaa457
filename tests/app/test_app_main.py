"""How the gateway's command starts the server."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from app.__main__ import main
from app.main import create_app
from app.settings import Settings

ROOT = Path(__file__).parents[2]


def test_gateway_processes_may_take_a_minute_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda *_, **options: given.update(options))
    monkeypatch.setattr("sys.argv", ["app"])
    monkeypatch.setenv("AFFECT_GATEWAY_PROCESSES", "4")
    main()
    assert given["workers"] == 4 and given["timeout_worker_healthcheck"] >= 60


def test_gateway_states_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert create_app(Settings()).version == project["version"]
