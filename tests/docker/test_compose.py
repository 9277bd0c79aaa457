"""docker-compose.yml, as far as it can be held without a Docker engine: Compose reads it; its promises, its commands.
`make deploy-test` runs it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

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
COMMON = {"gateway", "grafana", "io", "prometheus", "redis"}
ON_GPU, ON_CPU = {"worker", "live"}, {"worker-cpu", "live-cpu"}
LIMITS = {"cpus", "memory", "pids"}
EXAMPLE = (ROOT / ".env.example").read_text()
_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


def filled(text: str) -> str:
    """With the default of each variable, as Compose fills it in."""
    return _VARIABLE.sub(lambda match: match[2], text).replace("$$", "$")


def compose(*arguments: str, folder: Path = ROOT, **environment: str) -> str:
    """Runs Docker Compose on the file, without a Docker engine; what it prints."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [Path(sys.executable).parent / "docker-compose", "--file", ROOT / "docker-compose.yml", *arguments]
    done = subprocess.run(command, cwd=folder, env=inherited | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("profile", "workers"),
    [(None, ON_GPU), ("", ON_GPU), ("gpu", ON_GPU), ("cpu", ON_CPU), ("gpu,cpu", ON_GPU | ON_CPU)],
)
def test_compose_accepts_the_file_and_a_profile_chooses_the_workers(
    profile: str | None, workers: set[str], tmp_path: Path
) -> None:
    chosen = {} if profile is None else {"COMPOSE_PROFILES": profile}
    compose("--env-file", "/dev/null", "config", "--quiet", **chosen)
    services = compose("--env-file", "/dev/null", "config", "--services", **chosen).split()
    assert set(services) == COMMON | workers


def test_compose_limits_are_settings_and_a_host_with_few_cores_starts_every_service() -> None:
    default = json.loads(compose("--env-file", "/dev/null", "--profile", "*", "config", "--format", "json"))
    for name, service in default["services"].items():
        limits = service["deploy"]["resources"]["limits"]
        assert limits.keys() >= {"memory", "pids"} and not limits.get("cpus"), name
        assert "pids_limit" not in service, "Compose refuses it in addition to the limit"
    chosen = {"WORKER_CPUS": "1.5", "WORKER_MEMORY": "3g"}
    configured = json.loads(compose("--profile", "cpu", "config", "--format", "json", **chosen))
    limits = configured["services"]["worker-cpu"]["deploy"]["resources"]["limits"]
    assert (limits["cpus"], limits["memory"]) == (1.5, str(3 * 2**30))


def test_compose_images_are_named_and_versioned_by_settings() -> None:
    chosen = {"AFFECT_IMAGE": "registry.example/affect", "AFFECT_VERSION": "1.2.3", "COMPOSE_PROFILES": "cpu"}
    services = json.loads(compose("config", "--format", "json", **chosen))["services"]
    images = {name: service["image"] for name, service in services.items() if "build" in service}
    assert images == {
        "gateway": "registry.example/affect-gateway:1.2.3",
        "io": "registry.example/affect-gateway:1.2.3",
        "worker-cpu": "registry.example/affect-worker-cpu:1.2.3",
        "live-cpu": "registry.example/affect-worker-cpu:1.2.3",
    }
    assert {services[name]["build"]["args"]["VERSION"] for name in images} == {"1.2.3"}


def test_env_example_shows_every_variable_with_its_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    shown = dict(line.lstrip("#").split("=", 1) for line in EXAMPLE.splitlines() if re.match(r"#?[A-Z_]+=", line))
    read = dict(_VARIABLE.findall(text.replace("${WORKER_MEMORY:-16g}", "${WORKER_MEMORY:-}")))
    read["WORKER_MEMORY"] = ""  # differs by profile
    assert shown == read | {"COMPOSE_PROFILES": "gpu"}
    assert not re.search(r"^[A-Z]", EXAMPLE, re.MULTILINE), "a copy changes nothing"


def test_decoded_media_stays_in_the_named_volume_that_each_start_sweeps() -> None:
    for name in OURS:
        if name == "gateway":  # decodes nothing
            assert "scratch:/scratch" not in SERVICES[name]["volumes"] and "/scratch" in SERVICES[name]["tmpfs"]
        else:
            assert "scratch:/scratch" in SERVICES[name]["volumes"]
        assert all(":" in mount for mount in SERVICES[name]["volumes"]), "an anonymous volume stays behind"


def test_health_says_what_a_service_can_do() -> None:
    for name in OURS:
        test = SERVICES[name]["healthcheck"]["test"]
        assert test[:4] == ["CMD", "python", "-m", "workers.process.probe"]
        assert test[4:] == (["http://127.0.0.1:8000/readyz", "--except", "workers"] if name == "gateway" else [])


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True and service["healthcheck"]["test"]
    assert service["deploy"]["resources"]["limits"].keys() == LIMITS and "pids_limit" not in service
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


def test_gpu_workers_reserve_a_gpu_and_the_others_do_not() -> None:
    gpus = {name for name in MODELS if "reservations" in SERVICES[name]["deploy"]["resources"]}
    assert gpus == ON_GPU == {name for name in MODELS if "gpu" in SERVICES[name]["profiles"]}
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


@pytest.mark.slow
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
