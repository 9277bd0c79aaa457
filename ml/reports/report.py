"""What several reports say alike: safe text, times, readings and moments in words."""

import re
from dataclasses import dataclass

from ml.results import Moment, Reading, Result, Window
from ml.vocabulary import MODALITIES

DISCLAIMER = "How people come across, as others would label it; not what they feel inside."
NOTHING = "nothing to read"

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""What XML forbids, what moves a terminal's cursor, what breaks or turns a line."""


@dataclass(frozen=True)
class Report:
    """A result, and the name of the file it was read from."""

    name: str
    result: Result


@dataclass(frozen=True)
class Voice:
    """A timeline of the media: the whole's, or that of one audio channel."""

    channel: int | None
    windows: tuple[Window, ...]
    overall: Reading

    @property
    def name(self) -> str:
        """`Channel 1`; empty for the whole."""
        return "" if self.channel is None else f"Channel {self.channel}"


def voices_of(result: Result) -> tuple[Voice, ...]:
    """The whole first, then the channels that were read separately."""
    apart = (Voice(channel.channel, channel.windows, channel.overall) for channel in result.channels or ())
    return (Voice(None, result.windows, result.overall), *apart)


def plain(text: str) -> str:
    """The text in one line, without the characters that would harm a file or a terminal."""
    return " ".join(_UNSAFE.sub(" ", text).split())


def milliseconds(time: float) -> int:
    """Seconds → whole milliseconds, never negative."""
    return max(round(time * 1000), 0)


def told(reading: Reading) -> str:
    """`happy 77%`."""
    return NOTHING if reading.emotion is None else f"{reading.emotion} {reading.confidence:.0%}"


def moment_told(moment: Moment) -> str:
    """`from neutral to angry: audio, text`; `peak of happy: face`."""
    what = f"peak of {moment.to}" if moment.kind == "peak" else f"from {moment.from_ or NOTHING} to {moment.to}"
    why = ", ".join(modality for modality in MODALITIES if modality in moment.why)
    return plain(f"{what}: {why}" if why else what)
