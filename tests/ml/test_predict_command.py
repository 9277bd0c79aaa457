"""`python -m ml predict` from its arguments to its output; real pipeline, face net of random weights."""

import csv
import json
import os
from io import StringIO
from pathlib import Path

import pytest
import webvtt
from PIL import Image

from ml.__main__ import main
from ml.inference.pipeline.assemble import NO_EVIDENCE
from tests import media_files
from tests.face_files import portrait
from tests.toy_models import make_store

CAPTIONS = "WEBVTT\n\n00:00.000 --> 00:01.000\nHello hello world"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings, a photo, a text, and a hidden file."""
    folder = tmp_path / "media"
    folder.mkdir()
    sine = ["-f", "lavfi", "-i", "sine=duration=1.5"]
    media_files.ffmpeg(*sine, folder / "a.wav")
    media_files.ffmpeg(*sine, folder / "b.wav")
    media_files.ffmpeg("-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", "1", folder / "photo.png")
    (folder / "notes.txt").write_text("no media")
    (folder / ".hidden").write_text("no media")
    return folder


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    path = tmp_path / "said.vtt"
    path.write_text(CAPTIONS)
    return path


def predict(store: Path, *arguments: object) -> int:
    return main(["predict", "--store", str(store), "--bundle", "default", *map(str, arguments)])


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(path.read_bytes().decode(), newline="")))


def test_predict_file_prints_timeline(store: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(store, folder / "a.wav") == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("a.wav: audio, 1.5 s\n")
    assert "no signal" in shown.out
    assert f"Warning: {NO_EVIDENCE.message}" in shown.out
    assert "\x1b" not in shown.out + shown.err


def test_predict_writes_every_format(store: Path, folder: Path, tmp_path: Path, captions: Path) -> None:
    names = ["json", "csv", "vtt", "srt", "eaf", "textgrid", "txt", "words"]
    flags = [part for name in names for part in (f"--{name}", tmp_path / f"out.{name}")]
    assert predict(store, folder / "a.wav", "--transcript", captions, *flags) == 0
    written = {name: (tmp_path / f"out.{name}").read_text() for name in names}
    assert json.loads(written["json"])["transcript"]["text"] == "Hello hello world"
    assert [row["file"] for row in rows(tmp_path / "out.csv")] == ["a.wav"]
    assert [caption.text for caption in webvtt.from_string(written["vtt"]).captions] == ["Hello hello world"]
    assert "Hello hello world" in written["srt"]
    assert "<ANNOTATION_VALUE>Hello hello world</ANNOTATION_VALUE>" in written["eaf"]
    assert '"Hello hello world"' in written["textgrid"]
    assert "Hello hello world" in written["txt"]
    assert [(row["word"], row["count"]) for row in rows(tmp_path / "out.words")] == [("hello", "2"), ("world", "1")]


def test_predict_format_on_standard_output_is_alone(
    store: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(store, folder / "a.wav", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["media"]["kind"] == "audio"


def test_predict_rows_choose_table(store: Path, folder: Path, tmp_path: Path) -> None:
    assert predict(store, folder / "photo.png", "--csv", tmp_path / "faces.csv", "--rows", "faces") == 0
    assert (tmp_path / "faces.csv").read_text().startswith('"file","track","time",')


def test_predict_folder_prints_line_per_file_and_writes_one_csv(
    store: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(store, folder, "--csv", tmp_path / "all.csv", "--words", tmp_path / "words.csv") == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown] == ["a.wav", "b.wav", "notes.txt", "photo.png"]
    assert "not analysed: This file type is not supported. Send JPEG" in shown[2]
    assert [row["file"] for row in rows(tmp_path / "all.csv")] == ["a.wav", "b.wav", "photo.png"]
    assert rows(tmp_path / "words.csv") == []


def test_predict_folder_in_other_format_writes_folder(store: Path, folder: Path, tmp_path: Path) -> None:
    assert predict(store, folder, "--eaf", tmp_path / "elan") == 0
    assert {path.name for path in (tmp_path / "elan").iterdir()} == {"a.wav.eaf", "b.wav.eaf", "photo.png.eaf"}


def test_predict_folder_to_standard_output_is_one_table(
    store: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(store, folder, "--csv", "-") == 0
    shown = capsys.readouterr()
    assert [row["file"] for row in csv.DictReader(StringIO(shown.out))] == ["a.wav", "b.wav", "photo.png"]


def test_predict_draws_images_of_file_or_folder(
    store: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--annotate", tmp_path / "drawn", "--summary", tmp_path / "summaries")
    assert predict(store, folder, *flags) == 0
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {"photo.png.png"}
    assert {path.name for path in (tmp_path / "summaries").iterdir()} == {"a.wav.png", "b.wav.png", "photo.png.png"}
    assert "audio, 1.5 s, 2 warnings" in capsys.readouterr().out
    video = media_files.make_video(tmp_path / "video.mp4", 0.5)
    assert predict(store, video, "--annotate", tmp_path / "drawn.mp4") == 0
    assert (tmp_path / "drawn.mp4").read_bytes()[4:8] == b"ftyp"


def test_explain_writes_images_and_index(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(portrait()).save(photo)
    assert main(["explain", "--store", str(store), "--bundle", "default", str(photo)]) == 0
    index = json.loads((tmp_path / "photo.png-why" / "index.json").read_text())
    assert [entry["kind"] for entry in index] == ["heatmap", "features"]
    assert all((tmp_path / "photo.png-why" / entry["name"]).is_file() for entry in index)
    assert index[0]["title"] in capsys.readouterr().out


def test_predict_folder_without_media_fails(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert predict(store, tmp_path / "empty") == 1
    assert capsys.readouterr().err.startswith("media_invalid:")


def test_predict_unsupported_file_fails(store: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(store, folder / "notes.txt") == 1
    assert capsys.readouterr().err.startswith("unsupported_media:")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.wav"], "nowhere.wav: no such file"),
        (["a.wav", "--options", '{"x": 1}'], "--options: x: Extra inputs are not permitted"),
        (["a.wav", "--options", "{"], "--options: Invalid JSON"),
        (["a.wav", "--rows", "faces", "--vtt", "-"], "--rows faces"),
        (["a.wav", "--csv", "nowhere/a.csv"], "nowhere: no such folder"),
        (["a.wav", "--annotate", "nowhere/a.mp4"], "nowhere: no such folder"),
        (["a.wav", "--summary", "-"], "cannot be written to standard output"),
        ([".", "--transcript", "notes.txt"], "--transcript can be used with one file only"),
    ],
)
def test_predict_senseless_arguments_fail_before_analysis(
    store: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit, match=message):
        predict(store, *arguments)


def test_predict_hides_output_of_native_libraries(
    store: Path, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml.inference.pipeline.analyzer import Analyzer

    def loud(*args: object, **kwargs: object) -> None:
        os.write(2, b"noise")
        raise SystemExit("stopped")

    monkeypatch.setattr(Analyzer, "analyze", loud)
    with pytest.raises(SystemExit, match="stopped"):
        predict(store, folder / "a.wav")
    os.write(2, b"heard again")
    assert capfd.readouterr().err == "heard again"
