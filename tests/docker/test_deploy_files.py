"""What `make deploy-test` is made of, as far as it can be held without a Docker engine."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.deploy.__main__ import PEER_NETWORK, operations_commands
from tests.docker.test_compose import COMMON, ON_CPU, ROOT, compose

SCRIPTS = sorted([*(ROOT / "docker").glob("*.sh"), *(ROOT / "tests" / "deploy").glob("*.sh")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shell_script_is_valid(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)


def test_operations_page_has_the_commands_of_back_up_and_restore() -> None:
    back_up, restore = operations_commands()
    assert "redis.tar" in back_up and "blobs.tar" in back_up
    for line in (*back_up.splitlines(), *restore.splitlines()):
        if " tar " in line:
            assert " -T " in line, "a terminal would change the bytes"
    assert restore.index("redis.tar") < restore.index("blobs.tar") < restore.index("docker compose up -d")


def test_deployment_test_adds_a_peer_outside_and_nothing_else() -> None:
    override = ("--file", str(ROOT / "tests" / "deploy" / "compose.yml"))
    chosen = {
        "COMPOSE_PROFILES": "cpu",
        "AFFECT_IMAGE": "affect",
        "AFFECT_FIRST_VERSION": "1",
        "PEER_PORT": "18081",
        "PEER_NETWORK": PEER_NETWORK,
    }
    config = json.loads(compose(*override, "config", "--format", "json", **chosen))
    assert set(config["services"]) == COMMON | ON_CPU | {"peer"}
    assert set(config["services"]["peer"]["networks"]) == {"outside"}
    assert config["networks"]["inside"]["internal"] is True
