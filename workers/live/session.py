"""One live stream in a worker: reads what has arrived and reports the current reading. It stores nothing."""

import time
from collections.abc import Iterator

import numpy as np

from ml.errors import MediaInvalid
from ml.inference.pipeline.live import LiveReader, LiveReading
from ml.inference.pipeline.live import TrackedLiveFace as TrackedFace
from ml.media.webcam import read_jpeg
from ml.results import LIVE_OPTIONS, Notice, Options
from workers.protocol.live.messages import LiveFace, LiveModalities, Update
from workers.protocol.live.streams import StreamInput

UPDATE_INTERVAL_SECONDS = 0.75
"""Seconds after which an update is sent even if no frame was read."""


class StreamSession:
    """One stream in progress."""

    def __init__(self, reader: LiveReader, options: Options) -> None:
        self._reader, self._options = reader, options
        self._last_frame = self._dropped = 0
        self._frame_size: tuple[int, int] | None = None
        self._updated_at = time.monotonic()

    def step(self, received: StreamInput) -> tuple[Update, int | None] | None:
        """Read what has arrived. Return an update and the number of the frame that it is the first to cover, or None if
        there is nothing to report yet.

        Raises MediaInvalid, FrameTooLarge.
        """
        if self._options.wants("audio"):
            for sound in received.sounds:
                self._reader.add_audio(sound.time, _samples(sound.payload))
        number = None
        if received.frame is not None and self._options.wants("face"):
            number = received.frame.number
            self._dropped += number - self._last_frame - 1
            self._last_frame = number
            self._read_frame(received.frame.packet.time, received.frame.packet.payload)
        if number is None and time.monotonic() - self._updated_at < UPDATE_INTERVAL_SECONDS:
            return None
        self._updated_at = time.monotonic()
        return self._update(self._reader.read()), number

    def _read_frame(self, at: float, payload: bytes) -> None:
        picture = read_jpeg(payload)
        height, width = picture.image.shape[:2]
        self._frame_size = round(width * picture.scale), round(height * picture.scale)
        self._reader.add_frame(at, picture.image, picture.scale)

    def _update(self, reading: LiveReading) -> Update:
        window = reading.window
        width, height = self._frame_size or (None, None)
        return Update(
            time=reading.time,
            width=width,
            height=height,
            faces=tuple(_face(face) for face in reading.faces),
            emotion=window.emotion,
            confidence=window.confidence,
            probabilities=window.probabilities,
            labels_90=window.labels_90,
            uncertain=window.uncertain,
            modalities=LiveModalities(face=window.modalities.face, audio=window.modalities.audio),
            missing=window.missing,
            dropped=self._dropped,
        )


def ignored_options(options: Options) -> Iterator[Notice]:
    """Yield a warning for each requested option that has no effect on a live stream."""
    changed = {name for name, value in options if value != Options.model_fields[name].default}
    for name in sorted(changed - LIVE_OPTIONS):
        yield Notice(code="option_not_live", message=f"The option {name} has no effect on a live stream.")
    if options.modalities and "text" in options.modalities:
        yield Notice(code="modality_unavailable", message="Words are not read in live streams.")


def _face(tracked: TrackedFace) -> LiveFace:
    frame = tracked.frame
    return LiveFace(
        track=tracked.track,
        box=frame.box,
        score=frame.score,
        emotion=frame.emotion,
        probabilities=frame.probabilities,
        labels_90=frame.labels_90,
        uncertain=frame.uncertain,
    )


def _samples(payload: bytes) -> np.ndarray:
    if len(payload) % 2:
        raise MediaInvalid("Live audio is 16-bit PCM: its length in bytes must be even.", stage="decode")
    return np.frombuffer(payload, "<i2").astype(np.int16)
