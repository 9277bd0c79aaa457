"""The CSV tables, read back with the csv module."""

import csv
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.reports.report import Report, channel_tracks, sanitize
from ml.reports.tables import faces_csv, moments_csv, safe_cell, windows_csv, words_csv
from ml.results import Transcript
from ml.vocabulary import MODALITIES, SENTIMENTS
from tests.ml.reports.made_results import FULL, call, image, patient, reports, result, video, window

FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def rows(text: str) -> list[dict[str, str]]:
    """Return the rows, all as long as the header."""
    found = list(csv.DictReader(StringIO(text, newline="")))
    assert all(None not in row and None not in row.values() for row in found)
    return found


@patient
@given(reports())
def test_windows_csv_read_back_has_same_windows(report: Report) -> None:
    read = rows(windows_csv([report]))
    written = [(track, window) for track in channel_tracks(report.result) for window in track.windows]
    for row, (track, window_) in zip(read, written, strict=True):
        assert row["channel"] == ("" if track.channel is None else str(track.channel))
        assert (float(row["start"]), float(row["end"])) == (window_.start, window_.end)
        assert (row["emotion"] or None) == window_.emotion
        assert float(row["confidence"]) == window_.confidence
        assert {label: float(row[f"probability_{label}"]) for label in report.result.labels} == window_.probabilities
        assert tuple(row["missing"].split()) == window_.missing
        for modality in MODALITIES:
            reading = getattr(window_.modalities, modality)
            cells = [row[f"{modality}_probability_{label}"] for label in report.result.labels]
            assert cells == ([""] * len(cells) if reading is None else [str(p) for p in reading.probabilities.values()])
        if window_.modalities.text:
            transcript = sanitize(window_.modalities.text.transcript)
            assert row["text_transcript"].replace("'", "") == transcript.replace("'", "")  # apostrophes guard formulas
            assert [float(row[f"text_sentiment_{name}"]) for name in SENTIMENTS] == list(
                window_.modalities.text.sentiment.values()
            )


@patient
@given(reports())
def test_csv_any_report_has_no_formula_and_no_broken_row(report: Report) -> None:
    for write in (windows_csv, faces_csv, moments_csv, words_csv):
        text = write([report])
        for row in csv.reader(StringIO(text, newline="")):
            assert all(len(cell.splitlines()) <= 1 for cell in row)
            assert not any(cell.startswith(FORMULAS) and not _number(cell) for cell in row)


@patient
@given(reports(), st.sampled_from([";", "\t"]))
def test_csv_split_at_other_separators_has_no_formula(report: Report, separator: str) -> None:
    for write in (windows_csv, faces_csv, moments_csv, words_csv):
        for row in csv.reader(StringIO(write([report]), newline=""), delimiter=separator):
            assert not any(cell.lstrip(' "').startswith(FORMULAS) for cell in row)


def test_csv_quotes_text_and_leaves_numbers_and_missing_values() -> None:
    header, first, *_ = windows_csv([video()]).split("\r\n")
    assert header.startswith('"file","channel","start","end","emotion","confidence","probability_angry"')
    assert first.startswith('"party.mp4",,0.0,4.0,"happy",')
    found = list(csv.reader(StringIO(faces_csv([video()]), newline=""), quoting=csv.QUOTE_NONNUMERIC))
    assert all(isinstance(cell, float) for cell in found[1][1:8])


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r\n-2", "＝1"])
def test_safe_cell_formula_is_escaped(text: str) -> None:
    assert safe_cell(text) == f"'{sanitize(text)}"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a;=1", "a;'=1"),
        ("a; +1;-2", "a;' +1;'-2"),
        ("a\t=1\n=2", "a =1 =2"),
        ('a;"=1"', 'a;\'"=1"'),
        ('a;"";"" @SUM(A1)', 'a;"";\'"" @SUM(A1)'),
        ("=1;=2", "'=1;'=2"),
        (";=1", ";'=1"),
        ("a; b; c", "a; b; c"),
    ],
)
def test_safe_cell_formula_after_separator_is_escaped(text: str, cell: str) -> None:
    assert safe_cell(text) == cell


