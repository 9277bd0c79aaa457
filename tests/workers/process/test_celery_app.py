"""What the processes of a worker share."""

import multiprocessing.synchronize
import os

import pytest

from workers.process.celery_app import SharedFlag, Worker
from workers.protocol.broker import make_celery
from workers.settings import WorkerSettings


def test_shared_flag_set_after_a_fork_is_seen_in_the_child() -> None:
    flag = SharedFlag()

    def wait() -> None:
        while not flag.is_set():
            os.sched_yield()

    child = multiprocessing.get_context("fork").Process(target=wait)
    child.start()
    assert not flag.is_set()
    flag.set()
    child.join(60)
    assert child.exitcode == 0


def test_worker_shutdown_reaches_its_children_without_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is killed while it holds a lock of several processes holds it for ever."""
    monkeypatch.setattr(multiprocessing.synchronize.SemLock, "__init__", lambda *_, **__: pytest.fail("a lock"))
    settings = WorkerSettings()
    worker = Worker(make_celery(settings), settings)
    stopping = worker.runner_config.stopping
    assert not stopping.is_set()
    worker.shut_down()
    assert stopping.is_set()
