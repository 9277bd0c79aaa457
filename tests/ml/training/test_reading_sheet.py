import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from ml.__main__ import main
from ml.training.reading_sheet import CAPTION_HEIGHT, TILE_SIDE, ReadFace, SheetConfig, write_sheet
from ml.vocabulary import EMOTIONS
from tests.media_files import make_video
from tests.toy_models import make_store

TILE = (TILE_SIDE + CAPTION_HEIGHT, TILE_SIDE + 2)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Six noise crops each of two labels."""
    random = np.random.default_rng(0)
    with (tmp_path / "faces.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "dataset"])
        for number in range(12):
            cv2.imwrite(str(tmp_path / f"{number}.png"), random.integers(0, 255, (40, 40, 3), dtype=np.uint8))
            rows.writerow([f"{number}.png", ("sad", "happy")[number % 2], ("own", "other")[number // 6]])
    return tmp_path / "faces.csv"


def test_sheet_has_two_rows_for_each_label(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, store = manifest.parent / "sheet.png", make_store(manifest.parent / "store")
    write_sheet(SheetConfig(manifest=manifest, out=out, columns=4, store=store))
    assert cv2.imread(str(out), cv2.IMREAD_GRAYSCALE).shape == (4 * TILE[0], 4 * TILE[1])
    assert "16 faces shown" in capsys.readouterr().out


def test_sheet_of_a_data_set_shows_its_faces_alone(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, store = manifest.parent / "sheet.png", make_store(manifest.parent / "store")
    write_sheet(SheetConfig(manifest=manifest, out=out, dataset="own", columns=3, store=store))
    assert "12 faces shown" in capsys.readouterr().out


@pytest.mark.slow
def test_sheet_of_a_recording_without_a_face_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, store = make_video(tmp_path / "clip.mp4", seconds=1), make_store(tmp_path / "store")
    words = ["sheet", "--recordings", str(clip), "--out", str(tmp_path / "sheet.png"), "--store", str(store)]
    assert main(words) == 1
    assert "no face" in capsys.readouterr().err


def test_tile_has_the_face_above_its_caption() -> None:
    tile = ReadFace(np.full((48, 48), 90, np.uint8), "sad", np.eye(len(EMOTIONS))[3].astype(np.float32)).tile()
    assert tile.shape == TILE and (tile[:TILE_SIDE, 1:-1] == 90).all() and tile[TILE_SIDE:].min() < 100
