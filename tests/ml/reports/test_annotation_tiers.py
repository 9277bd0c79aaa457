"""Annotation tiers, and ELAN and Praat files, read back with pympi-ling and praatio and validated against a schema."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pympi
import pytest
import xmlschema
from hypothesis import given
from praatio import textgrid as praatio

from ml.reports.annotation_tiers import Interval, Tier, annotation_tiers, duration_ms
from ml.reports.eaf import eaf
from ml.reports.report import Report, channel_tracks, milliseconds, sanitize
from ml.reports.textgrid import textgrid
from ml.results import Segment, Transcript
from ml.vocabulary import MODALITIES, MODALITY_NAMES, NO_SIGNAL
from tests.ml.reports.made_results import call, image, patient, reports, result, transcribed_call, video, window

Intervals = list[tuple[int, int, str]]


@pytest.fixture(scope="module")
def schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(Path(__file__).parent / "eaf_profile.xsd")


def read_eaf(text: str) -> pympi.Elan.Eaf:
    with tempfile.NamedTemporaryFile("w", suffix=".eaf", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        return pympi.Elan.Eaf(file.name)


def read_textgrid(text: str) -> praatio.Textgrid:
    with tempfile.NamedTemporaryFile("w", suffix=".TextGrid", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        return praatio.openTextgrid(file.name, includeEmptyIntervals=True, reportingMode="error")


def eaf_intervals(document: pympi.Elan.Eaf) -> dict[str, Intervals]:
    return {
        name: sorted((span[0], span[1], span[2]) for span in document.get_annotation_data_for_tier(name))
        for name in document.get_tier_names()
    }


def textgrid_intervals(grid: praatio.Textgrid) -> dict[str, Intervals]:
    """Return the labelled intervals; points have no duration."""
    intervals: dict[str, Intervals] = {}
    for name in grid.tierNames:
        entries = grid.getTier(name).entries
        if isinstance(grid.getTier(name), praatio.PointTier):
            intervals[name] = [(milliseconds(point.time), milliseconds(point.time), point.label) for point in entries]
        else:
            intervals[name] = [(milliseconds(e.start), milliseconds(e.end), e.label) for e in entries if e.label]
    return intervals


def expected(tiers: list[Tier], points: bool) -> dict[str, Intervals]:
    def end(tier: Tier, interval: Interval) -> int:
        return interval.start if points and tier.kind == "moments" else interval.end

    return {tier.name: [(each.start, end(tier, each), each.label) for each in tier.intervals] for tier in tiers}


def windows_by_tier(report: Report) -> dict[str, list[tuple[int, int, str]]]:
    """Return what the tiers of each timeline must contain together, by the beginning of their names."""
    expected: dict[str, list[tuple[int, int, str]]] = {}
    for track in channel_tracks(report.result):
        prefix = f"{track.name.lower()} " if track.name else ""
        for window_ in track.windows:
            start = milliseconds(window_.start)
            times = start, max(milliseconds(window_.end), start + 1)
            expected.setdefault(f"{prefix}combined", []).append((*times, window_.emotion or NO_SIGNAL))
            for modality in MODALITIES:
                reading = getattr(window_.modalities, modality)
                if reading:
                    mode = max(reading.probabilities, key=reading.probabilities.get)
                    name = f"{prefix}{MODALITY_NAMES[modality].lower()}"
                    expected.setdefault(name, []).append((*times, mode))
    return expected


def gathered(intervals: dict[str, Intervals], name: str) -> Intervals:
    """Return the intervals of all tiers `name`, `name 2`, …"""
    tiers = (intervals[tier] for tier in intervals if tier == name or tier.removeprefix(f"{name} ").isdecimal())
    return sorted(interval for tier in tiers for interval in tier)


@pytest.mark.slow
@patient
@given(reports())
def test_eaf_read_back_has_same_windows(report: Report) -> None:
    read = eaf_intervals(read_eaf(eaf(report)))
    assert read == expected(annotation_tiers(report.result), points=False)
    for name, windows in windows_by_tier(report).items():
        assert gathered(read, name) == sorted(windows)


@patient
@given(reports())
def test_textgrid_read_back_has_same_windows(report: Report) -> None:
    grid = read_textgrid(textgrid(report))
    tiers = annotation_tiers(report.result)
    read = textgrid_intervals(grid)
    assert read == expected(tiers, points=True)
    assert (grid.minTimestamp, milliseconds(grid.maxTimestamp)) == (0, duration_ms(report.result, tiers))
    for name, windows in windows_by_tier(report).items():
        assert gathered(read, name) == sorted(windows)


@pytest.mark.slow
@patient
@given(report=reports())
def test_eaf_any_report_matches_schema(schema: xmlschema.XMLSchema, report: Report) -> None:
    schema.validate(eaf(report))


@pytest.mark.parametrize("report", [video(), call(), image()], ids=lambda report: report.name)
def test_eaf_sample_report_matches_schema(schema: xmlschema.XMLSchema, report: Report) -> None:
    schema.validate(eaf(report))


def damaged() -> Iterator[str]:
    text = eaf(video())
    yield text.replace('TIME_SLOT_REF1="a1b"', 'TIME_SLOT_REF1="a99b"')
    yield text.replace('TIER_ID="face"', 'TIER_ID="combined"', 1)
    yield text.replace('PARENT_REF="combined"', 'PARENT_REF="other"')
    yield text.replace('LINGUISTIC_TYPE_REF="speech"', 'LINGUISTIC_TYPE_REF="other"')
    yield text.replace('TIME_VALUE="4000"', 'TIME_VALUE="-1"', 1)
    yield text.replace('LANG_ID="en"', 'LANG_ID="de"')
    yield text.replace("ANNOTATION_DOCUMENT", "DOCUMENT")


@pytest.mark.parametrize("text", list(damaged()), ids=range(7))
def test_eaf_damaged_document_fails_schema(schema: xmlschema.XMLSchema, text: str) -> None:
    assert not schema.is_valid(text)


@patient
@given(reports())
def test_annotation_tiers_intervals_never_overlap(report: Report) -> None:
    for tier in annotation_tiers(report.result):
        edges = [edge for each in tier.intervals for edge in (each.start, each.end)]
        assert edges == sorted(edges)
        assert all(each.start < each.end and each.label == sanitize(each.label) != "" for each in tier.intervals)


@patient
@given(reports())
def test_annotation_tiers_names_are_unique(report: Report) -> None:
    names = [tier.name for tier in annotation_tiers(report.result)]
    assert len(names) == len(set(names))


def test_annotation_tiers_overlapping_windows_are_distributed() -> None:
    tiers = {tier.name: tier for tier in annotation_tiers(video().result)}
    assert list(tiers) == [
        "combined", "combined confidence", "combined 2", "combined 2 confidence", "face", "face 2", "voice", "voice 2",
        "words", "transcript", "transcript words", "moments",
    ]  # fmt: skip
    assert [each.label for each in tiers["combined"].intervals] == ["happy", NO_SIGNAL]
    assert [each.label for each in tiers["combined 2 confidence"].intervals] == ["0.80", "0.80"]
    assert [each.label for each in tiers["transcript words"].intervals] == ["Hello", "there."]


def test_annotation_tiers_of_channels_are_separate() -> None:
    tiers = {tier.name: tier for tier in annotation_tiers(call().result)}
    assert [each.label for each in tiers["channel 1 combined"].intervals] == [NO_SIGNAL, "angry"]
    assert tiers["channel 1 combined"].participant == "Channel 1"
    assert "channel 0 face" in tiers
    assert tiers["channel 1 transcript"].intervals == (Interval(4000, 8000, "Is it?"),)


def test_annotation_tiers_of_transcribed_channels_have_their_sentences_and_words() -> None:
    tiers = {tier.name: tier for tier in annotation_tiers(transcribed_call().result)}
    assert tiers["channel 1 transcript"].intervals == (Interval(2000, 4000, "Who is it?"),)
    assert [each.label for each in tiers["channel 0 transcript words"].intervals] == ["Good", "day", "to", "you."]
    assert tiers["channel 0 transcript words"].participant == "Channel 0"
    assert "transcript" not in tiers and "transcript words" not in tiers


def test_eaf_confidences_depend_on_their_windows() -> None:
    document = read_eaf(eaf(video()))
    assert document.get_parameters_for_tier("combined 2 confidence")["PARENT_REF"] == "combined 2"
    dependent = document.get_ref_annotation_data_for_tier("combined confidence")
    assert [(start, end, confidence) for start, end, confidence, _ in dependent] == [
        (0, 4000, "0.80"),
        (4000, 8000, "0.00"),
    ]


def test_eaf_vocabulary_has_all_labels() -> None:
    document = read_eaf(eaf(video()))
    entries = document.get_cv_entries("emotions")
    values = [value for _, (values, _) in entries.items() for value, *_ in values]
    assert values == [*video().result.labels, NO_SIGNAL]


def test_eaf_media_path_is_relative() -> None:
    root = ElementTree.fromstring(eaf(Report("my film ä.mp4", video().result)).encode())
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert media.get("RELATIVE_MEDIA_URL") == "./my%20film%20%C3%A4.mp4"
    assert media.get("MIME_TYPE") == "video/mp4"


def test_eaf_and_textgrid_of_image_are_empty() -> None:
    assert eaf_intervals(read_eaf(eaf(image()))) == {"combined": []}
    assert textgrid_intervals(read_textgrid(textgrid(image()))) == {"combined": []}


def test_textgrid_quotes_are_kept() -> None:
    segment = Segment(start=0, end=1, text='He said "no".')
    said = Transcript(source="caller", language=None, text=segment.text, segments=(segment,))
    report = Report("x", result([window(0, 4, "sad")], transcript=said))
    assert textgrid_intervals(read_textgrid(textgrid(report)))["transcript"] == [(0, 1000, 'He said "no".')]
