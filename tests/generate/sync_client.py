"""Derives the blocking client from the asynchronous one, by replacing words."""

import re
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "app" / "client" / "async_client.py"

DOCSTRINGS = {
    "The asynchronous client. `make generate` derives the blocking client (`client.py`) from this file.": (
        "The blocking client. Generated from `async_client.py` by `make generate`: do not edit."
    ),
    "Asynchronous client. An async context manager; belongs to one event loop.": (
        "Blocking client. A context manager; threads may share it."
    ),
}
"""Sentences that differ, and what replaces them."""
PATTERNS = {
    r"\basync (def|with|for)\b": r"\1",
    r"\bawait ": "",
    r"\basyncio\.sleep\b": "time.sleep",
    r"\bimport asyncio\n": "",
    r"\bAsync(Client|Iterator)\b": r"\1",
    r"\basynccontextmanager\b": "contextmanager",
    r"\b__a(enter|exit)__\b": r"__\1__",
    r"\ba(close|read|iter_bytes)\(": r"\1(",
    r"for (\w+) in ([\w.]+):\n +yield \1\n": r"yield from \2\n",
}
"""Regular expressions, applied in this order, and what replaces their matches."""


def generate() -> str:
    """Return the module of the blocking client. Raises ValueError if a replacement no longer applies."""
    text = SOURCE.read_text()
    for pattern, replacement in ({re.escape(sentence): new for sentence, new in DOCSTRINGS.items()} | PATTERNS).items():
        text, count = re.subn(pattern, replacement, text)
        if not count:
            raise ValueError(f"async_client.py no longer contains {pattern!r}")
    return text
