"""The Lua scripts of the job store, loaded into a real Redis."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from redis import Redis

from workers.protocol.store.scripts import FOLDER, load

NAMES = sorted(
    str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.lua") if path.parent.name != "include"
)


def test_load_names_every_script() -> None:
    assert len(NAMES) == 30 and {name.partition("/")[0] for name in NAMES} == {
        "idempotency",
        "jobs",
        "streams",
        "webhooks",
    }


@pytest.mark.parametrize("name", NAMES)
def test_load_gives_text_that_redis_compiles(name: str, redis: Redis) -> None:
    text = load(name)
    assert "{{" not in re.sub(r"--.*", "", text) and "-- include:" not in text
    assert redis.script_load(text)


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.lua")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_script_file_has_a_heading_and_short_lines(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("-- ") and max(map(len, lines)) <= 120


def test_every_script_file_is_package_data() -> None:
    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["workers.protocol.store"]
    packaged = {path for pattern in patterns for path in FOLDER.parent.glob(pattern)}
    assert packaged == set(FOLDER.rglob("*.lua"))


@pytest.mark.skipif(shutil.which("luac") is None, reason="luac is not installed")
def test_load_gives_text_that_luac_parses() -> None:
    for name in NAMES:
        subprocess.run(["luac", "-p", "-"], input=load(name).encode(), check=True)
