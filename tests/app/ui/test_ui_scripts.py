"""Unit tests of the page's scripts, run by node's own test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = sorted((Path(__file__).parents[3] / "app" / "ui" / "tests").glob("*.test.js"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_page_scripts_pass(path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node (`make test` installs it)")
    run = subprocess.run([node, "--test", path], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
