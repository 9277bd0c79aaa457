"""Modes of files, in processes of their own: a test must not change the file mask of all tests."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from workers.protocol.private_files import restrict_folder

ROOT = Path(__file__).parents[3]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def run(code: str, folder: Path) -> str:
    script = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{code}"
    return subprocess.run([sys.executable, "-c", script], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_restrict_process_files_are_private_and_no_core_is_dumped(tmp_path: Path) -> None:
    code = """
import os, resource
from pathlib import Path
from workers.protocol.private_files import restrict_process
restrict_process()
Path("file").touch()
os.makedirs("one/two")
print(max(resource.getrlimit(resource.RLIMIT_CORE)))
child = os.fork() or os.abort()
os.waitpid(child, 0)
"""
    assert int(run(code, tmp_path)) <= 1
    assert (mode(tmp_path / "file"), mode(tmp_path / "one/two")) == (0o600, 0o700)
    assert not [*tmp_path.glob("*core*")]


def test_restrict_folder_takes_access_from_others(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "blobs/jobs").mkdir(parents=True)
    result, foreign = data / "blobs/jobs/result.json", tmp_path / "foreign"
    for path in (result, foreign):
        path.write_text("x")
        path.chmod(0o644)
    (data / "blobs/link").symlink_to(foreign)
    for folder in (data, data / "blobs", data / "blobs/jobs"):
        folder.chmod(0o755)
    restrict_folder(data)
    assert [mode(path) for path in (data, data / "blobs", data / "blobs/jobs", result)] == [0o700, 0o700, 0o700, 0o600]
    assert mode(foreign) == 0o644


def test_restrict_folder_creates_a_private_folder(tmp_path: Path) -> None:
    restrict_folder(tmp_path / "new/data")
    assert mode(tmp_path / "new/data") == 0o700


def test_restrict_folder_leaves_a_shared_folder_and_restricts_what_it_stores(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir(mode=0o755)
    (tmp_path / "other").mkdir(mode=0o755)
    tmp_path.chmod(0o1777)
    restrict_folder(tmp_path)
    assert [mode(tmp_path / name) for name in ("", "blobs", "other")] == [0o1777, 0o700, 0o755]


def test_restrict_folder_of_another_user_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    tmp_path.chmod(0o755)
    monkeypatch.setattr(os, "chmod", refuse)
    restrict_folder(tmp_path)
    assert "chmod -R go-rwx" in caplog.text
