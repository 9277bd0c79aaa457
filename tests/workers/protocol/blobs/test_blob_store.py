import threading
from contextlib import suppress
from pathlib import Path

import pytest

from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.settings import SharedSettings


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore.from_settings(SharedSettings(data_dir=tmp_path))


def test_open_writer_blob_is_complete_or_absent(blobs: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), blobs.open_writer("jobs/a/media") as file:
        file.write(b"half")
        raise RuntimeError
    assert blobs.get("jobs/a/media") is None and not [path for path in tmp_path.rglob("*") if path.is_file()]
    blobs.put("jobs/a/media", b"one")
    blobs.put("jobs/a/media", b"two")
    assert blobs.get("jobs/a/media") == b"two"


def test_as_file_local_blob_is_itself_remote_blob_is_a_copy(blobs: BlobStore, tmp_path: Path) -> None:
    remote = BlobStore("memory://affect-test")
    for store, copied in ((blobs, False), (remote, True)):
        store.put("jobs/a/media", b"bytes")
        with store.as_file("jobs/a/media", tmp_path) as path:
            assert path.read_bytes() == b"bytes" and (path.parent == tmp_path) is copied
        with pytest.raises(FileNotFoundError), store.as_file("jobs/b/media", tmp_path):
            pass


def test_delete_removes_exactly_the_prefix(blobs: BlobStore) -> None:
    for key in ("jobs/a/media", "jobs/a/result-1.json", "jobs/ab/media"):
        blobs.put(key, b"x")
    blobs.delete("jobs/a")
    blobs.delete("jobs/a")
    assert not blobs.exists("jobs/a") and blobs.exists("jobs/ab/media")


def test_delete_concurrent_with_delete_and_write_succeeds(blobs: BlobStore) -> None:
    errors: list[BaseException] = []
    together = threading.Barrier(3)

    def delete(job: int) -> None:
        together.wait()
        blobs.delete(f"jobs/{job}")

    def write(job: int) -> None:
        together.wait()
        with suppress(OSError):  # its folder goes
            blobs.put(f"jobs/{job}/result-1.json", b"x")

    def run(act: object, job: int) -> None:
        try:
            act(job)  # type: ignore[operator]
        except BaseException as error:
            errors.append(error)

    for job in range(100):
        for name in "abcdefgh":
            blobs.put(f"jobs/{job}/{name}", b"x")
        threads = [threading.Thread(target=run, args=(act, job)) for act in (delete, delete, write)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []


@pytest.mark.parametrize("url", ["local", "memory://affect-age"])
def test_find_untouched_jobs_returns_names(tmp_path: Path, url: str) -> None:
    blobs = BlobStore(f"file://{tmp_path}" if url == "local" else url)
    assert blobs.find_untouched_jobs(0) == {}
    blobs.put("jobs/a/media", b"x")
    assert blobs.find_untouched_jobs(60) == {}
    assert "media" in blobs.find_untouched_jobs(-60)["a"]
