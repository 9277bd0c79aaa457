"""Audio tracks of a media file: which there are, and what they are called."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml.languages import language_name

MAX_NAME_LENGTH = 60
"""Maximum characters of a title that a notice repeats: files may hold anything there."""
MAX_NAMED_TRACKS = 16
_UNDETERMINED = frozenset({"", "und", "unk", "mis", "zxx"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")
_GENERIC = re.compile(r"handler|^audio$|^sound$|^stereo$|^mono$|^surround", re.IGNORECASE)
"""Titles that muxers write by themselves, such as `SoundHandler`."""


@dataclass(frozen=True)
class AudioTrack:
    """An audio track that can be decoded. The names of its fields are part of the format of kept features.

    Attributes:
        stream: index of its stream in the container.
        channels: number of its channels.
        language, title: as the container names them; null if it does not.
        is_default: whether players choose it.
    """

    stream: int
    channels: int
    language: str | None = None
    title: str | None = None
    is_default: bool = False

    @classmethod
    def from_stream(cls, stream: Mapping[str, Any]) -> "AudioTrack":
        """Convert a stream of ffprobe's report."""
        tags = {str(name).lower(): str(value) for name, value in stream.get("tags", {}).items()}
        language = tags.get("language", "").strip().lower()
        titles = (_printable(tags.get(name, "")) for name in ("title", "handler_name"))
        return cls(
            stream=stream["index"],
            channels=stream["channels"],
            language=None if language in _UNDETERMINED else language[:MAX_NAME_LENGTH],
            title=next((title for title in titles if title and not _GENERIC.search(title)), None),
            is_default=bool(stream.get("disposition", {}).get("default")),
        )

    @property
    def description(self) -> str:
        """Language and title, such as `English, "Commentary"`; empty if the container names neither."""
        language = (language_name(self.language) or _printable(self.language)) if self.language else ""
        title = f'"{self.title}"' if self.title else ""
        return ", ".join(filter(None, (language, title)))


def describe_tracks(tracks: Sequence[AudioTrack]) -> str:
    """Return all tracks by number, such as `0 (English), 1 (German, "Commentary"), 2`."""
    named = [
        f"{number} ({track.description})" if track.description else str(number)
        for number, track in enumerate(tracks[:MAX_NAMED_TRACKS])
    ]
    more = [f"and {len(tracks) - MAX_NAMED_TRACKS} more"] if len(tracks) > MAX_NAMED_TRACKS else []
    return ", ".join([*named, *more])


def _printable(text: str) -> str:
    return " ".join(_CONTROL.sub(" ", text).split())[:MAX_NAME_LENGTH]
