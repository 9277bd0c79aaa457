"""Character references in captions, such as `&amp;` and `&#39;`."""

import html
import re

_DECIMAL = re.compile(r"&#([0-9]+);?")
_MAX_DIGITS = 7
"""Maximum digits of the number of a Unicode character. Python refuses to parse numbers of several thousand digits."""


def unescape(text: str) -> str:
    """Return the text with its references resolved as HTML defines it. A number beyond Unicode becomes U+FFFD."""
    return html.unescape(_DECIMAL.sub(_without_overlong_number, text))


def _without_overlong_number(reference: re.Match[str]) -> str:
    digits = reference[1].lstrip("0") or "0"
    return f"&#{digits};" if len(digits) <= _MAX_DIGITS else "\ufffd"
