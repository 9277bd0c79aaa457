"""Text of any script in images: DejaVu Sans, then the first installed font that has a character.

A script that no installed font has is named in brackets (`[Thai]`) instead of drawn as empty boxes; emoji are left out.
Right-to-left scripts and those that join letters need Raqm, which Pillow brings, and FriBidi, which ffmpeg's packages
bring. Debian's `fonts-noto-core` and `fonts-noto-cjk` have every script; smaller fonts work as well.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

from PIL import ImageDraw, ImageFont, features

from ml.scripts import graphemes, is_right_to_left

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Colour = tuple[int, int, int]

_FONT_FILE = "DejaVuSans.ttf"
_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts")
_MAX_FONT_FILES = 4096
"""Maximum number of installed fonts that are considered."""
_PREFERRED = ("NotoSans", "DroidSansFallback", "Lohit", "Loma", "Abyssinica", "NotoEmoji", "Symbola")
"""Beginnings of the names of fonts that come first."""
_UNSUITABLE = ("Color", "Bold", "Italic", "Oblique", "Thin", "Black", "Light", "Mono", "Condensed", "Display")
"""Parts of the names of fonts that are not used: other weights and styles of the same letters."""
_PROBE_SIZE = 20
_MISSING = ""
"""Stands for the file of a font that is not installed."""
_NO_CHARACTER = "\U0010ffff"
"""Character that no font has: what is drawn for it is the font's empty box."""
_SCRIPT_NAMES = {"CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean"}
"""Names for scripts, where the first word of Unicode's names for their characters is not the best one."""


class Typeface:
    """Draws text at one size with as many fonts as its characters need."""

    def __init__(self, size: int) -> None:
        """`size`: pixels."""
        self.size = size

    @cached_property
    def main(self) -> Font:
        """Font of most texts."""
        return main_font(self.size)

    @cached_property
    def _ascent(self) -> int:
        return self.main.getmetrics()[0] if isinstance(self.main, ImageFont.FreeTypeFont) else self.size

    def length(self, text: str) -> float:
        """Return the width of a text in pixels."""
        return sum(font.getlength(part) for font, part in self._parts(text))

    def draw(self, draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, fill: Colour) -> None:
        """Draw a text with its upper left corner at the place, all on one baseline."""
        x, y = place[0], place[1] + self._ascent
        for font, part in self._parts(text):
            draw.text((x, y), part, font=font, fill=fill, anchor="ls")
            x += font.getlength(part)

    def _parts(self, text: str) -> Iterator[tuple[Font, str]]:
        """Yield the parts of a text with their fonts, from left to right."""
        runs = [
            (path, "".join(part for _, part in run)) for path, run in groupby(drawable(text), key=lambda part: part[0])
        ]
        for path, part in reversed(runs) if is_right_to_left(text) else runs:
            yield (self.main if path is None else _font_of(path, self.size)), part


@cache
def typeface(size: int) -> Typeface:
    """Return the typeface of a size in pixels."""
    return Typeface(size)


def drawable(text: str) -> list[tuple[str | None, str]]:
    """Return the characters that can be drawn, each with the file of its font (None: the main font). A run of
    characters without a font is replaced by the name of their script."""
    parts: list[tuple[str | None, str]] = []
    last_missing, space = "", ""
    for character in graphemes(text):
        visible = _without_variants(character)
        if not visible.strip():
            space = " " * bool(visible)
            continue
        path = _font_for(visible[0])
        if path == _MISSING:
            name = _script_name(visible)
            if not name or name == last_missing:
                continue
            path, visible, last_missing = None, f"[{name}]", name
        else:
            last_missing = ""
        if space and parts:
            parts.append((path if path == parts[-1][0] else None, space))
        parts.append((path, visible))
        space = ""
    return parts


def _without_variants(character: str) -> str:
    """Return the character without what only fonts of colour emoji show: variants, and what is joined to the first."""
    first = character[0]
    if unicodedata.category(first) == "So" and first > "\u2000":
        return first
    return character.replace("\ufe0e", "").replace("\ufe0f", "")


def _script_name(character: str) -> str:
    """Return the display name of the script of a letter; empty for symbols."""
    letter = character[0]
    if not letter.isalpha():
        return ""
    first = unicodedata.name(letter, "").partition(" ")[0]
    return _SCRIPT_NAMES.get(first, first.title())


@cache
def _font_for(letter: str) -> str | None:
    """Return the file of the first font that has a letter; None for the main font, `_MISSING` if no font has it."""
    if unicodedata.bidirectional(letter) in ("R", "AL") and not features.check_feature("raqm"):
        return _MISSING
    if _has_glyph(main_font(_PROBE_SIZE), letter):
        return None
    return next((path for path in _installed_fonts() if _has_glyph(_probe(path), letter)), _MISSING)


def _has_glyph(font: Font | None, letter: str) -> bool:
    if font is None:
        return False
    mask = font.getmask(letter)
    return not letter.strip() or (mask.getbbox() is not None and bytes(mask) != _box(font))


@cache
def _box(font: Font) -> bytes:
    return bytes(font.getmask(_NO_CHARACTER))


@cache
def _font_of(path: str, size: int) -> Font:
    return ImageFont.truetype(path, size)


@cache
def _probe(path: str) -> Font | None:
    try:
        return ImageFont.truetype(path, _PROBE_SIZE, layout_engine=ImageFont.Layout.BASIC)
    except OSError:
        return None


@cache
def _installed_fonts() -> Sequence[str]:
    """Return the files of installed fonts, preferred ones first."""
    found = [
        path
        for folder in _FOLDERS
        for path in sorted(Path(folder).expanduser().rglob("*"))[:_MAX_FONT_FILES]
        if path.suffix.lower() in (".ttf", ".otf", ".ttc") and not any(part in path.stem for part in _UNSUITABLE)
    ]
    ranks = {name: rank for rank, name in enumerate(_PREFERRED)}
    found.sort(key=lambda path: min((ranks[n] for n in ranks if path.name.startswith(n)), default=len(ranks)))
    return [str(path) for path in found]


@cache
def main_font(size: int) -> Font:
    """Return DejaVu Sans from matplotlib (a dependency of mediapipe) or from the system; otherwise Pillow's font."""
    matplotlib = find_spec("matplotlib")
    package = Path(matplotlib.origin).parent if matplotlib and matplotlib.origin else Path()
    for name in (str(package / "mpl-data" / "fonts" / "ttf" / _FONT_FILE), _FONT_FILE):
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)