@pytest.mark.parametrize("text", ["a=b", "'tis", "", "5-4", "Ünïcode 日本"])
def test_safe_cell_other_text_is_unchanged(text: str) -> None:
    assert safe_cell(text) == text


@given(st.text())
def test_safe_cell_is_one_line(text: str) -> None:
    assert len(safe_cell(text).splitlines()) <= 1


def test_windows_csv_of_video_has_all_columns() -> None:
    first, _, empty, last = rows(windows_csv([video()]))
    assert list(first)[:7] == ["file", "channel", "start", "end", "emotion", "confidence", "probability_angry"]
    assert (first["file"], first["text_transcript"], first["face_coverage"]) == ("party.mp4", "Hello there.", "0.9")
    assert (empty["emotion"], empty["face_probability_happy"], empty["missing"]) == ("", "", "face audio text")
    assert last["moments"] == "happy → angry: voice"
    assert last["missing"] == "text"


def test_windows_csv_moment_is_in_window_around_it() -> None:
    assert [row["moments"] for row in rows(windows_csv([video()]))] == [
        "happy peak: face, words", "", "", "happy → angry: voice",
    ]  # fmt: skip


def test_windows_csv_channels_follow_whole_media() -> None:
    found = [(row["channel"], row["emotion"]) for row in rows(windows_csv([call()]))]
    assert found == [("", "neutral"), ("", "neutral"), ("0", "happy"), ("0", "neutral"), ("1", ""), ("1", "angry")]


def test_windows_csv_image_is_one_row_without_times() -> None:
    (row,) = rows(windows_csv([image()]))
    assert (row["file"], row["start"], row["end"], row["emotion"]) == ("photo.jpg", "", "", "happy")


def test_windows_csv_several_files_are_one_table() -> None:
    assert {row["file"] for row in rows(windows_csv([video(), call(), image()]))} == {
        "party.mp4",
        "call.wav",
        "photo.jpg",
    }


def test_faces_csv_has_row_per_face_and_frame() -> None:
    found = rows(faces_csv([video()]))
    assert [(row["track"], row["time"], row["x"], row["emotion"]) for row in found] == [
        ("1", "0.0", "10.0", "happy"), ("1", "0.25", "10.0", "sad"), ("2", "0.25", "-3.5", "neutral"),
    ]  # fmt: skip
    assert sum(float(found[0][f"probability_{label}"]) for label in FULL) == pytest.approx(1)
    assert len(rows(faces_csv([image()]))) == 1


def test_moments_csv_has_rank_and_modalities() -> None:
    peak, shift = rows(moments_csv([video()]))
    assert (peak["kind"], peak["from"], peak["to"], peak["rank"], peak["why_face"]) == ("peak", "", "happy", "2", "1")
    assert (shift["kind"], shift["from"], shift["to"], shift["rank"]) == ("shift", "happy", "angry", "1")
    assert [shift[f"why_{modality}"] for modality in MODALITIES] == ["0", "1", "0"]
    assert rows(moments_csv([call()])) == []


def test_words_csv_counts_over_all_files() -> None:
    said = Transcript(source="caller", language=None, text="Well, well: don't. WELL-known\nwell 日本 =1")
    found = rows(words_csv([Report("a", result([window(0, 1, "sad")], transcript=said)), video()]))
    assert [(row["word"], row["count"]) for row in found][:3] == [("well", "3"), ("1", "1"), ("don't", "1")]
    assert {"well-known", "日本", "hello", "there"} < {row["word"] for row in found}
    assert sum(float(row["share"]) for row in found) == pytest.approx(1)
    assert rows(words_csv([image()])) == []
