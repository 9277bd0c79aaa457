"""ELAN and Praat files, read back with pympi-ling and praatio, and held against a schema."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pympi
import pytest
import xmlschema
from hypothesis import given
from praatio import textgrid as praatio

from ml.reports.annotation_tiers import NONE, Span, Tier, duration_of, tiers_of
from ml.reports.eaf import eaf
from ml.reports.report import Report, milliseconds, plain, voices_of
from ml.reports.textgrid import textgrid
from ml.results import Segment, Transcript
from ml.vocabulary import MODALITIES
from tests.ml.reports.made_results import call, image, patient, reports, result, video, window

Spans = list[tuple[int, int, str]]


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


def eaf_spans(document: pympi.Elan.Eaf) -> dict[str, Spans]:
    return {
        name: sorted((span[0], span[1], span[2]) for span in document.get_annotation_data_for_tier(name))
        for name in document.get_tier_names()
    }


def textgrid_spans(grid: praatio.Textgrid) -> dict[str, Spans]:
    """The labelled spans; points last no time."""
    found: dict[str, Spans] = {}
    for name in grid.tierNames:
        entries = grid.getTier(name).entries
        if isinstance(grid.getTier(name), praatio.PointTier):
            found[name] = [(milliseconds(point.time), milliseconds(point.time), point.label) for point in entries]
        else:
            found[name] = [(milliseconds(e.start), milliseconds(e.end), e.label) for e in entries if e.label]
    return found


def expected(tiers: list[Tier], points: bool) -> dict[str, Spans]:
    def end(tier: Tier, span: Span) -> int:
        return span.start if points and tier.kind == "moments" else span.end

    return {tier.name: [(span.start, end(tier, span), span.label) for span in tier.spans] for tier in tiers}


def windows_told(report: Report) -> dict[str, list[tuple[int, int, str]]]:
    """What the tiers of each timeline must hold together, by the begin of their names."""
    told: dict[str, list[tuple[int, int, str]]] = {}
    for voice in voices_of(report.result):
        prefix = f"{voice.name.lower()} " if voice.name else ""
        for window_ in voice.windows:
            start = milliseconds(window_.start)
            times = start, max(milliseconds(window_.end), start + 1)
            told.setdefault(f"{prefix}emotion", []).append((*times, window_.emotion or NONE))
            for modality in MODALITIES:
                reading = getattr(window_.modalities, modality)
                if reading:
                    mode = max(reading.probabilities, key=reading.probabilities.get)
                    told.setdefault(f"{prefix}{modality}", []).append((*times, mode))
    return told


def gathered(spans: dict[str, Spans], name: str) -> Spans:
    """The spans of all tiers `name`, `name 2`, …"""
    lanes = (spans[tier] for tier in spans if tier == name or tier.removeprefix(f"{name} ").isdecimal())
    return sorted(span for lane in lanes for span in lane)


@patient
@given(reports())
def test_elan_gives_back_the_same_windows(report: Report) -> None:
    read = eaf_spans(read_eaf(eaf(report)))
    assert read == expected(tiers_of(report.result), points=False)
    for name, windows in windows_told(report).items():
        assert gathered(read, name) == sorted(windows)


@patient
@given(reports())
def test_praat_gives_back_the_same_windows(report: Report) -> None:
    grid = read_textgrid(textgrid(report))
    tiers = tiers_of(report.result)
    read = textgrid_spans(grid)
    assert read == expected(tiers, points=True)
    assert (grid.minTimestamp, milliseconds(grid.maxTimestamp)) == (0, duration_of(report.result, tiers))
    for name, windows in windows_told(report).items():
        assert gathered(read, name) == sorted(windows)


@patient
@given(report=reports())
def test_elan_documents_are_valid(schema: xmlschema.XMLSchema, report: Report) -> None:
    schema.validate(eaf(report))


@pytest.mark.parametrize("report", [video(), call(), image()], ids=lambda report: report.name)
def test_the_made_ones_are_valid(schema: xmlschema.XMLSchema, report: Report) -> None:
    schema.validate(eaf(report))


def damaged() -> Iterator[str]:
    text = eaf(video())
    yield text.replace('TIME_SLOT_REF1="a1b"', 'TIME_SLOT_REF1="a99b"')
    yield text.replace('TIER_ID="face"', 'TIER_ID="emotion"', 1)
    yield text.replace('PARENT_REF="emotion"', 'PARENT_REF="nobody"')
    yield text.replace('LINGUISTIC_TYPE_REF="speech"', 'LINGUISTIC_TYPE_REF="other"')
    yield text.replace('TIME_VALUE="4000"', 'TIME_VALUE="-1"', 1)
    yield text.replace('LANG_ID="en"', 'LANG_ID="de"')
    yield text.replace("ANNOTATION_DOCUMENT", "DOCUMENT")


@pytest.mark.parametrize("text", list(damaged()), ids=range(7))
def test_the_schema_finds_what_is_wrong(schema: xmlschema.XMLSchema, text: str) -> None:
    assert not schema.is_valid(text)


@patient
@given(reports())
def test_spans_of_a_tier_never_overlap(report: Report) -> None:
    for tier in tiers_of(report.result):
        edges = [edge for span in tier.spans for edge in (span.start, span.end)]
        assert edges == sorted(edges)
        assert all(span.start < span.end and span.label == plain(span.label) != "" for span in tier.spans)


@patient
@given(reports())
def test_tiers_have_names_of_their_own(report: Report) -> None:
    names = [tier.name for tier in tiers_of(report.result)]
    assert len(names) == len(set(names))


def test_overlapping_windows_are_dealt_out() -> None:
    tiers = {tier.name: tier for tier in tiers_of(video().result)}
    assert list(tiers) == [
        "emotion", "emotion confidence", "emotion 2", "emotion 2 confidence", "face", "face 2", "audio", "audio 2",
        "text", "transcript", "words", "moments",
    ]  # fmt: skip
    assert [span.label for span in tiers["emotion"].spans] == ["happy", NONE]
    assert [span.label for span in tiers["emotion 2 confidence"].spans] == ["0.80", "0.80"]
    assert [span.label for span in tiers["words"].spans] == ["Hello", "there."]


def test_channels_have_tiers_of_their_own() -> None:
    tiers = {tier.name: tier for tier in tiers_of(call().result)}
    assert [span.label for span in tiers["channel 1 emotion"].spans] == [NONE, "angry"]
    assert tiers["channel 1 emotion"].participant == "Channel 1"
    assert "channel 0 face" in tiers
    assert tiers["channel 1 transcript"].spans == (Span(4000, 8000, "Is it?"),)


def test_confidences_hang_below_their_windows() -> None:
    document = read_eaf(eaf(video()))
    assert document.get_parameters_for_tier("emotion 2 confidence")["PARENT_REF"] == "emotion 2"
    below = document.get_ref_annotation_data_for_tier("emotion confidence")
    assert [(start, end, told) for start, end, told, _ in below] == [(0, 4000, "0.80"), (4000, 8000, "0.00")]


def test_elan_offers_the_labels() -> None:
    document = read_eaf(eaf(video()))
    entries = document.get_cv_entries("emotions")
    values = [value for _, (values, _) in entries.items() for value, *_ in values]
    assert values == [*video().result.labels, NONE]


def test_elan_finds_the_media_beside_it() -> None:
    root = ElementTree.fromstring(eaf(Report("my film ä.mp4", video().result)).encode())
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert media.get("RELATIVE_MEDIA_URL") == "./my%20film%20%C3%A4.mp4"
    assert media.get("MIME_TYPE") == "video/mp4"


def test_an_image_is_an_empty_timeline() -> None:
    assert eaf_spans(read_eaf(eaf(image()))) == {"emotion": []}
    assert textgrid_spans(read_textgrid(textgrid(image()))) == {"emotion": []}


def test_quotes_survive_in_praat() -> None:
    segment = Segment(start=0, end=1, text='He said "no".')
    said = Transcript(source="caller", language=None, text=segment.text, segments=(segment,))
    report = Report("x", result([window(0, 4, "sad")], transcript=said))
    assert textgrid_spans(read_textgrid(textgrid(report)))["transcript"] == [(0, 1000, 'He said "no".')]
