"""What all pictures are drawn with: one font, the palette, text on a ground."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageColor, ImageDraw, ImageFont

from ml.reports.palette import colour_of

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
_FACE = "DejaVuSans.ttf"
_ELLIPSIS = "…"


@cache
def font(size: int) -> Font:
    """DejaVu Sans, which comes with matplotlib (and that with mediapipe), or the system's; else Pillow's own."""
    found = find_spec("matplotlib")
    folder = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" if found and found.origin else Path()
    for name in (str(folder / _FACE), _FACE):
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def rgb(emotion: str | None) -> Colour:
    """The emotion's colour."""
    red, green, blue = ImageColor.getrgb(colour_of(emotion))[:3]
    return red, green, blue


def ink_on(ground: Colour) -> Colour:
    """Black or white, whichever has the greater contrast (relative luminance of WCAG 2.1)."""

    def linear(value: int) -> float:
        share = value / 255
        return share / 12.92 if share <= 0.03928 else float(((share + 0.055) / 1.055) ** 2.4)

    red, green, blue = map(linear, ground)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return BLACK if luminance > 0.179 else WHITE


def wrapped(text: str, face: Font, width: float, lines: int) -> list[str]:
    """The text in at most so many lines of so many pixels; what does not fit ends in an ellipsis."""
    found: list[str] = []
    words = text.split()
    while words and len(found) < lines:
        count = 1
        while count < len(words) and face.getlength(" ".join(words[: count + 1])) <= width:
            count += 1
        found.append(" ".join(words[:count]))
        words = words[count:]
    if words:
        found[-1] += _ELLIPSIS
    return [_cut(line, face, width) for line in found]


def _cut(line: str, face: Font, width: float) -> str:
    """A line that has one word too long loses its end."""
    while len(line) > 1 and face.getlength(line) > width:
        line = line.removesuffix(_ELLIPSIS)[:-1] + _ELLIPSIS
    return line


def label(draw: ImageDraw.ImageDraw, left: float, top: float, text: str, face: Font, ground: Colour) -> None:
    """Text on a ground of its own colour, its upper left corner at the place."""
    box = draw.textbbox((left, top), text, font=face)
    margin = max(2, round((box[3] - box[1]) / 4))
    draw.rectangle((left, top, box[2] + 2 * margin, box[3] + margin), fill=ground)
    draw.text((left + margin, top), text, font=face, fill=ink_on(ground))
