"""What all tests share: threads, the mark `slow`, the order of the files, and a small analyzer."""

import os
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ml.inference.pipeline.analyzer import Analyzer

# Read by OpenMP when torch is first imported. Threads that compete for cores, or spin, make tests ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Let torch run on one thread again. Whisper and trainings change the number for the whole process."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def analyzer(tmp_path_factory: pytest.TempPathFactory) -> "Analyzer":
    """Analyzer with the small models of `tests.toy_models`, and Whisper. A test must not change it."""
    from tests.toy_models import make_analyzer

    return make_analyzer(tmp_path_factory.mktemp("store"))
