"""Spoken words of captions: their text without the names of speakers, descriptions of sounds, and marks.

A time stamp within the text is written as `\\0seconds\\0` (`stamp`), which no input contains: control characters are
removed before.
"""

import re
from collections.abc import Iterable

MAX_NAME_CHARACTERS = 60
MAX_NAME_WORDS = 5
MIN_NAMED_LINES = 2
"""Minimum number of lines with names in a document in which one capitalised word (`Jane:`) is a name as well: a single
`Remember:` is a word."""

_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]")
STAMP = re.compile("\0([^\0]*)\0")
_SOUNDS = re.compile(r"\[[^\[\]]{0,200}\]|【[^【】]{0,200}】")
_SOUNDS_OF_CAPTIONS = re.compile(r"\([^()]{0,200}\)|（[^（）]{0,200}）|\*[^*\n]{1,60}\*")
_MUSIC = re.compile("[♩♪♫♬🎵🎶\ufe0e\ufe0f]|(?<!\\S)#+(?!\\S)")
_MARKS = re.compile(r"(?:\0[^\0]*\0|\s|>{2,}|>(?=\s)|[-‐–—](?![\d‐–—-])|•|:(?=\s))+")
_PREFIX = re.compile(rf"([^\0\n:：]{{1,{MAX_NAME_CHARACTERS}}}?)\s*(?::(?=[\s\0]|\Z)|：)")
_PARTICLES = frozenset({"al", "bin", "da", "de", "del", "den", "der", "di", "el", "ibn", "la", "le", "van", "von", "y"})
_NESTED = 3
"""Number of levels of nested brackets that are removed."""


def clean(text: str) -> str:
    """Return text without control characters, marks of direction and surrogates, with `\\n` as the only line break."""
    return _CONTROL.sub("", text).removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def stamp(seconds: float) -> str:
    """Return a time stamp within text."""
    return f"\0{seconds}\0"


def is_name(text: str) -> bool:
    """Return whether a text before a colon or a time looks like the name of a speaker: a few words, all capitalised."""
    words = text.split()
    if not 0 < len(words) <= MAX_NAME_WORDS or not words[0][0].isalpha() or words[0][0].islower():
        return False
    return all(not word[0].islower() or word in _PARTICLES for word in words)


def has_names(texts: Iterable[str], *, captions: bool) -> bool:
    """Return whether a document prefixes its lines with names."""
    count = 0
    for text in texts:
        for line in _without_sounds(text, captions).split("\n"):
            count += _name_of(_without_marks(line)[0]) is not None
            if count >= MIN_NAMED_LINES:
                return True
    return False


def spoken_text(text: str, *, captions: bool, named: bool) -> str:
    """Return the words of a text and its stamps.

    `captions`: whether round brackets and asterisks hold descriptions too, as in captions. `named`: whether the
    document prefixes lines with names (`has_names`).
    """
    return "\n".join(_without_name(line, named) for line in _without_sounds(text, captions).split("\n"))


def _without_sounds(text: str, captions: bool) -> str:
    for pattern in (_SOUNDS, _SOUNDS_OF_CAPTIONS) if captions else (_SOUNDS,):
        for _ in range(_NESTED):
            text, count = pattern.subn(_stamps_of, text)
            if not count:
                break
    return _MUSIC.sub(" ", text)


def _without_name(line: str, named: bool) -> str:
    """Remove the marks at the start of a line, the name after them, and the marks after that."""
    line, before = _without_marks(line)
    label = _name_of(line)
    if label is None or not (named or _is_certain(label)):
        return before + line
    prefix = _PREFIX.match(line)
    assert prefix is not None
    rest, between = _without_marks(line[prefix.end() :])
    return before + between + rest


def _without_marks(line: str) -> tuple[str, str]:
    """Return the line without the marks at its start, and the stamps among them."""
    marks = _MARKS.match(line)
    return (line[marks.end() :], _stamps_of(marks)) if marks else (line, "")


def _name_of(line: str) -> str | None:
    prefix = _PREFIX.match(line)
    return prefix[1] if prefix and is_name(prefix[1]) else None


def _is_certain(label: str) -> bool:
    """Return whether a label is a name without further evidence: `JANE`, `Jane Doe`, `Speaker 1`, `SPEAKER_00`."""
    return len(label.split()) > 1 or label.isupper() or any(map(str.isdigit, label))


def _stamps_of(match: re.Match[str]) -> str:
    return "".join(found[0] for found in STAMP.finditer(match[0]))
