import threading
from contextlib import suppress
from pathlib import Path

import pytest

from workers.protocol.blobs.blobs import BlobStore
from workers.protocol.settings import SharedSettings


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore.from_settings(SharedSettings(data_dir=tmp_path))


def test_a_blob_is_whole_or_not_there(blobs: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), blobs.open_writer("jobs/a/media") as file:
        file.write(b"half")
        raise RuntimeError
    assert blobs.get("jobs/a/media") is None and not [path for path in tmp_path.rglob("*") if path.is_file()]
    blobs.put("jobs/a/media", b"one")
    blobs.put("jobs/a/media", b"two")
    assert blobs.get("jobs/a/media") == b"two"


def test_a_local_blob_is_read_in_place_and_a_remote_one_from_a_copy(blobs: BlobStore, tmp_path: Path) -> None:
    remote = BlobStore("memory://affect-test")
    for store, copied in ((blobs, False), (remote, True)):
        store.put("jobs/a/media", b"bytes")
        with store.as_file("jobs/a/media", tmp_path) as path:
            assert path.read_bytes() == b"bytes" and (path.parent == tmp_path) is copied
        with pytest.raises(FileNotFoundError), store.as_file("jobs/b/media", tmp_path):
            pass


def test_a_delete_takes_all_under_a_prefix_and_nothing_beside_it(blobs: BlobStore) -> None:
    for key in ("jobs/a/media", "jobs/a/result-1.json", "jobs/ab/media"):
        blobs.put(key, b"x")
    blobs.delete("jobs/a")
    blobs.delete("jobs/a")
    assert not blobs.exists("jobs/a") and blobs.exists("jobs/ab/media")


def test_two_may_delete_and_a_third_write_at_once(blobs: BlobStore) -> None:
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
def test_what_was_not_touched_is_told_with_its_names(tmp_path: Path, url: str) -> None:
    blobs = BlobStore(f"file://{tmp_path}" if url == "local" else url)
    assert blobs.find_untouched_jobs(0) == {}
    blobs.put("jobs/a/media", b"x")
    assert blobs.find_untouched_jobs(60) == {}
    assert "media" in blobs.find_untouched_jobs(-60)["a"]
