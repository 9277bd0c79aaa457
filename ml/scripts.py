"""Text in any script: characters as readers see them, their width, words, direction, and places to break a line.

The rules are those of Unicode (UAX #11, #14 and #29) in a small form. Chinese, Japanese and Thai have no spaces between
words; models of BudouX (Apache-2.0) find words and phrases there. In Lao, Khmer and Burmese, which have none, a line
may break between any two syllables, and words are counted by their usual length.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import budoux.parser

_ZWJ, _ZWNJ = "\u200d", "\u200c"
_VIRAMA_CLASS = 9
"""Combining class of the signs that join two consonants of India into one character."""
_HAN = "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_THAI = "\u0e00-\u0e7f"
_WITHOUT_MODEL = "\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Lao, Burmese, Khmer."""
_PUNCTUATION = "\u3000-\u3004\u3008-\u303f\uff00-\uff65"
_UNSPACED = re.compile(f"[{_HAN}{_KANA}{_THAI}{_WITHOUT_MODEL}{_PUNCTUATION}]")
"""Characters next to which a line may break without a space."""
_RUNS = re.compile(
    f"[{_HAN}{_KANA}{_PUNCTUATION}]+|[{_THAI}]+|[{_WITHOUT_MODEL}]+|[^{_HAN}{_KANA}{_THAI}{_WITHOUT_MODEL}{_PUNCTUATION}]+"
)
_SYLLABLES_OF_WORD = 3
"""Usual length of a word, in characters as readers see them, of scripts without a model."""
_NEVER_FIRST = frozenset(
    "、。，．・：；？！ー々〻ゝゞヽヾぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ」』）〕］｝〉》】〙〗〟’”…‥,.!?:;)]}%％℃。｡｣､"
    "ะาำๅๆฯະາຳໆ"
)
"""Characters that begin no line: closing punctuation, small kana, vowels that follow their consonant."""
_NEVER_LAST = frozenset("「『（〔［｛〈《【〘〖〝‘“([{$￥¥｢เแโใไເແໂໃໄ")
"""Characters that end no line: opening punctuation, vowels that precede their consonant."""
_SENTENCE_MARKS = frozenset("、。，．；：？！…‥」』）】｡､")
_Division = Literal["words", "phrases"]
_BETWEEN_WORDS = re.compile("[–—…/,;:!?_]+|\\.{2,}")
_EMOJI_VARIANT = "\ufe0f"
_GOOD_SHARE = 0.5
"""Minimum share of a line that is filled if it breaks at a space or mark instead of later."""


class Unit(NamedTuple):
    """Piece of text that no line break may divide. `is_spaced`: whether a space precedes it; `is_good_start`: whether a
    reader would like a line to begin with it."""

    text: str
    is_spaced: bool
    is_good_start: bool


def graphemes(text: str) -> Iterator[str]:
    """Yield the characters as readers see them: letters with their marks, syllables, composed emoji, flags."""
    cluster = ""
    for character in text:
        if cluster and _extends(cluster, character):
            cluster += character
        else:
            if cluster:
                yield cluster
            cluster = character
    if cluster:
        yield cluster


def _extends(cluster: str, character: str) -> bool:
    if character < "\u0300":
        return False
    last = cluster[-1]
    if unicodedata.category(character) in ("Mn", "Mc", "Me") or character in (_ZWJ, _ZWNJ, "\u0e33", "\u0eb3"):
        return True
    if last == _ZWJ or "\U0001f3fb" <= character <= "\U0001f3ff" or "\U000e0020" <= character <= "\U000e007f":
        return True
    if _is_flag_letter(character):
        return len(cluster) == 1 and _is_flag_letter(cluster)
    if unicodedata.combining(last) == _VIRAMA_CLASS:
        return unicodedata.category(character) == "Lo"
    return "\u1160" <= character <= "\u11ff" and "\u1100" <= last <= "\u11ff"  # parts of a Hangul syllable


