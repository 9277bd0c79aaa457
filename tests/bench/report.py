"""The figures as a table, as JSON and as a picture."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib
import torch

from ml.cpu import cpu_count
from tests.bench.timing import Figure

matplotlib.use("Agg")


def machine() -> dict[str, Any]:
    """Where it was measured."""
    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    flags = next((line.split() for line in told.splitlines() if line.startswith("flags")), [])
    return {
        "cores": cpu_count(),
        "cores_there": os.cpu_count(),
        "processor": platform.machine(),
        "avx512_bf16": "avx512_bf16" in flags,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def commit() -> str:
    """With `-dirty` where files differ from it; empty outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True).stdout.strip()


def table(figures: Sequence[Figure]) -> str:
    """Markdown."""
    lines = ["| Figure | Median | Least … most | Floor | Aim | |", "|---|---:|---:|---:|---:|---|"]
    for figure in figures:
        bounds = ("" if bound is None else f"{bound:g}" for bound in (figure.floor, figure.aim))
        median, spread = f"{figure.median:.3g} {figure.unit}", f"{figure.least:.3g} … {figure.most:.3g}"
        lines.append(f"| {' | '.join([figure.name, median, spread, *bounds, figure.verdict])} |")
    return "\n".join(lines)


def write(folder: Path, name: str, figures: Sequence[Figure], machine: dict[str, Any]) -> None:
    """Puts the figures of one name into `bench.json`, in the place of its earlier ones, and plots all that it holds."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "bench.json"
    entries = json.loads(path.read_text()).get("entries", {}) if path.exists() else {}
    entries[name] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine,
        "figures": [figure.json() for figure in figures],
    }
    path.write_text(json.dumps({"entries": entries}, indent=2, ensure_ascii=False) + "\n")
    _plot(folder / "bench.png", [Figure.read(each) for entry in entries.values() for each in entry["figures"]])


def _plot(path: Path, figures: Sequence[Figure]) -> None:
    """Each unit's figures beside each other."""
    from matplotlib import pyplot

    units = list(dict.fromkeys(figure.unit for figure in figures))
    heights = [sum(figure.unit == unit for figure in figures) + 1 for unit in units]
    picture, axes = pyplot.subplots(
        len(units), figsize=(10, 0.32 * sum(heights) + len(units)), squeeze=False, height_ratios=heights
    )
    for unit, axis in zip(units, axes[:, 0], strict=True):
        shown = [figure for figure in figures if figure.unit == unit][::-1]
        axis.barh([figure.name for figure in shown], [figure.median for figure in shown], color="#4477aa")
        for row, figure in enumerate(shown):
            axis.plot([figure.least, figure.most], [row, row], color="#222222")
            for bound, colour in ((figure.floor, "#cc3311"), (figure.aim, "#228833")):
                if bound is not None:
                    axis.plot([bound, bound], [row - 0.4, row + 0.4], color=colour)
        axis.set_xlabel(unit)
    picture.tight_layout()
    picture.savefig(path, dpi=110)
    pyplot.close(picture)
