"""How far decoding came, and what that says of the media as a whole: parts of it are judged together."""

import math
from dataclasses import dataclass
from typing import Self

from ml.errors import MediaInvalid, MediaTooLong
from ml.media.limits import MediaLimits
from ml.media.probe import MediaInfo, too_many_pixels

SLACK_SECONDS = 0.1
"""By this much a codec's padding may make decoded streams differ from what the container says."""
LEAST_SECONDS = 1.0
"""Damaged media is read when at least this much could be decoded."""


@dataclass(frozen=True)
class Reach:
    """Seconds at which the decoded picture and sound end (0: there is none); whether the decoder met errors, and
    whether one of them was a picture of too many pixels. `step`: seconds between two frames, 0 where none were wanted;
    `heard`: whether sound was wanted."""

    picture: float = 0.0
    sound: float = 0.0
    damaged: bool = False
    oversized: bool = False
    step: float = 0.0
    heard: bool = False

    def __or__(self, other: Self) -> "Reach":
        """Of both together: two parts, or picture and sound."""
        return Reach(
            picture=max(self.picture, other.picture),
            sound=max(self.sound, other.sound),
            damaged=self.damaged or other.damaged,
            oversized=self.oversized or other.oversized,
            step=max(self.step, other.step),
            heard=self.heard or other.heard,
        )

    @property
    def end(self) -> float:
        return max(self.picture, self.sound)

    def duration(self, info: MediaInfo) -> float:
        """Seconds of media.

        What the container says stands where decoding bears it out within a codec's padding, and where it speaks of a
        stream that nobody asked for.
        """
        # The last frame stays for one step of the grid at most: the picture ends within that step.
        last_frame = self.picture - self.step if self.picture else 0.0
        least = max(last_frame, self.sound - SLACK_SECONDS)
        most = math.inf if self._leaves_unread(info) else self.end + SLACK_SECONDS
        if info.duration is not None and not info.duration_guessed and least < info.duration <= most:
            return info.duration
        return self.sound if self.sound > last_frame else self.picture

    def judge(self, info: MediaInfo, limits: MediaLimits) -> bool:
        """Whether the media is damaged; of what nobody decoded that is not known. Raises MediaInvalid, MediaTooLong or
        FrameTooLarge where it cannot be read."""
        if not self.step and not self.heard:
            return False
        if self.end == 0:
            if self.oversized:
                raise too_many_pixels(limits)
            if info.kind == "audio" and not self.damaged:
                raise MediaInvalid("The file holds no sound.")
            raise MediaInvalid("Nothing in the file could be decoded.")
        if max(self.sound, self.picture - self.step) > limits.max_seconds:
            raise too_long(limits)
        declared = info.duration or LEAST_SECONDS
        # A file cut where a packet ends is no error to ffmpeg.
        cut = not (info.duration_guessed or self._leaves_unread(info)) and self.end < declared - LEAST_SECONDS
        damaged = self.damaged or cut
        if damaged and self.end < min(LEAST_SECONDS, declared - SLACK_SECONDS):
            raise MediaInvalid("The media is damaged: less than a second of it could be decoded.")
        return damaged

    def judge_sound(self, info: MediaInfo, limits: MediaLimits) -> None:
        """What can be told before a picture is read. Raises as `judge`."""
        if info.kind == "audio":
            self.judge(info, limits)
        elif self.sound > limits.max_seconds:
            raise too_long(limits)

    def _leaves_unread(self, info: MediaInfo) -> bool:
        """Whether the media has a stream that nobody asked for."""
        return (info.has_video and not self.step) or (info.has_audio and not self.heard)


def too_long(limits: MediaLimits) -> MediaTooLong:
    return MediaTooLong(f"The media is longer than the {limits.max_seconds:g} seconds allowed.")
