"""What all tests share: threads, the mark `slow`, the order of the files, and a small analyzer."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ml.inference.pipeline.analyzer import Analyzer

# Read by OpenMP when torch is first imported. Threads that compete for cores, or spin, make tests ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

SLOW_PLACES = (
    "tests/app/http/test_connections.py",
    "tests/bench/",
    "tests/e2e/",
    "tests/ml/explanation/",
    "tests/ml/inference/pipeline/test_analyzer.py",
    "tests/ml/media/test_media_decoder.py",
    "tests/ml/media/test_media_hostile.py",
    "tests/ml/rendering/test_rendered_video.py",
    "tests/ml/test_predict_command.py",
    "tests/ml/training/recipes/face/test_face_recipe.py",
    "tests/ml/training/recipes/text/test_text_recipe.py",
    "tests/ml/training/test_evaluation.py",
    "tests/ml/training/test_preprocess.py",
    "tests/ml/training/test_training_cli.py",
    "tests/workers/test_worker_main.py",
)
"""Folders and files in which every test is slow."""
SLOW_FIXTURES = frozenset({"analyzer", "transcriber", "whisper"})
"""Fixtures that load a speech model."""
GROUPS = {
    "service": (
        "tests/e2e/test_e2e_artifacts.py",
        "tests/e2e/test_e2e_bad_input.py",
        "tests/e2e/test_e2e_job.py",
        "tests/e2e/test_e2e_live.py",
        "tests/e2e/test_e2e_page.py",
        "tests/e2e/test_e2e_telemetry.py",
    ),
    "published models": (
        "tests/bench/test_bench.py",
        "tests/bench/test_golden.py",
        "tests/ml/explanation/test_attributions.py",
        "tests/ml/inference/pipeline/test_loaded_bundle.py",
        "tests/ml/inference/runtime/test_cuda_graphs.py",
        "tests/test_model_store.py",
    ),
}
"""Files that one process runs, because they share a running service or loaded models."""
LONG_FILES = (
    "tests/e2e/test_e2e_chaos.py",
    "tests/ml/inference/pipeline/test_extract_and_reuse.py",
    "tests/ml/training/test_training_cli.py",
    "tests/e2e/test_e2e_long.py",
    "tests/ml/media/test_media_hostile.py",
    "tests/ml/media/test_media_decoder.py",
    "tests/ml/training/test_preprocess.py",
    "tests/workers/process/test_supervisor.py",
    "tests/ml/test_predict_command.py",
)
"""Files that take longest. They start after those of `GROUPS`, so that no process waits for another at the end."""

_FILE_MASK = os.umask(0o022)
os.umask(_FILE_MASK)
_SCOPES = {path: name for name, paths in GROUPS.items() for path in paths}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Restore what tests change for the whole process: the number of torch's threads, and the file mask.

    Commands that tests of `ml` start recognize speech with the smallest model. Services choose theirs themselves.
    """
    os.umask(_FILE_MASK)
    if item.nodeid.startswith(("tests/ml/", "tests/bench/")):
        os.environ["AFFECT_WHISPER_MODEL"] = "tiny.en"
    else:
        os.environ.pop("AFFECT_WHISPER_MODEL", None)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out places in which every test is slow when slow tests are not asked for: their imports take seconds."""
    if config.option.markexpr != "not slow" or not collection_path.is_relative_to(config.rootpath):
        return None
    path = collection_path.relative_to(config.rootpath).as_posix()
    return True if f"{path}/".startswith(SLOW_PLACES) or path in SLOW_PLACES else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow tests, and sort the files: first the groups, then long files, then the others."""
    ranks = {path: rank for rank, path in enumerate((*_SCOPES, *LONG_FILES))}
    items.sort(key=lambda item: ranks.get(_path(item.nodeid), len(ranks)))
    for item in items:
        if item.nodeid.startswith(SLOW_PLACES) or SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Distribute whole files, or groups of them, in the order of the collection."""
    from xdist.scheduler import LoadFileScheduling

    class FilesInOrder(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _SCOPES.get(_path(nodeid), _path(nodeid))

    config.option.loadscopereorder = False  # it would begin with the files of many tests, whatever they take
    return FilesInOrder(config, log)


def _path(nodeid: str) -> str:
    return nodeid.partition("::")[0]


@pytest.fixture(scope="session")
def analyzer(tmp_path_factory: pytest.TempPathFactory) -> "Analyzer":
    """Analyzer with the small models of `tests.toy_models`, and Whisper. A test must not change it."""
    from tests.toy_models import make_analyzer

    return make_analyzer(tmp_path_factory.mktemp("store"))
