"""One colour for each emotion, in terminal, image, video and page. Its name is always displayed with it.

Okabe and Ito, "Color Universal Design" (2008): distinguishable with any colour vision.
"""

from collections.abc import Mapping

_VERMILION, _GREEN, _PURPLE, _YELLOW = "#D55E00", "#009E73", "#CC79A7", "#F0E442"
_BLUE, _SKY, _GREY = "#0072B2", "#56B4E9", "#999999"

COLOURS: Mapping[str, str] = {
    "angry": _VERMILION,
    "disgust": _GREEN,
    "fear": _PURPLE,
    "happy": _YELLOW,
    "sad": _BLUE,
    "surprise": _SKY,
    "neutral": _GREY,
    "sad_fear": _BLUE,
    "surprise_disgust": _SKY,
}
NO_SIGNAL_COLOUR = "#4A4A4A"
"""Colour if there was nothing to read."""

TERMINAL_COLOURS: Mapping[str, int] = {
    "angry": 166,
    "disgust": 36,
    "fear": 175,
    "happy": 220,
    "sad": 33,
    "surprise": 81,
    "neutral": 245,
    "sad_fear": 33,
    "surprise_disgust": 81,
}
"""The nearest of a terminal's 256 colours."""


def emotion_colour(emotion: str | None) -> str:
    """Return the colour of an emotion as `#RRGGBB`."""
    return NO_SIGNAL_COLOUR if emotion is None else COLOURS[emotion]
