"""Live streams: the current window and faces, by the same models and the same fusion as for a recording.

Outputs of the models are kept for the last `window_seconds`; frames and audio only as long as the models need them.
"""

from collections import deque
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import ModalityFeatures, TimeSpan
from ml.inference.face.detector import FaceDetector
from ml.inference.face.frame_search import FrameSearch
from ml.inference.face.observations import FaceCollector, FaceObservations
from ml.inference.face.tracker import Tracker
from ml.inference.fusion.timeline import WindowInputs, build_timeline, image_timeline
from ml.inference.pipeline.bundle import LoadedBundle
from ml.inference.voice.quality import voice_quality
from ml.inference.voice.segments import MIN_SPEECH_SHARE, WindowVoice, speech_share, split_segments, waveform
from ml.inference.voice.vad import speech_segments
from ml.media import SAMPLE_RATE
from ml.media.sandbox import never_cancelled
from ml.results import FaceFrame, Options, Window

Image = NDArray[np.uint8]
Pcm = NDArray[np.int16]

MIN_NEW_AUDIO_SECONDS = 1.0
"""Seconds of new audio before the voice is read again."""
MAX_FACE_AGE_SECONDS = 2.0
"""Seconds for which the faces of the newest frame are current if no other frame arrives."""
CLOCK_TOLERANCE_SECONDS = 0.25
"""Maximum seconds between two packets of audio that are taken for a difference of clocks instead of silence."""


@dataclass(frozen=True)
class TrackedLiveFace:
    """Face of the newest frame."""

    track: int
    frame: FaceFrame


@dataclass(frozen=True)
class LiveReading:
    """Reading at `time` (seconds of the stream): the window that ends then, and the faces of the newest frame."""

    time: float
    window: Window
    faces: tuple[TrackedLiveFace, ...]


@dataclass(frozen=True)
class _ReadFrame:
    """Frame with the faces that were read in it."""

    time: float
    faces: FaceObservations


class LiveReader:
    """Reader of one stream.

    Args:
        models: models of the stream.
        options: options of the caller.
        detector: face detector of the calling thread; null to read no faces. Streams may share it.
        voice_executor: thread in which voices are read, so that frames need not wait; null reads them in the caller's.
    """

    def __init__(
        self,
        models: LoadedBundle,
        options: Options,
        detector: FaceDetector | None,
        voice_executor: Executor | None = None,
    ) -> None:
        self._models, self._options, self._detector, self._voice_executor = models, options, detector, voice_executor
        self._search = FrameSearch(detector, options.max_faces, "live") if detector else None
        self._frames: deque[_ReadFrame] = deque()
        self._newest_faces: tuple[TrackedLiveFace, ...] = ()
        self._tracker = Tracker()
        self._audio = _RollingAudio(options.window_seconds)
        self._voice = WindowVoice(0.0, None)
        self._pending_voice: Future[WindowVoice] | None = None
        self._time = 0.0

    def add_frame(self, time: float, image_HWC: Image, scale: float) -> None:
        """Read an RGB frame, unless it is older than the newest one.

        `scale`: original pixels per pixel of the image; boxes are in original pixels.
        """
        self._time = max(self._time, time)
        if self._detector is None or self._models.face is None or (self._frames and time <= self._frames[-1].time):
            return
        collector = FaceCollector(
            self._detector, self._models.face, self._options.max_faces, keep_landmarks=False, search=self._search
        )
        collector.add(time, image_HWC, scale)
        frame = _ReadFrame(time, collector.result())
        faces = [track.frames[0] for track in image_timeline(frame.faces, self._models.fusion, self._options).faces]
        numbers = self._tracker.update([face.box for face in faces], time)
        self._newest_faces = tuple(TrackedLiveFace(number, face) for number, face in zip(numbers, faces, strict=True))
        # Frames are kept at the rate at which those of a recording are sampled.
        if len(self._frames) > 1 and time - self._frames[-2].time < 1 / self._options.frame_rate:
            self._frames.pop()
        self._frames.append(frame)

    def add_audio(self, time: float, pcm: Pcm) -> None:
        """Add 16 kHz mono audio ([samples]) that starts at `time`, and read the voice if enough of it is new."""
        self._audio.add(time, pcm)
        self._time = max(self._time, self._audio.end)
        is_due = self._audio.new_seconds >= MIN_NEW_AUDIO_SECONDS
        if not is_due or self._models.audio is None or self._pending_voice is not None:
            return
        if self._voice_executor is None:
            self._voice = self._read_voice(self._audio.take())
        else:
            self._pending_voice = self._voice_executor.submit(self._read_voice, self._audio.take())

    def read(self) -> LiveReading:
        """Return the current reading."""
        if self._pending_voice is not None and self._pending_voice.done():
            self._voice, self._pending_voice = self._pending_voice.result(), None
        span = TimeSpan(max(self._time - self._options.window_seconds, 0.0), self._time + 1e-3)
        self._drop_before(span.start)
        faces = FaceObservations.concatenated([frame.faces for frame in self._frames] or [FaceObservations.empty()])
        inputs = [WindowInputs(span, self._voice, "")]
        timeline = build_timeline(faces, inputs, self._models.fusion, self._options)
        return LiveReading(self._time, timeline.windows[0], self._newest_faces)

    def _drop_before(self, time: float) -> None:
        while self._frames and self._frames[0].time < time:
            self._frames.popleft()
        if self._audio.end < time:
            self._voice = WindowVoice(0.0, None)
        if not self._frames or self._frames[-1].time < self._time - MAX_FACE_AGE_SECONDS:
            self._newest_faces = ()

    def _read_voice(self, pcm: Pcm) -> WindowVoice:
        assert self._models.audio is not None
        whole = TimeSpan(0.0, len(pcm) / SAMPLE_RATE)
        speech = speech_segments(pcm, never_cancelled)
        share = speech_share(speech, whole)
        if share < MIN_SPEECH_SHARE:
            return WindowVoice(share, None)
        waveforms = [waveform(pcm, segment) for segment in split_segments(speech, whole)]
        outputs = self._models.audio.predict(waveforms)
        mean = np.log(np.exp(outputs.log_probabilities_NC).mean(0))
        quality = np.mean(list(map(voice_quality, waveforms)), axis=0)
        return WindowVoice(share, ModalityFeatures(outputs.embeddings_NE.mean(0), mean, quality))


class _RollingAudio:
    """Last seconds of audio that arrives in packets; gaps between them are filled with silence."""

    def __init__(self, seconds: float) -> None:
        self._max_samples = round(seconds * SAMPLE_RATE)
        self._pcm: Pcm = np.zeros(0, np.int16)
        self.end = 0.0
        self.new_seconds = 0.0
        """Seconds that were added since the last `take`."""

    def add(self, time: float, pcm: Pcm) -> None:
        gap = time - self.end
        if gap <= CLOCK_TOLERANCE_SECONDS:  # consecutive packets: a difference of the clocks is not silence
            gap, time = 0.0, self.end
        silence = min(round(gap * SAMPLE_RATE), self._max_samples) if len(self._pcm) else 0
        self._pcm = np.concatenate([self._pcm, np.zeros(silence, np.int16), pcm])[-self._max_samples :]
        self.end = time + len(pcm) / SAMPLE_RATE
        self.new_seconds += len(pcm) / SAMPLE_RATE

    def take(self) -> Pcm:
        self.new_seconds = 0.0
        return self._pcm
