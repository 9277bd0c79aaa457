"""Server of live streams in a worker: it serves several in turn, one frame per stream and round, newest frame first."""

import logging
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack

from ml.inference.face.detector import FaceDetector
from ml.inference.pipeline.bundle import LoadedBundle
from ml.inference.pipeline.live import LiveReader
from ml.vocabulary import labels_for
from workers.jobs.failures import failure_of
from workers.jobs.lease import StopSignal
from workers.live.session import StreamSession, ignored_options
from workers.protocol.live.messages import Ended, Ready
from workers.protocol.live.streams import StreamInput, WorkerStreams

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.2
"""Maximum seconds that a round waits for input; bounds how quickly a busy worker accepts a new stream."""


class StreamServer:
    """Serves the streams of one worker process. `models`: returns the models for a new stream. `max_streams`: streams
    at once."""

    def __init__(
        self, streams: WorkerStreams, models: Callable[[], LoadedBundle], stopping: StopSignal, max_streams: int
    ) -> None:
        self._streams, self._models, self._stopping, self._max_streams = streams, models, stopping, max_streams
        self._sessions: dict[str, StreamSession] = {}

    def serve(self) -> None:
        """Serve the waiting streams, and those that arrive in the meantime, until none is left or the worker stops."""
        try:
            with ExitStack() as stack:
                detectors = _DetectorPool(stack)
                voice_executor = stack.enter_context(ThreadPoolExecutor(1, "voice"))
                while not self._stopping.is_set():
                    self._accept_streams(detectors, voice_executor)
                    for stream in self._streams.remove_closed():
                        self._sessions.pop(stream, None)
                    if not self._sessions:
                        return
                    received = self._streams.receive(POLL_SECONDS)
                    for stream in list(self._sessions):
                        self._step(stream, received.get(stream, StreamInput()))
                for stream in list(self._sessions):
                    self._end(stream, Ended())
        finally:
            self._sessions.clear()

    def _accept_streams(self, detectors: "_DetectorPool", voice_executor: Executor) -> None:
        while len(self._sessions) < self._max_streams and (waiting := self._streams.accept()):
            stream, options = waiting
            models = self._models()
            detector = detectors.get(models.face.crop_size) if models.face and options.wants("face") else None
            self._sessions[stream] = StreamSession(LiveReader(models, options, detector, voice_executor), options)
            warnings = tuple(ignored_options(options))
            ready = Ready(labels=labels_for(options.classes), bundle=models.bundle.name, warnings=warnings)
            self._streams.send(stream, ready)

    def _step(self, stream: str, received: StreamInput) -> None:
        try:
            update = self._sessions[stream].step(received)
        except Exception as error:  # ends this stream only
            self._end(stream, Ended(failure=failure_of(error)))
            return
        if update is not None:
            self._streams.send(stream, *update)

    def _end(self, stream: str, message: Ended) -> None:
        self._streams.send(stream, message)
        self._streams.release(stream)
        del self._sessions[stream]


class _DetectorPool:
    """One face detector per crop size, closed with the stack. Detectors keep no state, so streams share them."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._detectors: dict[int, FaceDetector] = {}

    def get(self, crop_size: int) -> FaceDetector:
        if crop_size not in self._detectors:
            self._detectors[crop_size] = self._stack.enter_context(FaceDetector(crop_size))
        return self._detectors[crop_size]
