"""Vocal bursts in the export formats."""

import csv
import io

from ml.reports.eaf import eaf
from ml.reports.plain_text import plain_text
from ml.reports.report import Report
from ml.reports.subtitles import srt, vtt
from ml.reports.tables import bursts_csv
from ml.reports.textgrid import textgrid
from ml.results import VocalBurst
from tests.ml.reports.made_results import interview, video


def laughing(report: Report, person: int | None = None) -> Report:
    bursts = (VocalBurst(start=1.2, end=1.9, kind="laugh", score=0.93, person=person),)
    return Report(report.name, report.result.model_copy(update={"bursts": bursts}))


def test_table_has_a_row_for_each_burst() -> None:
    (row,) = csv.DictReader(io.StringIO(bursts_csv([laughing(video())])))
    assert row == {"file": row["file"], "start": "1.2", "end": "1.9", "kind": "laugh", "score": "0.93"}


def test_table_names_the_person() -> None:
    (row,) = csv.DictReader(io.StringIO(bursts_csv([laughing(interview(), person=1)])))
    assert row["person"] == "1" and row["person_name"]


def test_subtitles_have_a_cue_in_brackets() -> None:
    for text in (vtt(laughing(video())), srt(laughing(video()))):
        assert "(laugh)" in text and "(laugh)" not in vtt(video())


def test_annotation_tiers_have_an_interval() -> None:
    assert 'TIER_ID="bursts"' in eaf(laughing(video())) and ">laugh<" in eaf(laughing(video()))
    praat = textgrid(laughing(video()))
    assert 'name = "bursts"' in praat and 'text = "laugh"' in praat


def test_plain_text_lists_the_sounds() -> None:
    assert "1.2 –    1.9 s   93%  laugh" in plain_text(laughing(video()))
