"""docker-compose.yml, as far as it can be held without a Docker engine: its schema, its promises, its commands."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from redis import Redis, RedisError

from app.settings import Settings
from tests.app.conftest import eventually
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
MODELS = [name for name in OURS if name not in ("gateway", "io")]
_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


def filled(text: str) -> str:
    """With the default of each variable, as Compose fills it in."""
    return _VARIABLE.sub(lambda match: match[2], text).replace("$$", "$")


def test_it_fits_the_schema_of_compose() -> None:
    schema = json.loads((ROOT / "tests" / "docker" / "compose_spec.json").read_text())
    jsonschema.Draft7Validator(schema).validate(COMPOSE)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True and service["healthcheck"]["test"]
    assert {"cpus", "memory"} <= service["deploy"]["resources"]["limits"].keys() and service["pids_limit"]
    assert all("PASSWORD" not in key or key.endswith("FILE") for key in service.get("environment", {}))
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & service.keys()
    assert all(
        str(mount).startswith(("./docker/", "/")) or mount.split(":")[0] in COMPOSE["volumes"]
        for mount in service.get("volumes", ())
    )
    assert set(service.get("secrets", ())) <= COMPOSE["secrets"].keys()


def test_only_gateway_and_grafana_are_published_and_only_to_this_host_by_default() -> None:
    published = {
        name: [filled(port) for port in service["ports"]] for name, service in SERVICES.items() if "ports" in service
    }
    assert published == {"gateway": ["127.0.0.1:8000:8000"], "grafana": ["127.0.0.1:3000:3000"]}


def test_workers_with_models_redis_and_prometheus_have_no_way_out() -> None:
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    inside = {name for name, service in SERVICES.items() if service["networks"] == ["inside"]}
    assert inside == {*MODELS, "redis", "prometheus"}


def test_gpu_workers_reserve_a_gpu_and_the_others_are_chosen_by_a_profile() -> None:
    gpus = {name for name in MODELS if "reservations" in SERVICES[name]["deploy"]["resources"]}
    assert gpus == {"worker", "live"} == {name for name in MODELS if "profiles" not in SERVICES[name]}
    for name in gpus:
        (device,) = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The folder that docker/secrets.sh makes, and what it says."""
    folder = tmp_path_factory.mktemp("docker")
    shutil.copy(ROOT / "docker" / "secrets.sh", folder)
    said = [
        subprocess.run(["bash", "secrets.sh", "ann"], cwd=folder, check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    ]
    assert said[1] == ""  # nothing is made twice
    yield folder / "secrets", said[0]


def test_each_service_of_ours_starts_with_the_settings_that_it_is_given(
    secrets: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, said = secrets
    key = said.strip().rpartition(" ")[2]
    assert {f"./docker/secrets/{name}" for name in os.listdir(folder)} == {
        each["file"] for each in COMPOSE["secrets"].values()
    }
    for name in OURS:
        service = SERVICES[name]
        with monkeypatch.context() as patch:
            for variable, value in service["environment"].items():
                patch.setenv(variable, filled(value).replace("/run/secrets", str(folder)))
            files = [value for value in service["environment"].values() if value.startswith("/run/secrets/")]
            assert {Path(file).name for file in files} == {*service["secrets"]}
            module, *options = service.get("command", ["python", "-m", "app"])[2:]
            if module == "app":
                settings = Settings()
                assert [(kept.name, kept.digest) for kept in settings.api_keys] == [
                    ("ann", sha256(key.encode()).digest())
                ]
                assert settings.host == "0.0.0.0"
            else:
                assert (module, options[0]) == ("workers", "--kinds")
                worker = WorkerSettings(worker_kinds=options[1])
                assert worker.needs_models == (name in MODELS)
                assert worker.redis_url.endswith("@redis:6379/0") and worker.metrics_port == 9100


def test_redis_starts_by_its_command_with_password_and_every_write_on_the_disk(
    secrets: tuple[Path, str], tmp_path: Path
) -> None:
    socket = tmp_path.parent / "r.sock" if len(str(tmp_path)) > 80 else tmp_path / "r.sock"
    config = (ROOT / "docker" / "redis.conf").read_text().replace("dir /data", f"dir {tmp_path}")
    (tmp_path / "given.conf").write_text(f"{config}port 0\nunixsocket {socket}\n")
    shell, option, script = map(filled, SERVICES["redis"]["command"])
    for inside, outside in (
        ("/etc/affect/redis.conf", tmp_path / "given.conf"),
        ("/run/secrets", secrets[0]),
        ("/tmp/redis.conf", tmp_path / "redis.conf"),
    ):
        assert inside in script
        script = script.replace(inside, str(outside))
    password = (secrets[0] / "redis_password").read_text().strip()
    server = subprocess.Popen([shell, option, script], stdout=subprocess.DEVNULL)
    try:
        with Redis(unix_socket_path=str(socket), password=password) as client:
            assert eventually(socket.exists, 20) and client.ping()
            told = client.config_get("*")
            assert told["appendfsync"] == "always" and told["appendonly"] == "yes"
            assert told["maxmemory-policy"] == "noeviction"
        with Redis(unix_socket_path=str(socket)) as stranger, pytest.raises(RedisError, match=r"(?i)authenticat"):
            stranger.ping()
        assert (tmp_path / "redis.conf").stat().st_mode & 0o077 == 0
    finally:
        server.terminate()
        server.wait(20)
