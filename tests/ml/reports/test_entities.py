import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.reports.entities import unescape

DIGITS = "9" * 5000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fish &amp; chips &#39;n&#39; &#x1F600;", "fish & chips 'n' \U0001f600"),
        ("&#0000000000065;&#65 B", "AA B"),
        (f"a &#{DIGITS}; b", "a \ufffd b"),
        (f"&#{'0' * 5000}65;", "A"),
        (f"&#x{'f' * 5000};", "\ufffd"),
    ],
)
def test_unescape_resolves_references_of_any_length(text: str, expected: str) -> None:
    assert unescape(text) == expected


@given(st.text(st.sampled_from("&#;x019afz ampltg"), max_size=30))
def test_unescape_short_references_is_html_unescape(text: str) -> None:
    assert unescape(text) == html.unescape(text)
