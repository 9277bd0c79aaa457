"""Blobs in an object store, over HTTP; and the errors of a store that fails."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.s3_server import BUCKET, denying_server, keys, s3_server
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.blobs.storage_backend import (
    BLOCK_BYTES,
    StorageError,
    StorageFull,
    free_bytes,
    open_file_system,
    translate_errors,
)


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch, s3_server(monkeypatch):
        yield


@pytest.fixture
def blobs(server: None) -> Iterator[BlobStore]:
    blobs = BlobStore(f"s3://{BUCKET}/some/folder")
    yield blobs
    blobs.delete("jobs")


def test_open_writer_blob_is_complete_or_absent(blobs: BlobStore) -> None:
    for size in (10, 2 * BLOCK_BYTES + 1):  # in one request, and in parts
        with pytest.raises(RuntimeError), blobs.open_writer("jobs/a/media/0") as file:
            file.write(bytes(size))
            raise RuntimeError
        assert keys() == []
        blobs.put("jobs/a/media/0", bytes(size))
        blobs.put("jobs/a/media/0", b"two")
        assert blobs.get("jobs/a/media/0") == b"two" and blobs.get("jobs/a/media") is None
        blobs.delete("jobs/a")
        assert keys() == []


def test_open_writer_holds_only_blocks_in_memory(blobs: BlobStore, tmp_path: Path) -> None:
    block = os.urandom(2**20)
    with blobs.open_writer("jobs/a/media/0") as file:
        for number in range(64):
            assert file.tell() == number * len(block)
            file.write(block)
            assert file.buffer.tell() <= 2 * BLOCK_BYTES  # type: ignore[attr-defined]
    with blobs.as_file("jobs/a/media/0", tmp_path) as path:
        assert path.parent == tmp_path and path.read_bytes() == block * 64


def test_as_file_copy_stops_when_check_raises(blobs: BlobStore, tmp_path: Path) -> None:
    def check() -> None:
        raise InterruptedError

    blobs.put("jobs/a/media/0", b"media")
    with pytest.raises(InterruptedError), blobs.as_file("jobs/a/media/0", tmp_path, check):
        pass
    with pytest.raises(FileNotFoundError), blobs.as_file("jobs/b/media/0", tmp_path):
        pass


def test_blob_store_sees_changes_of_other_processes(blobs: BlobStore) -> None:
    other = BlobStore(f"s3://{BUCKET}/some/folder")
    assert not blobs.exists("jobs/a/media/0") and blobs.find_untouched_jobs(0) == {}
    other.put("jobs/a/media/0", b"media")
    assert blobs.exists("jobs/a/media/0") and blobs.exists("jobs/a")
    assert blobs.find_untouched_jobs(60) == {} and "media/0" in blobs.find_untouched_jobs(-60)["a"]
    other.delete("jobs/a")
    blobs.delete("jobs/a")
    assert not blobs.exists("jobs/a/media/0") and blobs.get("jobs/a/media/0") is None


def check_fault(blobs: BlobStore) -> None:
    """Check that reading and writing raise a storage error, without the location of the store."""
    for act in (
        lambda: blobs.put("jobs/a/media/0", b"media"),
        lambda: blobs.put("jobs/a/media/0", bytes(2 * BLOCK_BYTES)),
        lambda: blobs.get("jobs/a/media/0"),
    ):
        with pytest.raises(StorageError) as caught:
            act()
        assert caught.value.code == "storage_unavailable" and caught.value.retryable
        assert caught.value.message == "The storage is unavailable. Try again soon."


def test_blob_store_missing_bucket_is_unavailable(server: None) -> None:
    check_fault(BlobStore("s3://nowhere/folder"))


def test_blob_store_denied_bucket_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    with denying_server(monkeypatch):
        check_fault(BlobStore("s3://denied/folder"))


@pytest.mark.parametrize(
    ("number", "code"),
    [(28, "storage_full"), (122, "storage_full"), (13, "storage_unavailable"), (5, "storage_unavailable")],
)
def test_translate_errors_maps_error_numbers_to_codes(number: int, code: str) -> None:
    def act() -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(StorageError) as caught:
        translate_errors(act)
    assert caught.value.code == code


def test_translate_errors_keeps_missing_files_and_bugs(tmp_path: Path) -> None:
    files, _ = open_file_system(f"file://{tmp_path}")
    with pytest.raises(FileNotFoundError):
        files.cat_file(str(tmp_path / "nothing"))
    with pytest.raises(TypeError):
        files.cat_file()


def test_free_bytes_of_a_missing_folder_is_known(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "yet") > 0
    place = f"file://{tmp_path / 'blobs'}"
    assert BlobStore(place, 1).has_free_space() and not BlobStore(place, 2**60).has_free_space()
    assert BlobStore("memory://room", 2**60).has_free_space()


def test_open_writer_without_free_space_is_rejected_only_if_checked(tmp_path: Path) -> None:
    blobs = BlobStore(f"file://{tmp_path}", 2**60)
    with pytest.raises(StorageFull), blobs.open_writer("jobs/a/media", check_free_space=True) as file:
        file.write(b"media")
    blobs.put("jobs/a/result-1.json", b"{}")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["result-1.json"]


def test_open_writer_on_a_full_disk_raises_storage_full(tmp_path: Path) -> None:
    """A device that is always full."""
    blobs = BlobStore(f"file://{tmp_path}")
    (tmp_path / "jobs" / "a").mkdir(parents=True)
    for size in (2**20, 1):  # the error comes at the write, and only at the end
        (tmp_path / "jobs" / "a" / "media.part").symlink_to("/dev/full")
        with pytest.raises(StorageFull), blobs.open_writer("jobs/a/media") as file:
            file.write(bytes(size))
    assert not blobs.exists("jobs/a/media")
