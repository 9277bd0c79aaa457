"""Live streams in a worker: reads several in turn, newest frame first, and keeps nothing of any."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np

from ml.errors import MediaInvalid
from ml.inference.face.predictor import FaceDetector
from ml.inference.pipeline.bundle import LoadedBundle
from ml.inference.pipeline.live import LiveFace as SeenLive
from ml.inference.pipeline.live import LiveReader, LiveReading
from ml.media.webcam import read_jpeg
from ml.results import Notice, Options
from ml.vocabulary import labels_of
from workers.jobs.failures import failure_of
from workers.jobs.runner import Signal
from workers.protocol.live.messages import Ended, LiveFace, LiveModalities, Ready, Update
from workers.protocol.live.streams import Arrival, LiveDesk

logger = logging.getLogger(__name__)

WAIT_SECONDS = 0.2
"""For which a round waits for something to come: how soon a new stream is seen by a worker that has others."""
TOLD_EVERY = 0.75
"""Seconds after which an update is told though no frame was read."""
_LIVE_OPTIONS = frozenset({"modalities", "classes", "max_faces", "window_seconds", "frame_rate"})


class Session:
    """One stream under way."""

    def __init__(self, reader: LiveReader, options: Options) -> None:
        self._reader, self._options = reader, options
        self._frame = self._dropped = 0
        self._size: tuple[int, int] | None = None
        self._told_at = time.monotonic()

    def step(self, arrived: Arrival) -> tuple[Update, int | None] | None:
        """Reads what came. The update, with the number of the frame that it is the first to know; null where there is
        nothing to tell yet. Raises MediaInvalid, FrameTooLarge."""
        for sound in arrived.sounds:
            if self._options.wants("audio"):
                self._reader.hear(sound.time, _samples(sound.payload))
        number = None
        if arrived.frame is not None and self._options.wants("face"):
            number = arrived.frame.number
            self._dropped += number - self._frame - 1
            self._frame = number
            self._see(arrived.frame.packet.time, arrived.frame.packet.payload)
        if number is None and time.monotonic() - self._told_at < TOLD_EVERY:
            return None
        self._told_at = time.monotonic()
        return self._update(self._reader.read()), number

    def _see(self, at: float, payload: bytes) -> None:
        picture = read_jpeg(payload)
        height, width = picture.image.shape[:2]
        self._size = round(width * picture.scale), round(height * picture.scale)
        self._reader.see(at, picture.image, picture.scale)

    def _update(self, stands: LiveReading) -> Update:
        window = stands.window
        width, height = self._size or (None, None)
        return Update(
            time=stands.time,
            width=width,
            height=height,
            faces=tuple(_face(face) for face in stands.faces),
            emotion=window.emotion,
            confidence=window.confidence,
            probabilities=window.probabilities,
            modalities=LiveModalities(face=window.modalities.face, audio=window.modalities.audio),
            missing=window.missing,
            dropped=self._dropped,
        )


class LiveHost:
    """Reads the streams of one worker process. `models`: those to begin a stream with; `most`: streams at once."""

    def __init__(self, desk: LiveDesk, models: Callable[[], LoadedBundle], stopping: Signal, most: int) -> None:
        self._desk, self._models, self._stopping, self._most = desk, models, stopping, most
        self._sessions: dict[str, Session] = {}

    def work(self) -> None:
        """Serves the streams that wait, and those that come meanwhile, until none is left or the worker stops. Each
        gets one frame a round, whatever the others send."""
        try:
            with ExitStack() as stack:
                detectors = _Detectors(stack)
                listening = stack.enter_context(ThreadPoolExecutor(1, "listening"))
                while not self._stopping.is_set():
                    self._adopt(detectors, listening)
                    for stream in self._desk.gone():
                        self._sessions.pop(stream, None)
                    if not self._sessions:
                        return
                    arrived = self._desk.collect(WAIT_SECONDS)
                    for stream in list(self._sessions):
                        self._step(stream, arrived.get(stream, Arrival()))
                for stream in list(self._sessions):
                    self._let_go(stream, Ended())
        finally:
            self._sessions.clear()

    def _adopt(self, detectors: "_Detectors", listening: Executor) -> None:
        while len(self._sessions) < self._most and (waiting := self._desk.adopt()):
            stream, options = waiting
            models = self._models()
            detector = detectors.of(models.face.crop_size) if models.face and options.wants("face") else None
            self._sessions[stream] = Session(LiveReader(models, options, detector, listening), options)
            ready = Ready(
                labels=labels_of(options.classes), bundle=models.bundle.name, warnings=tuple(_not_live(options))
            )
            self._desk.tell(stream, ready)

    def _step(self, stream: str, arrived: Arrival) -> None:
        try:
            told = self._sessions[stream].step(arrived)
        except Exception as error:  # of one stream: the others go on
            self._let_go(stream, Ended(failure=failure_of(error)))
            return
        if told is not None:
            self._desk.tell(stream, *told)

    def _let_go(self, stream: str, ended: Ended) -> None:
        self._desk.tell(stream, ended)
        self._desk.release(stream)
        del self._sessions[stream]


class _Detectors:
    """One face detector for each size of crops, closed with the stack. They have no memory: streams share them."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._made: dict[int, FaceDetector] = {}

    def of(self, size: int) -> FaceDetector:
        if size not in self._made:
            self._made[size] = self._stack.enter_context(FaceDetector(size))
        return self._made[size]


def _face(seen: SeenLive) -> LiveFace:
    frame = seen.frame
    return LiveFace(
        track=seen.track, box=frame.box, score=frame.score, emotion=frame.emotion, probabilities=frame.probabilities
    )


def _not_live(options: Options) -> Iterator[Notice]:
    """Wishes that a live stream does not meet."""
    asked = {name for name, value in options if value != Options.model_fields[name].default}
    for name in sorted(asked - _LIVE_OPTIONS):
        yield Notice(code="option_not_live", message=f"{name} has no meaning in a live stream.")
    if options.modalities and "text" in options.modalities:
        yield Notice(code="modality_unavailable", message="Words are not read live.")


def _samples(payload: bytes) -> np.ndarray:
    if len(payload) % 2:
        raise MediaInvalid("Live sound is PCM of 16 bits: an even number of bytes.", stage="decode")
    return np.frombuffer(payload, "<i2").astype(np.int16)
