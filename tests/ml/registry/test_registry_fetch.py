import contextlib
import hashlib
import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from faster_whisper import utils as faster_whisper_utils
from huggingface_hub import constants, file_download

from ml.__main__ import main
from ml.errors import FetchFailed
from ml.inference.speech.whisper_files import find_whisper, whisper_licence
from ml.registry.fetch import WHISPER_REPOSITORIES, WhisperSource, fetch_whisper
from tests.hub_server import FakeHub, serving

REPOSITORY = "Systran/faster-whisper-tiny"
WEIGHTS = random.Random(0).randbytes(3_000_000)
FILES = {
    "README.md": b"# tiny",
    ".gitattributes": b"*.bin filter=lfs",
    "config.json": b'{"alignment_heads": []}',
    "model.bin": WEIGHTS,
    "tokenizer.json": b'{"version": "1.0"}' * 100,
    "vocabulary.txt": b"a\nb\n",
    "onnx/model.bin": b"another",
}
NOTHING = [0] * 11
"""Answers without content: the five repetitions of a request that brought some, then a request and its repetitions."""
LARGE = random.Random(1).randbytes(25_000_000)
"""More than the 10 MB that `huggingface_hub` writes at once."""
KEPT = {"config.json", "model.bin", "tokenizer.json", "vocabulary.txt"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
    monkeypatch.setattr(file_download, "time", SimpleNamespace(sleep=lambda _: None))
    with serving(FakeHub({REPOSITORY: dict(FILES), "someone/whisper-pl.ct2": dict(FILES)})) as found:
        yield found


def ignore(_: int, __: int) -> None:
    pass


def fetch(hub: FakeHub, store: Path, name: str = "tiny") -> Path:
    return fetch_whisper(WhisperSource.from_name(name), store, ignore, hub.endpoint)


def downloads(hub: FakeHub, name: str = "model.bin") -> list[str | None]:
    """The Range headers of the requests for a file."""
    return [asked for file, asked in hub.asked if file == name]


def test_fetch_whisper_writes_a_record_and_is_found_by_name(hub: FakeHub, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    folder = fetch_whisper(
        WhisperSource.from_name("tiny"), tmp_path, lambda *progress: told.append(progress), hub.endpoint
    )
    files = find_whisper("tiny", tmp_path)
    assert files is not None and folder == tmp_path / "whisper" / "tiny" == files.folder
    assert {path.name for path in folder.iterdir()} == KEPT | {"whisper.json"}
    assert all((folder / name).read_bytes() == FILES[name] for name in KEPT)
    assert json.loads((folder / "whisper.json").read_text()) == {
        "files": {name: hashlib.sha256(FILES[name]).hexdigest() for name in KEPT},
        "repository": REPOSITORY,
        "revision": hub.revision(REPOSITORY),
        "licence": whisper_licence("tiny", tmp_path).model_dump(),
    }
    assert whisper_licence("tiny", tmp_path).name == "mit" and whisper_licence("tiny.en", tmp_path).name == "MIT"
    assert list((tmp_path / "whisper").iterdir()) == [folder]
    total = sum(len(FILES[name]) for name in KEPT)
    at_hand = [bytes_ for bytes_, _ in told]
    assert at_hand == sorted(at_hand) and len(set(at_hand)) > 5
    assert told[-1] == (total, total) and {of for _, of in told} == {total}


def test_fetch_whisper_of_a_repository_is_kept_under_its_last_name(hub: FakeHub, tmp_path: Path) -> None:
    folder = fetch(hub, tmp_path, "someone/whisper-pl.ct2")
    files = find_whisper("whisper-pl.ct2", tmp_path)
    assert files is not None and files.folder == folder


def test_fetch_whisper_leaves_an_existing_model_as_it_is(hub: FakeHub, tmp_path: Path) -> None:
    folder = fetch(hub, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    hub.asked.clear()
    assert fetch(hub, tmp_path) == folder
    assert hub.asked == [] and before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.mark.parametrize("file", ["model.bin", "config.json"])
def test_fetch_whisper_does_not_overwrite_another_model(hub: FakeHub, tmp_path: Path, file: str) -> None:
    folder = fetch(hub, tmp_path)
    (folder / file).write_bytes(b"other")
    with pytest.raises(FetchFailed, match="remove whisper/tiny"):
        fetch(hub, tmp_path)
    assert (folder / file).read_bytes() == b"other"


def test_fetch_resumes_a_lost_connection(hub: FakeHub, tmp_path: Path) -> None:
    hub.cuts = [1_000_000, 1_500_000]
    assert (fetch(hub, tmp_path) / "model.bin").read_bytes() == WEIGHTS
    assert downloads(hub) == [None, "bytes=1000000-", "bytes=2500000-"]


def test_fetch_without_progress_fails_and_the_next_call_resumes(hub: FakeHub, tmp_path: Path) -> None:
    hub.cuts = [1_000_000, *NOTHING]
    with pytest.raises(FetchFailed, match="resume"):
        fetch(hub, tmp_path)
    assert find_whisper("tiny", tmp_path) is None
    hub.asked.clear()
    assert (fetch(hub, tmp_path) / "model.bin").read_bytes() == WEIGHTS
    assert hub.asked == [("model.bin", "bytes=1000000-")]


def test_fetch_from_a_hub_without_ranges_starts_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.cuts, hub.ranges = [1_000_000], False
    assert (fetch(hub, tmp_path) / "model.bin").read_bytes() == WEIGHTS


@pytest.mark.slow
def test_fetch_after_a_kill_resumes(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories[REPOSITORY]["model.bin"] = LARGE
    hub.cuts, hub.gate = [20_000_000], threading.Event()
    command = [sys.executable, "-m", "ml", "fetch", "whisper", "tiny"]
    process = subprocess.Popen([*command, "--store", str(tmp_path), "--endpoint", hub.endpoint])
    assert hub.reached.wait(60)
    while sum(path.stat().st_size for path in tmp_path.rglob("model.bin.*.part")) < 10_000_000:
        time.sleep(0.005)  # all is sent, and soon taken
    process.kill()
    process.wait()
    hub.gate.set()
    assert find_whisper("tiny", tmp_path) is None
    hub.asked.clear()
    assert (fetch(hub, tmp_path) / "model.bin").read_bytes() == LARGE
    ((file, asked),) = hub.asked
    assert file == "model.bin" and asked is not None and 10_000_000 <= int(asked[6:-1]) <= 20_000_000
    assert [path.name for path in (tmp_path / "whisper").iterdir()] == ["tiny"]


@pytest.mark.parametrize("file", ["model.bin", "config.json"])
@pytest.mark.parametrize("longer", [0, 1])
def test_fetch_refuses_a_wrong_hash_and_leaves_nothing(hub: FakeHub, tmp_path: Path, file: str, longer: int) -> None:
    hub.served[file] = b"x" * (len(FILES[file]) + longer)
    with pytest.raises(FetchFailed, match=f"{file} .* hash"):
        fetch(hub, tmp_path)
    assert find_whisper("tiny", tmp_path) is None
    assert not list(tmp_path.rglob("*.part"))
    hub.served.clear()
    assert (fetch(hub, tmp_path) / file).read_bytes() == FILES[file]


def test_fetch_of_a_new_revision_does_not_resume_the_old_one(hub: FakeHub, tmp_path: Path) -> None:
    hub.cuts = [1_000_000, *NOTHING]
    with pytest.raises(FetchFailed):
        fetch(hub, tmp_path)
    newer = WEIGHTS[::-1]
    hub.repositories[REPOSITORY]["model.bin"] = newer
    assert (fetch(hub, tmp_path) / "model.bin").read_bytes() == newer
    assert {path.name for path in (tmp_path / "whisper" / "tiny").iterdir()} == KEPT | {"whisper.json"}


def test_fetch_by_two_processes_is_refused_to_the_second(hub: FakeHub, tmp_path: Path) -> None:
    hub.cuts, hub.gate = [2_000_000], threading.Event()
    first = threading.Thread(target=lambda: fetch(hub, tmp_path))
    first.start()
    assert hub.reached.wait(60)
    with pytest.raises(FetchFailed, match="another process"):
        fetch(hub, tmp_path)
    hub.gate.set()
    first.join()
    assert find_whisper("tiny", tmp_path) is not None


@pytest.mark.parametrize("name", ["huge", "", "../tiny", "a/../b", "a/b/c", "/etc", "a/.b"])
def test_whisper_source_of_an_invalid_name_raises(name: str) -> None:
    with pytest.raises(FetchFailed, match=r"OWNER/REPO .* large-v3, "):
        WhisperSource.from_name(name)


def test_fetch_of_an_unknown_model_raises(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="no public model Systran/faster-whisper-small"):
        fetch(hub, tmp_path, "small")
    with pytest.raises(FetchFailed, match="at v9"):
        fetch_whisper(WhisperSource.from_name("tiny", "v9"), tmp_path, ignore, hub.endpoint)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["model.bin", "tokenizer.json"])
def test_fetch_whisper_refuses_another_kind_of_model(hub: FakeHub, tmp_path: Path, missing: str) -> None:
    del hub.repositories[REPOSITORY][missing]
    with pytest.raises(FetchFailed, match=f"CTranslate2 form: it has no {missing}"):
        fetch(hub, tmp_path)
    assert hub.asked == []


def test_fetch_from_a_server_that_is_no_hub_raises(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answer in (b"<html>", b"{}", b'{"sha": "../x", "siblings": []}'):
        monkeypatch.setattr(hub, "listing", lambda _, answer=answer: answer)
        with pytest.raises(FetchFailed, match="not the answer of a hub"):
            fetch(hub, tmp_path)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:{port}", "ftp://127.0.0.1", "nowhere", "http://[", ""])
def test_fetch_without_a_hub_raises(tmp_path: Path, endpoint: str) -> None:
    with contextlib.closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))  # never listens: connections are refused
        with pytest.raises(FetchFailed, match="cannot be reached"):
            fetch_whisper(
                WhisperSource.from_name("tiny"), tmp_path, ignore, endpoint.format(port=unused.getsockname()[1])
            )


def test_fetch_to_a_place_that_cannot_be_written_raises(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "whisper").write_text("a file")
    with pytest.raises(FetchFailed, match="cannot be written"):
        fetch(hub, tmp_path)


def test_fetch_command_shows_a_bar_and_how_to_serve_the_model(
    hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    command = ["fetch", "whisper", "tiny", "--store", str(tmp_path)]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "AFFECT_WHISPER_MODEL=tiny" in printed.out and "100%" in printed.err
    assert main(["fetch", "whisper", "small", "--store", str(tmp_path)]) == 1
    assert "fetch_failed: the hub" in capsys.readouterr().err


def test_whisper_repositories_equal_those_of_faster_whisper() -> None:
    assert WHISPER_REPOSITORIES == faster_whisper_utils._MODELS
