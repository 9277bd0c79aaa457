"""How far decoding got, and what follows for the media as a whole. The extents of several parts can be combined."""

import math
from dataclasses import dataclass
from typing import Self

from ml.errors import MediaInvalid
from ml.media.limits import MediaLimits, too_long, too_many_pixels
from ml.media.probe import MediaInfo

CODEC_PADDING_SECONDS = 0.1
"""Seconds by which a codec's padding may make decoded streams differ from the declared duration."""
MIN_DECODED_SECONDS = 1.0
"""Minimum seconds that must be decoded for damaged media to be accepted."""


@dataclass(frozen=True)
class DecodedExtent:
    """How far decoding got. The names of its fields are part of the format of kept features.

    Attributes:
        picture, sound: seconds at which the decoded video and audio end; 0 if missing.
        damaged: whether ffmpeg reported errors.
        oversized: whether one of them was a frame with too many pixels.
        step: seconds between two frames; 0 if no frames were requested.
        heard: whether audio was requested.
    """

    picture: float = 0.0
    sound: float = 0.0
    damaged: bool = False
    oversized: bool = False
    step: float = 0.0
    heard: bool = False

    def __or__(self, other: Self) -> "DecodedExtent":
        """Return the union of two extents: of two parts, or of video and audio."""
        return DecodedExtent(
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
        """Return the seconds of media.

        The declared duration is returned if decoding confirms it within a codec's padding, or if it covers a stream
        that was not requested.
        """
        # The last frame stays on screen for at most one step of the grid: the video ends within that step.
        last_frame = self.picture - self.step if self.picture else 0.0
        shortest = max(last_frame, self.sound - CODEC_PADDING_SECONDS)
        longest = math.inf if self._has_undecoded_stream(info) else self.end + CODEC_PADDING_SECONDS
        if info.duration is not None and not info.duration_guessed and shortest < info.duration <= longest:
            return info.duration
        return self.sound if self.sound > last_frame else self.picture

    def validate(self, info: MediaInfo, limits: MediaLimits) -> bool:
        """Return whether the media is damaged; False if nothing was requested.

        Raises MediaInvalid, MediaTooLong or FrameTooLarge if the media cannot be used.
        """
        if not self.step and not self.heard:
            return False
        if self.end == 0:
            if self.oversized:
                raise too_many_pixels(limits)
            if info.kind == "audio" and not self.damaged:
                raise MediaInvalid("The file has an audio track, but no sound in it.")
            raise MediaInvalid("Nothing in the file could be decoded. It seems damaged.")
        if max(self.sound, self.picture - self.step) > limits.max_seconds:
            raise too_long(limits)
        declared = info.duration or MIN_DECODED_SECONDS
        # ffmpeg reports no error for a file that is cut off between two packets.
        checked = not (info.duration_guessed or self._has_undecoded_stream(info))
        damaged = self.damaged or (checked and self.end < declared - MIN_DECODED_SECONDS)
        if damaged and self.end < min(MIN_DECODED_SECONDS, declared - CODEC_PADDING_SECONDS):
            raise MediaInvalid("The file is damaged: less than one second of it could be decoded.")
        return damaged

    def validate_audio(self, info: MediaInfo, limits: MediaLimits) -> None:
        """Validate what is known once the audio is decoded and no frame is. Raises as `validate`."""
        if info.kind == "audio":
            self.validate(info, limits)
        elif self.sound > limits.max_seconds:
            raise too_long(limits)

    def _has_undecoded_stream(self, info: MediaInfo) -> bool:
        """Return whether the media has a stream that was not requested."""
        return (info.has_video and not self.step) or (info.has_audio and not self.heard)
