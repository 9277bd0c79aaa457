"""One colour for each emotion, in terminal, picture, video and page: names always stand beside them.

Okabe and Ito, "Color Universal Design" (2008): told apart with any colour vision.
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
UNREAD = "#4A4A4A"
"""Where nothing could be read."""

TERMINAL: Mapping[str, int] = {
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
"""The same as near as the 256 colours of a terminal come."""


def colour_of(emotion: str | None) -> str:
    """`#RRGGBB`."""
    return UNREAD if emotion is None else COLOURS[emotion]
