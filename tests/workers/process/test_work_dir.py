import subprocess
import sys
import tempfile
from pathlib import Path

from workers.process.work_dir import WorkDir

ROOT = Path(__file__).parents[3]
HOLD = """
import sys, tempfile
from pathlib import Path
from workers.process.work_dir import WorkDir
work_dir = WorkDir(Path(sys.argv[1]))
Path(tempfile.mkdtemp(), "pcm").write_bytes(b"x")
print(work_dir.path, flush=True)
sys.stdin.read()
"""


def test_work_dir_abandoned_by_a_killed_process_is_removed(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    theirs = Path(other.stdout.readline().strip())
    mine = WorkDir(tmp_path)
    try:
        assert mine.path != theirs and [*theirs.glob("*/pcm")]
        other.kill()
        other.communicate()
        third = WorkDir(tmp_path)
        assert not theirs.exists() and mine.path.is_dir()
        assert tempfile.gettempdir() == str(third.path)
        third.remove()
    finally:
        mine.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    assert Path(tempfile.gettempdir()).is_dir()


def test_work_dirs_of_several_workers_share_a_folder_and_a_start_removes_those_of_all_killed(tmp_path: Path) -> None:
    """The volume /scratch of all workers of a host, each killed as a host that loses power kills them."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    workers = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    folders = [Path((worker.stdout.readline() if worker.stdout else "").strip()) for worker in workers]
    assert all(folder.is_dir() for folder in folders) and len(set(folders)) == 3
    for worker in workers:
        worker.kill()
        worker.communicate()
    assert all([*folder.glob("*/pcm")] for folder in folders)
    WorkDir(tmp_path).remove()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
