"""Reader of Praat's TextGrid, long and short: what matters is the order of its numbers, strings and flags."""

import re
from collections.abc import Iterator

from ml.errors import InvalidRatings
from ml.ratings.interval import Annotation

_TOKEN = re.compile(
    r'"((?:[^"]|"")*)"|(<exists>|<absent>)|(?<![\w\[])([+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)(?![\w\]])'
)
"""Free-standing strings, flags and numbers; the long form's names, as `intervals [3]:`, are passed over."""
MAX_TIERS = 1000


def read_textgrid(text: str) -> Iterator[Annotation]:
    """Yield the labelled intervals and points of a grid, tier by tier. Raises InvalidRatings."""
    tokens = _Tokens(text)
    if (tokens.string(), tokens.string()) != ("ooTextFile", "TextGrid"):
        raise InvalidRatings("The file is a Praat object of another kind than a TextGrid.")
    tokens.number(), tokens.number()
    if tokens.flag() == "<absent>":
        return
    for _ in range(tokens.count(MAX_TIERS)):
        kind, name = tokens.string(), tokens.string()
        tokens.number(), tokens.number()
        if kind not in ("IntervalTier", "TextTier"):
            raise InvalidRatings("A tier of the grid is of an unknown kind.")
        for _ in range(tokens.count(1_000_000)):
            start = tokens.number()
            end = tokens.number() if kind == "IntervalTier" else None
            label = tokens.string().strip()
            if start < 0 or (end is not None and end < start):
                raise InvalidRatings("An interval of the grid ends before it starts.")
            if label:
                yield Annotation(name.strip(), start, end, label)


class _Tokens:
    """The tokens of a grid, one after the other."""

    def __init__(self, text: str) -> None:
        self._matches = _TOKEN.finditer(text)

    def _next(self, group: int) -> str:
        match = next(self._matches, None)
        if match is None or match[group] is None:
            raise InvalidRatings("The grid is damaged.")
        return match[group]

    def string(self) -> str:
        return self._next(1).replace('""', '"')

    def flag(self) -> str:
        return self._next(2)

    def number(self) -> float:
        number = float(self._next(3))
        if not abs(number) < 1e9:
            raise InvalidRatings("A number of the grid is too great.")
        return number

    def count(self, maximum: int) -> int:
        number = self.number()
        if not 0 <= number <= maximum or number != int(number):
            raise InvalidRatings("A number of the grid is too great.")
        return int(number)
