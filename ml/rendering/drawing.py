"""Drawing shared by all images: one font, the palette, text on a coloured ground."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageColor, ImageDraw, ImageFont

from ml.reports.palette import emotion_colour

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
_FONT_FILE = "DejaVuSans.ttf"
_ELLIPSIS = "…"


@cache
def font(size: int) -> Font:
    """Return DejaVu Sans from matplotlib (a dependency of mediapipe) or from the system; otherwise Pillow's font."""
    matplotlib = find_spec("matplotlib")
    package = Path(matplotlib.origin).parent if matplotlib and matplotlib.origin else Path()
    for name in (str(package / "mpl-data" / "fonts" / "ttf" / _FONT_FILE), _FONT_FILE):
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def emotion_rgb(emotion: str | None) -> Colour:
    """Return the emotion's colour."""
    red, green, blue = ImageColor.getrgb(emotion_colour(emotion))[:3]
    return red, green, blue


def text_colour_on(ground: Colour) -> Colour:
    """Return black or white, whichever has the greater contrast (relative luminance of WCAG 2.1)."""

    def linear(value: int) -> float:
        share = value / 255
        return share / 12.92 if share <= 0.03928 else float(((share + 0.055) / 1.055) ** 2.4)

    red, green, blue = map(linear, ground)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return BLACK if luminance > 0.179 else WHITE


def wrap_text(text: str, face: Font, width: float, max_lines: int) -> list[str]:
    """Wrap the text to at most `max_lines` lines of `width` pixels; text that does not fit ends in an ellipsis."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < max_lines:
        count = 1
        while count < len(words) and face.getlength(" ".join(words[: count + 1])) <= width:
            count += 1
        lines.append(" ".join(words[:count]))
        words = words[count:]
    if words:
        lines[-1] += _ELLIPSIS
    return [_truncate(line, face, width) for line in lines]


def _truncate(line: str, face: Font, width: float) -> str:
    """Cut off the end of a line that consists of one word too long."""
    while len(line) > 1 and face.getlength(line) > width:
        line = line.removesuffix(_ELLIPSIS)[:-1] + _ELLIPSIS
    return line


def draw_label(draw: ImageDraw.ImageDraw, left: float, top: float, text: str, face: Font, ground: Colour) -> None:
    """Draw text on a coloured ground with its upper left corner at (left, top)."""
    box = draw.textbbox((left, top), text, font=face)
    margin = max(2, round((box[3] - box[1]) / 4))
    draw.rectangle((left, top, box[2] + 2 * margin, box[3] + margin), fill=ground)
    draw.text((left + margin, top), text, font=face, fill=text_colour_on(ground))
