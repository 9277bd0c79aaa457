"""Writes the locks of the images, `python docker/lock/derive.py`: what an image needs of `cpu.txt`, which holds all.

`gateway.txt`: gateway and io worker, without torch. `worker.txt`: workers with models; torch itself comes with
`install.sh` or `cuda.txt`. Needs a virtual environment into which `cpu.txt` is installed.
"""

import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
EXTRAS = {
    "gateway": ("gateway", "io", "s3", "telemetry", "pages"),
    "worker": ("worker", "io", "s3", "telemetry", "pages"),
}
_HEADS = {
    "gateway": "# Gateway and io worker: no torch. Derived from cpu.txt by derive.py.",
    "worker": "# Workers with models, but for torch itself. Derived from cpu.txt by derive.py.",
}


def pins() -> dict[str, str]:
    """The lines of `cpu.txt`, by name. What it leaves out (of mediapipe's wishes) no image has."""
    lines = [line for line in (HERE / "cpu.txt").read_text().splitlines() if "==" in line and line[0] != "#"]
    return {canonicalize_name(line.partition("==")[0]): line for line in lines}


def wished(extras: Iterable[str]) -> Iterator[Requirement]:
    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text())["project"]
    yield from map(Requirement, project["dependencies"])
    for extra in extras:
        yield from map(Requirement, project["optional-dependencies"][extra])


def closure(requirements: Iterable[Requirement]) -> set[str]:
    """The names of what is required, and of what that requires, as far as it is installed."""
    found: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(each.name), extra) for each in requirements for extra in ("", *each.extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        try:
            further = [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:
            continue
        found.add((name, extra))
        for each in further:
            if each.marker is None or each.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(each.name), wish) for wish in ("", *each.extras)]
    return {name for name, _ in found}


def derived(image: str) -> str:
    """The content of an image's lock."""
    names, pinned = closure(wished(EXTRAS[image])), pins()
    lines = [line for name, line in pinned.items() if name in names]
    return "\n".join([_HEADS[image], *lines]) + "\n"


if __name__ == "__main__":
    for image in EXTRAS:
        (HERE / f"{image}.txt").write_text(derived(image))
