"""Properties of every export format."""

from typing import get_args

import pytest
from hypothesis import given

from ml.reports.formats import FORMATS, ROWS, FormatName, Rows
from ml.reports.report import Report
from tests.ml.reports.made_results import image, patient, reports

WRITERS = [(name, rows) for name, form in FORMATS.items() for rows in form.writers]


@patient
@given(reports())
def test_formats_any_report_can_be_written(report: Report) -> None:
    for form in FORMATS.values():
        for write in form.writers.values():
            text = write(report)
            assert text.encode().decode() == text
            assert not any(character in text for character in "\0\x1b\x85\u2028\u202e")


@pytest.mark.parametrize(("name", "rows"), WRITERS)
def test_formats_image_can_be_written(name: str, rows: Rows) -> None:
    assert isinstance(FORMATS[name].writers[rows](image()), str)


def test_formats_names_types_and_suffixes_are_unique() -> None:
    assert get_args(FormatName) == tuple(FORMATS)
    assert len({form.media_type for form in FORMATS.values()}) == len(FORMATS)
    assert len({form.suffix for form in FORMATS.values()}) == len(FORMATS)


def test_formats_rows_are_described() -> None:
    assert tuple(ROWS) == get_args(Rows)
