"""Drawing shared by all images: the palette, wrapped text, text on a coloured ground."""

from PIL import ImageColor, ImageDraw

from ml.rendering.typeface import Colour, Typeface
from ml.reports.palette import emotion_colour
from ml.scripts import break_units, fill_lines, graphemes, join_units

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
_ELLIPSIS = "…"
_TALL = "Ag%"
"""Text as high as any."""


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


def wrap_text(text: str, face: Typeface, width: float, max_lines: int) -> list[str]:
    """Wrap the text to at most `max_lines` lines of `width` pixels; text that does not fit ends in an ellipsis."""
    units = break_units(text)
    lines: list[str] = []
    for line in fill_lines(units, width, face.length):
        if len(lines) == max_lines:
            lines[-1] += _ELLIPSIS
            break
        lines.append(join_units(units[line]))
    return [_truncate(line, face, width) for line in lines]


def _truncate(line: str, face: Typeface, width: float) -> str:
    """Cut off the end of a line that is too long."""
    characters = list(graphemes(line.removesuffix(_ELLIPSIS)))
    while len(characters) > 1 and face.length(line) > width:
        characters.pop()
        line = "".join(characters) + _ELLIPSIS
    return line


def draw_label(draw: ImageDraw.ImageDraw, left: float, top: float, text: str, face: Typeface, ground: Colour) -> None:
    """Draw text on a coloured ground with its upper left corner at (left, top)."""
    box = draw.textbbox((left, top), _TALL, font=face.main)
    margin = max(2, round((box[3] - box[1]) / 4))
    draw.rectangle((left, top, left + face.length(text) + 2 * margin, box[3] + margin), fill=ground)
    face.draw(draw, (left + margin, top), text, text_colour_on(ground))
