"""Live: how things stand while they happen, by the same models and the same join as a recording.

What the models answered for the last `window_seconds` is kept, and forgotten beyond; pictures and sound themselves only
as long as they are needed for that.
"""

from collections import deque
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import ModalityFeatures, TimeSpan
from ml.inference.face.observations import FaceCollector, FaceObservations
from ml.inference.face.predictor import FaceDetector
from ml.inference.face.tracker import Tracker
from ml.inference.fusion.timeline import WindowParts, read_image, timeline
from ml.inference.pipeline.bundle import LoadedBundle
from ml.inference.voice.segments import MIN_SPEECH_SHARE, WindowVoice, speech_share, split_segments, waveform
from ml.inference.voice.vad import speech_segments
from ml.media import SAMPLE_RATE
from ml.results import FaceFrame, Options, Window

Image = NDArray[np.uint8]
Pcm = NDArray[np.int16]

LISTEN_SECONDS = 1.0
"""How much new sound there must be before the voice is read anew."""
FACES_HOLD = 2.0
"""For which the faces of the newest frame are told when no other comes."""
LARGEST_GAP = 0.25
"""Seconds between the end of one piece of sound and the begin of the next that are the clocks' own."""


@dataclass(frozen=True)
class LiveFace:
    """A face of the newest frame."""

    track: int
    frame: FaceFrame


@dataclass(frozen=True)
class LiveReading:
    """How things stand at `time` (the stream's seconds): the last window, and the faces of the newest frame."""

    time: float
    window: Window
    faces: tuple[LiveFace, ...]


@dataclass(frozen=True)
class _Seen:
    """One frame that was read."""

    time: float
    sight: FaceObservations


class LiveReader:
    """Reads one stream. `detector`: one of the caller's thread; without memory, so that streams may share it.
    `listening`: where voices are read, so that frames need not wait for it; null reads them at once."""

    def __init__(
        self,
        models: LoadedBundle,
        options: Options,
        detector: FaceDetector | None,
        listening: Executor | None = None,
    ) -> None:
        self._models, self._options, self._detector, self._listening = models, options, detector, listening
        self._heard: Future[WindowVoice] | None = None
        self._seen: deque[_Seen] = deque()
        self._sound = _RollingSound(options.window_seconds)
        self._voice = WindowVoice(0.0, None)
        self._tracker = Tracker()
        self._newest: tuple[LiveFace, ...] = ()
        self._time = 0.0

    def see(self, time: float, image_HWC: Image, scale: float) -> None:
        """Reads a frame (RGB). `scale`: original pixels for one pixel of the image; boxes are in original pixels. A
        frame that is older than the newest is dropped."""
        self._time = max(self._time, time)
        if self._detector is None or self._models.face is None or (self._seen and time <= self._seen[-1].time):
            return
        watcher = FaceCollector(self._detector, self._models.face, self._options.max_faces, keep_landmarks=False)
        watcher.add(time, image_HWC, scale)
        seen = _Seen(time, watcher.result())
        faces = [track.frames[0] for track in read_image(seen.sight, self._options).faces]
        numbers = self._tracker.update([face.box for face in faces], time)
        self._newest = tuple(LiveFace(number, face) for number, face in zip(numbers, faces, strict=True))
        self._keep(seen)

    def hear(self, time: float, pcm: Pcm) -> None:
        """Takes 16 kHz mono sound ([samples]) that begins at `time`, and reads the voice when there is enough new."""
        self._sound.add(time, pcm)
        self._time = max(self._time, self._sound.end)
        if self._sound.fresh < LISTEN_SECONDS or self._models.audio is None or self._heard is not None:
            return
        if self._listening is None:
            self._voice = self._listen(self._sound.take())
        else:
            self._heard = self._listening.submit(self._listen, self._sound.take())

    def read(self) -> LiveReading:
        """How things stand now."""
        if self._heard is not None and self._heard.done():
            self._voice, self._heard = self._heard.result(), None
        span = TimeSpan(max(self._time - self._options.window_seconds, 0.0), self._time + 1e-3)
        self._forget(span.start)
        sight = FaceObservations.concatenated([seen.sight for seen in self._seen] or [FaceObservations.empty()])
        read = timeline(sight, [WindowParts(span, self._voice, "")], self._models.fusion, self._options)
        return LiveReading(self._time, read.windows[0], self._newest)

    def _keep(self, seen: _Seen) -> None:
        """At the rate at which a recording's frames are sampled: the newest takes the place of one that is nearer."""
        step = 1 / self._options.frame_rate
        if len(self._seen) > 1 and seen.time - self._seen[-2].time < step:
            self._seen.pop()
        self._seen.append(seen)

    def _forget(self, before: float) -> None:
        while self._seen and self._seen[0].time < before:
            self._seen.popleft()
        if self._sound.end < before:
            self._voice = WindowVoice(0.0, None)
        if not self._seen or self._seen[-1].time < self._time - FACES_HOLD:
            self._newest = ()

    def _listen(self, pcm: Pcm) -> WindowVoice:
        assert self._models.audio is not None
        whole = TimeSpan(0.0, len(pcm) / SAMPLE_RATE)
        spans = speech_segments(pcm, lambda: None)
        share = speech_share(spans, whole)
        if share < MIN_SPEECH_SHARE:
            return WindowVoice(share, None)
        outputs = self._models.audio.predict([waveform(pcm, piece) for piece in split_segments(spans, whole)])
        mean = np.log(np.exp(outputs.log_probabilities_NC).mean(0))
        return WindowVoice(share, ModalityFeatures(outputs.embeddings_NE.mean(0), mean))


class _RollingSound:
    """The last seconds of a sound that comes in pieces; silence fills the gaps between them."""

    def __init__(self, seconds: float) -> None:
        self._most = round(seconds * SAMPLE_RATE)
        self._pcm: Pcm = np.zeros(0, np.int16)
        self.end = 0.0
        self.fresh = 0.0
        """Seconds that were added since the last `take`."""

    def add(self, time: float, pcm: Pcm) -> None:
        gap = time - self.end
        if gap <= LARGEST_GAP:  # one after the other: what the clocks differ by is no silence
            gap, time = 0.0, self.end
        missing = min(round(gap * SAMPLE_RATE), self._most) if len(self._pcm) else 0
        self._pcm = np.concatenate([self._pcm, np.zeros(missing, np.int16), pcm])[-self._most :]
        self.end = time + len(pcm) / SAMPLE_RATE
        self.fresh += len(pcm) / SAMPLE_RATE

    def take(self) -> Pcm:
        self.fresh = 0.0
        return self._pcm
