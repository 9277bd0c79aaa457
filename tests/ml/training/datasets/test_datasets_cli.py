from pathlib import Path

import cv2
import numpy as np
import pytest

from ml.__main__ import main
from ml.errors import InvalidManifest
from ml.training.datasets.example import Example
from ml.training.datasets.manifest import read_examples, write_examples
from tests.media_files import make_audio


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    root.mkdir()
    for number, emotion in enumerate(["happy", "sad", "6"]):
        cv2.imwrite(str(root / f"web_{number}_{emotion}.png"), np.full((60, 50, 3), 40 * number, np.uint8))
    make_audio(root / "call_9_fear.wav")
    (root / "web_7_happy.jpg").write_bytes(b"no picture")
    (root / "web_8_bored.png").write_bytes(b"")
    return root


def test_write_examples_round_trip_is_equal(tmp_path: Path) -> None:
    examples = [
        Example("happy", "a", "train", path=tmp_path / "x y.png", speaker="a/1", gender="female", start=0.25, end=2.0),
        Example(
            "sad", "b", "test", text='He said: "no, \nno"', target=(0, 0, 0, 0.25, 0.75, 0, 0), sentiment="negative"
        ),
        Example(None, "c", "valid", text="Only a sentiment", sentiment="positive", language="en"),
    ]
    assert write_examples(tmp_path / "list.csv", examples) == 3
    assert list(read_examples(tmp_path / "list.csv")) == examples


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("path\na.png\n", "needs the columns"),
        ("path,label\n,happy\n", "line 2: neither path nor text"),
        ("path,label\na.png,bored\n", "line 2, label"),
        ("path,label,start\na.png,sad,soon\n", "line 2, start"),
        ("path,label,split\na.png,sad,other\n", "line 2, split"),
    ],
)
def test_read_examples_wrong_row_names_the_line(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(InvalidManifest, match=told):
        list(read_examples(tmp_path / "list.csv"))


def test_inspect_prints_counts_and_writes_a_sheet(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["datasets", "inspect", "generic", str(folder), "--sheet", str(tmp_path / "sheet.png")]) == 0
    told = capsys.readouterr().out
    assert "skipped, unknown label: 1" in told
    assert "4 examples shown" in told  # the damaged picture is left out
    assert cv2.imread(str(tmp_path / "sheet.png")).std() > 1


def test_import_writes_the_list_and_names_skipped_records(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lists" / "mine.csv"
    assert main(["datasets", "import", "generic", str(folder), "--out", str(out)]) == 0
    assert "5 examples listed" in capsys.readouterr().out
    assert {e.path.resolve() for e in read_examples(out) if e.path} >= {(folder / "web_0_happy.png").resolve()}


def test_datasets_wrong_folder_prints_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets", "inspect", "ravdess", str(tmp_path / "nowhere")]) == 1
    assert main(["datasets", "inspect", "nothing", str(tmp_path)]) == 1
    assert "invalid_manifest" in capsys.readouterr().err


def test_summary_names_speakers_on_two_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examples = [Example("sad", "a", split, text="x", speaker="a/1") for split in ("train", "test")]
    write_examples(tmp_path / "list.csv", examples)
    assert main(["datasets", "inspect", "manifest", str(tmp_path / "list.csv")]) == 0
    assert "on two sides of the split: a/1" in capsys.readouterr().out


def test_list_names_all_data_sets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets", "list"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in ("ravdess", "crema-d", "savee", "tess", "omg", "meld", "fer-plus", "raf-db"))
