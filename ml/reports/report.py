"""Parts shared by all export formats: safe text, times, readings and moments in words."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ml.results import Media, Moment, Reading, Result, Transcript, VocalBurst, Window
from ml.vocabulary import MODALITIES, MODALITY_NAMES, NO_SIGNAL, channel_name

DISCLAIMER = "Results describe the expression an observer would see, not what someone feels, and they are often wrong."

MAX_NAMED_LABELS = 3
"""Maximum number of labels that are named in a short text."""
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Characters that XML forbids, that move a terminal's cursor, or that break or reverse a line."""


@dataclass(frozen=True)
class Report:
    """A result, and the name of the analysed file."""

    name: str
    result: Result


@dataclass(frozen=True)
class ChannelTrack:
    """Timeline of the whole media, or of one audio channel. `channel`: its number, counted from 0, or None;
    `transcript`: its words, None if they are not known by channel."""

    channel: int | None
    windows: tuple[Window, ...]
    overall: Reading
    transcript: Transcript | None = None

    @property
    def name(self) -> str:
        """Display name, such as `Channel 0` for the first channel; empty for the whole media."""
        return "" if self.channel is None else channel_name(self.channel)


def channel_tracks(result: Result) -> tuple[ChannelTrack, ...]:
    """Return the timeline of the whole media, then of the channels that were analysed separately."""
    separate = (
        ChannelTrack(channel.channel, channel.windows, channel.overall, channel.transcript)
        for channel in result.channels or ()
    )
    return (ChannelTrack(None, result.windows, result.overall, result.transcript), *separate)


def overall_name(media: Media) -> str:
    """Return the display name of the overall reading."""
    return "Whole photo" if media.kind == "image" else "Whole file"


def sanitize(text: str) -> str:
    """Return the text as one line, without characters that would harm a file or a terminal."""
    return " ".join(_UNSAFE.sub(" ", text).split())


def milliseconds(time: float) -> int:
    """Convert seconds to whole milliseconds, never negative."""
    return max(round(time * 1000), 0)


def reading_text(reading: Reading) -> str:
    """Return a reading in words: `happy 77%`; of several labels, `neutral or sad`."""
    if reading.emotion is None:
        return NO_SIGNAL
    labels = reading.labels_90 or (reading.emotion,)
    return f"{reading.emotion} {reading.confidence:.0%}" if len(labels) == 1 else labels_text(labels)


def labels_text(labels: Sequence[str]) -> str:
    """Return labels, the most probable first, in words: `neutral or sad`; of many, `unclear, perhaps neutral`."""
    if len(labels) > MAX_NAMED_LABELS:
        return f"unclear, perhaps {labels[0]}"
    *first, last = labels
    return f"{', '.join(first)} or {last}" if first else last


def certainty_text(reading: Reading) -> str:
    """Return how often such readings are right, in words; empty if the models do not know."""
    if reading.emotion is None or reading.labels_90 is None:
        return ""
    tenths = min(max(round(reading.confidence * 10), 1), 9)
    start = "Uncertain. " if reading.uncertain else ""
    *first, last = reading.labels_90
    labels = f"{', '.join(first)} or {last}" if first else last
    return (
        f"{start}In tests on people that the models had never met, about {tenths} in 10 readings as sure as this named "
        f"the right emotion. Likely: {labels}; such labels held the right one in 9 of 10 readings."
    )


def burst_text(burst: VocalBurst, names: Mapping[int, str] | None = None) -> str:
    """Return a vocal burst in words: `Ann: laugh`. `names`: display names of people by number."""
    name = (names or {}).get(burst.person or 0)
    return sanitize(f"{name}: " * bool(name) + burst.kind)


def moment_text(moment: Moment, names: Mapping[int, str] | None = None) -> str:
    """Return a moment in words: `neutral → angry: voice, words`; `happy peak: face`. `names`: display names of people
    by number; a moment of one of them begins with the name."""
    change = f"{moment.to} peak" if moment.kind == "peak" else f"{moment.from_ or NO_SIGNAL} → {moment.to}"
    support = ", ".join(MODALITY_NAMES[modality].lower() for modality in MODALITIES if modality in moment.why)
    name = (names or {}).get(moment.person or 0)
    return sanitize(f"{name}: " * bool(name) + change + f": {support}" * bool(support))
