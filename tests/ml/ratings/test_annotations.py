"""Files of annotation tools, written by those tools' libraries, by hand, and by strangers."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from praatio import textgrid
from pympi.Elan import Eaf

from ml.errors import AffectError, InvalidRatings, UnsupportedRatings
from ml.ratings.annotations import MAX_BYTES, read_annotations, seconds_in
from ml.ratings.interval import Annotation
from ml.reports.eaf import eaf
from ml.reports.textgrid import textgrid as our_textgrid
from tests.ml.reports.made_results import video


def brief(annotations: list[Annotation]) -> list[tuple[str, float, float | None, str]]:
    return [(each.tier, each.start, each.end, each.label) for each in annotations]


def test_eaf_of_pympi_with_gaps_and_overlaps(tmp_path: Path) -> None:
    document = Eaf()
    document.add_linguistic_type("dependent", "Symbolic_Association")
    document.add_tier("feeling", part="Guest", ann="Ann")
    document.add_tier("feeling 2", ann="Ben")
    document.add_tier("sure", ling="dependent", parent="feeling")
    for start, end, label in ((0, 1500, "happy"), (2500, 4000, "sad")):
        document.add_annotation("feeling", start, end, label)
    document.add_annotation("feeling 2", 1000, 3000, "Joy")
    document.add_ref_annotation("sure", "feeling", 700, "very")
    document.to_file(str(tmp_path / "a.eaf"))
    found = read_annotations((tmp_path / "a.eaf").read_bytes())
    assert sorted(brief(found)) == [
        ("feeling", 0.0, 1.5, "happy"),
        ("feeling", 2.5, 4.0, "sad"),
        ("feeling 2", 1.0, 3.0, "Joy"),
        ("sure", 0.0, 1.5, "very"),
    ]
    assert {(each.tier, each.rater, each.person) for each in found} >= {("feeling", "Ann", "Guest")}


EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-01T00:00:00Z" FORMAT="3.0" VERSION="3.0">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>
<TIME_ORDER>{slots}</TIME_ORDER>
<TIER TIER_ID="t" LINGUISTIC_TYPE_REF="d">{annotations}</TIER>
</ANNOTATION_DOCUMENT>"""
SLOTS = (
    '<TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="1000"/><TIME_SLOT TIME_SLOT_ID="b"/>'
    '<TIME_SLOT TIME_SLOT_ID="c" TIME_VALUE="3000"/>'
)
ONE = (
    '<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="x" TIME_SLOT_REF1="{0}" TIME_SLOT_REF2="{1}">'
    "<ANNOTATION_VALUE>happy</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
)


def test_slots_without_time_are_between_their_neighbours() -> None:
    document = EAF.format(slots=SLOTS, annotations=ONE.format("a", "b"))
    assert brief(read_annotations(document.encode())) == [("t", 1.0, 2.0, "happy")]


@pytest.mark.parametrize(
    "document",
    [
        EAF.format(slots=SLOTS, annotations=ONE.format("a", "missing")),
        EAF.format(slots=SLOTS, annotations=ONE.format("c", "a")),
        EAF.format(slots=SLOTS.replace("1000", "x"), annotations=""),
        EAF.format(slots=SLOTS, annotations="")[:-30],
        EAF.format(slots=SLOTS, annotations=ONE.format("a", "c").replace("ALIGNABLE", "REF")),
        "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]><ANNOTATION_DOCUMENT/>",
        "<?xml version='1.0'?><!DOCTYPE x SYSTEM 'file:///etc/passwd'><ANNOTATION_DOCUMENT/>",
        "<ANNOTATION_DOCUMENT>" + "<A>" * 100,
    ],
)
def test_eaf_that_is_damaged_or_hostile_is_refused(document: str) -> None:
    with pytest.raises(InvalidRatings):
        read_annotations(document.encode())


@pytest.mark.parametrize("short", [False, True])
def test_grid_of_praatio(short: bool, tmp_path: Path) -> None:
    grid = textgrid.Textgrid(0, 5)
    grid.addTier(textgrid.IntervalTier("Ann", [(0, 1.5, "happy"), (2, 3, 'a "quoted" [3] label')], 0, 5))
    grid.addTier(textgrid.PointTier("Ben", [(2.25, "fear")], 0, 5))
    path = str(tmp_path / "a.TextGrid")
    grid.save(path, "short_textgrid" if short else "long_textgrid", includeBlankSpaces=True)
    assert brief(read_annotations(Path(path).read_bytes())) == [
        ("Ann", 0.0, 1.5, "happy"),
        ("Ann", 2.0, 3.0, 'a "quoted" [3] label'),
        ("Ben", 2.25, None, "fear"),
    ]
    assert brief(read_annotations(Path(path).read_text().encode("utf-16"))) != []


def test_our_own_exports_are_read_again() -> None:
    for write in (eaf, our_textgrid):
        found = read_annotations(write(video()).encode())
        assert ("combined", 0.0, 4.0, "happy") in [(tier.lower(), *rest) for tier, *rest in brief(found)]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("start,end,emotion\n0,1.5,happy\n", [("", 0.0, 1.5, "happy")]),
        ("\ufeffBegin;End;Label;Tier\n0,5;1,5;sad;a\n\n", [("a", 0.5, 1.5, "sad")]),
        ("onset\toffset\tvalue\n0:01\t0:02.5\tfear", [("", 1.0, 2.5, "fear")]),
        ("time,emotion\n3,happy", [("", 3.0, None, "happy")]),
    ],
)
def test_tables(table: str, expected: list[tuple[str, float, float | None, str]]) -> None:
    assert brief(read_annotations(table.encode())) == expected


def test_table_with_raters_persons_and_comments() -> None:
    table = 'start,end,emotion,rater,person,comment\n0,1,happy,Ann,2,"big, warm"\n'
    assert read_annotations(table.encode()) == [Annotation("", 0.0, 1.0, "happy", "Ann", "2", "big, warm")]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", UnsupportedRatings),
        (b"just some text", UnsupportedRatings),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", UnsupportedRatings),
        (b"<html></html>", UnsupportedRatings),
        (b"start,end,emotion\nx,1,happy", InvalidRatings),
        (b"start,end,emotion\n-1,1,happy", InvalidRatings),
        (b"start,end,emotion\nnan,1,happy", InvalidRatings),
        (b"start,end,emotion\n" + b"0,1,a\n" * 20_001, InvalidRatings),
        (bytes(MAX_BYTES + 1), InvalidRatings),
        (b'File type = "ooTextFile"\nObject class = "TextGrid"\n0 1 <exists> 9e99', InvalidRatings),
        (b'File type = "ooTextFile"\nObject class = "PitchTier"\n', InvalidRatings),
    ],
)
def test_other_files_are_refused(data: bytes, error: type[AffectError]) -> None:
    with pytest.raises(error):
        read_annotations(data)


@pytest.mark.parametrize(("text", "seconds"), [("1.5", 1.5), ("1,5", 1.5), ("1:02:03.5", 3723.5), ("0", 0.0)])
def test_seconds(text: str, seconds: float) -> None:
    assert seconds_in(text) == seconds


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([EAF.format(slots=SLOTS, annotations=ONE.format("a", "c")), our_textgrid(video())]), st.data())
def test_damage_anywhere_is_refused_or_harmless(document: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(document)))
    damaged = document[:at] + data.draw(st.text(max_size=4)) + document[at + data.draw(st.integers(0, 9)) :]
    try:
        annotations = read_annotations(damaged.encode("utf-8", "surrogatepass"))
    except AffectError:
        return
    assert all(each.start >= 0 and (each.end is None or each.end >= each.start) for each in annotations)