def _is_flag_letter(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def display_width(text: str) -> int:
    """Return the width in columns: wide characters (Chinese, Japanese, Korean, emoji) have two, marks none."""
    return len(text) if text.isascii() else sum(map(_grapheme_width, graphemes(text)))


def _grapheme_width(cluster: str) -> int:
    first = cluster[0]
    if unicodedata.category(first) in ("Mn", "Me", "Cf", "Cc"):
        return 0
    is_wide = unicodedata.east_asian_width(first) in ("W", "F") or _is_flag_letter(first) or "\ufe0f" in cluster
    return 2 if is_wide else 1


def is_right_to_left(text: str) -> bool:
    """Return whether the first letter is of a script that is written from right to left."""
    for character in text:
        direction = unicodedata.bidirectional(character)
        if direction in ("L", "R", "AL"):
            return direction != "L"
    return False


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return the beginning and end of each word, with the punctuation around it."""
    spans: list[tuple[int, int]] = []
    for chunk in re.finditer(r"\S+", text):
        start = chunk.start()
        for piece in _pieces(chunk[0], text, "words"):
            end = start + len(piece)
            if spans and spans[-1][1] == start and not any(map(str.isalnum, piece)):
                spans[-1] = spans[-1][0], end
            else:
                spans.append((start, end))
            start = end
    return spans


def _pieces(chunk: str, text: str, division: _Division) -> Iterator[str]:
    """Divide a chunk without spaces of a text into words, or into phrases."""
    if not _UNSPACED.search(chunk):
        yield chunk
        return
    for run in _RUNS.findall(chunk):
        if re.match(f"[{_WITHOUT_MODEL}]", run):
            characters = list(graphemes(run))
            size = _SYLLABLES_OF_WORD if division == "words" else 1
            yield from ("".join(characters[first : first + size]) for first in range(0, len(characters), size))
        elif _UNSPACED.match(run):
            yield from _parsed(run, _model_for(run, text, division))
        else:
            yield run


def _model_for(run: str, text: str, division: _Division) -> str:
    if re.match(f"[{_THAI}]", run):
        return "th"
    if re.search(f"[{_KANA}]", text):
        return "ja_word" if division == "words" else "ja"
    return "zh-hans"


def _parsed(run: str, model: str) -> Iterator[str]:
    """Yield the pieces that a model finds, none of which divides a character as readers see it."""
    ends, place = {0}, 0
    for character in graphemes(run):
        place += len(character)
        ends.add(place)
    piece, place = "", 0
    for part in _parser(model).parse(run):
        piece, place = piece + part, place + len(part)
        if place in ends:
            yield piece
            piece = ""


@cache
def _parser(model: str) -> budoux.parser.Parser:
    return budoux.parser.Parser(json.loads(Path(budoux.parser.MODEL_DIR, f"{model}.json").read_text("utf-8")))


def plain_words(text: str) -> Iterator[str]:
    """Yield the words without the punctuation around them, and those that dashes or strokes join; no emoji."""
    for start, end in word_spans(text):
        for part in _BETWEEN_WORDS.split(text[start:end]):
            letters = [place for place, character in enumerate(part) if _is_of_word(character)]
            if letters and any(map(str.isalnum, part)):
                yield part[letters[0] : letters[-1] + 1]


def _is_of_word(character: str) -> bool:
    return character.isalnum() or (unicodedata.category(character) in ("Mn", "Mc") and character != _EMOJI_VARIANT)


def count_words(text: str) -> int:
    """Return the number of words."""
    return len(word_spans(text))


def break_units(text: str) -> list[Unit]:
    """Divide a text at every place at which a line may break."""
    units: list[Unit] = []
    for chunk in text.split():
        for number, piece in enumerate(_unbreakable(chunk, text)):
            is_spaced = number == 0 and bool(units)
            after_mark = bool(units) and units[-1].text[-1] in _SENTENCE_MARKS
            units.append(Unit(piece, is_spaced, is_spaced or after_mark))
    return units


def _unbreakable(chunk: str, text: str) -> Iterator[str]:
    """Yield the phrases of a chunk, with the punctuation that must not be apart from them."""
    piece = ""
    for before, after in pairwise(["", *_pieces(chunk, text, "phrases")]):
        if before and after[0] not in _NEVER_FIRST and before[-1] not in _NEVER_LAST:
            yield piece
            piece = ""
        piece += after
    yield piece


def join_units(units: Sequence[Unit]) -> str:
    """Return the text of consecutive units, without a space before the first."""
    return "".join(" " * (unit.is_spaced and number > 0) + unit.text for number, unit in enumerate(units))


def fill_lines(units: Sequence[Unit], width: float, measure: Callable[[str], float] = display_width) -> Iterator[slice]:
    """Yield the units of each line of at most this width; a unit that is wider has a line of its own.

    A line ends at a space or after a mark, unless half of it would stay empty.
    """
    first = 0
    while first < len(units):
        end = first + 1
        while end < len(units) and measure(join_units(units[first : end + 1])) <= width:
            end += 1
        if end < len(units):
            end = _good_end(units, first, end, width, measure)
        yield slice(first, end)
        first = end


def _good_end(units: Sequence[Unit], first: int, end: int, width: float, measure: Callable[[str], float]) -> int:
    for place in range(end, first, -1):
        if units[place].is_good_start:
            return place if measure(join_units(units[first:place])) >= width * _GOOD_SHARE or place == end else end
    return end


def split_wide(unit: Unit, width: int) -> Iterator[Unit]:
    """Yield pieces of a unit of at most this many columns; a single character that is wider stays whole."""
    pieces: list[list[str]] = [[]]
    columns = 0
    for character in graphemes(unit.text):
        wide = _grapheme_width(character)
        if pieces[-1] and columns + wide > width:
            moves = character[0] in _NEVER_FIRST and len(pieces[-1]) > 1
            pieces.append([pieces[-1].pop()] if moves else [])
            columns = sum(map(_grapheme_width, pieces[-1]))
        pieces[-1].append(character)
        columns += wide
    for number, piece in enumerate(pieces):
        yield Unit("".join(piece), unit.is_spaced and number == 0, unit.is_good_start and number == 0)


def wrap(text: str, width: int) -> list[str]:
    """Return the lines of a text, each of at most `width` columns."""
    units = [piece for unit in break_units(text) for piece in split_wide(unit, width)]
    return [join_units(units[line]) for line in fill_lines(units, width)]
