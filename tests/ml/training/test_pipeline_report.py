import json
from pathlib import Path

import pytest

from ml.__main__ import main
from ml.results import FaceReading, Modalities, Reading, Result, Window
from ml.training.labelled_rows import LabelledRow, read_rows
from ml.training.pipeline_report import PipelineReport, read_piece
from ml.vocabulary import EMOTIONS
from tests.documents import RESULT
from tests.media_files import make_image
from tests.ml.reports.made_results import sure_of
from tests.toy_models import make_store


def _window(start: float, combined: str, face: str, labels_90: tuple[str, ...] = ("sad",)) -> Window:
    return Window(
        **Reading.from_probabilities(sure_of(combined)).labelled(labels_90).model_dump(),
        start=start,
        end=start + 2,
        modalities=Modalities(face=FaceReading(probabilities=sure_of(face), coverage=1.0)),
        missing=("audio", "text"),
    )


def _result(*windows: Window) -> Result:
    return RESULT.model_copy(update={"windows": windows})


WINDOWS = (_window(0, "neutral", "neutral"), _window(2, "angry", "angry"), _window(4, "sad", "angry"))


def test_read_piece_is_the_mean_of_the_windows_that_it_shares_time_with() -> None:
    row = LabelledRow(EMOTIONS.index("angry"), Path("talk.mp4"), start=1.5, end=4.0)
    piece = read_piece(row, _result(*WINDOWS))
    assert piece and piece.windows == WINDOWS[:2]
    assert EMOTIONS[piece.probabilities_C.argmax()] == "angry" and piece.probabilities_C.sum() == pytest.approx(1)
    assert read_piece(LabelledRow(0, Path("talk.mp4"), start=9.0), _result(*WINDOWS)) is None


def test_pipeline_report_counts_windows_that_people_could_not_follow() -> None:
    row = LabelledRow(-1, Path("talk.mp4"), corpus="talk")
    piece = read_piece(row, _result(*WINDOWS, _window(6, "sad", "sad", ("sad", "fear", "angry"))))
    assert piece
    report = PipelineReport.of([piece, piece], skipped=1)
    assert report.metrics is None and report.windows.count == 4
    assert report.windows.emotions["combined"]["sad"] == 0.5
    assert report.windows.first_in_none == report.windows.single_disagrees == 0.25
    assert report.windows.uncertain["combined"] == 0.25
    document = report.json()
    assert document["skipped"] == 1 and document["sources"]["talk"]["count"] == 4
    assert any("no modality puts first 25.0%" in line for line in report.lines())


def test_read_rows_without_label_are_read_where_none_is_needed(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text("path,start,end,label\na.mp4,1,3,\na.mp4,3,5,happy\n")
    unlabelled, happy = read_rows(tmp_path / "clips.csv", "path", all_labelled=False)
    assert unlabelled and happy and (unlabelled.index, happy.index) == (-1, EMOTIONS.index("happy"))


def test_evaluate_pipeline_reads_as_the_service_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_image(tmp_path / "plain.png")
    (tmp_path / "clips.csv").write_text("path,label\nplain.png,happy\nmissing.mp4,sad\n")
    words = ["--manifest", str(tmp_path / "clips.csv"), "--store", str(make_store(tmp_path / "store"))]
    assert main(["evaluate", "pipeline", *words]) == 1
    printed = capsys.readouterr().err
    assert "skipped missing.mp4" in printed and "nothing of clips.csv could be read" in printed
    assert main(["evaluate", "pipeline", "--composed", str(tmp_path)]) == 1
    assert "a --manifest lists" in capsys.readouterr().err


def test_pipeline_report_json_has_the_figures_of_labelled_rows() -> None:
    piece = read_piece(LabelledRow(EMOTIONS.index("angry"), Path("talk.mp4"), start=2.0, end=4.0), _result(*WINDOWS))
    assert piece
    document = json.loads(json.dumps(PipelineReport.of([piece], skipped=0).json()))
    assert document["n"] == 1 and document["accuracy"] == 1 and document["windows"]["count"] == 1
