"""The pipeline: a file → the result document.

Three steps, whatever the length. The survey settles what concerns the whole: the sound, and where speech lies. Parts
are observed, by one worker or by several: stateless evidence on the absolute time grid. The join tracks, chooses and
fuses (`ml.inference.fusion.timeline`).
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ml.errors import AffectError
from ml.inference.api import TimeSpan
from ml.inference.face.backends.base import FaceSearch, mediapipe_graphs, mediapipe_nets
from ml.inference.face.observations import FaceCollector, FaceObservations
from ml.inference.face.predictor import DetectorPool
from ml.inference.fusion.timeline import Timeline, WindowParts, read_image, timeline
from ml.inference.fusion.windows import windows_over
from ml.inference.pipeline import features_file
from ml.inference.pipeline.bundle import Licences, LoadedBundle, pick_device, published
from ml.inference.pipeline.context import DEFAULT_CONTEXT, FEATURES_FILE, AnalysisContext
from ml.inference.pipeline.decoded_audio import DecodedAudio
from ml.inference.pipeline.features_file import Heard, Observation, Survey, SurveyedSound
from ml.inference.pipeline.recording import Recording
from ml.inference.runtime.batching import CrossJobBatcher
from ml.inference.runtime.progress import StageTimer
from ml.inference.speech.transcriber import Transcription, unavailable_notice
from ml.inference.speech.transcript_index import TranscriptIndex
from ml.inference.voice.segments import SegmentOutputs, WindowVoice, segments_by_window, voices_by_window
from ml.media import MediaInfo, MediaLimits, load_image, probe
from ml.memory import trim_heap
from ml.registry import Bundle, ModelStore
from ml.reports.caption_parser import parse_transcript
from ml.results import Channel, Media, Notice, Options, Result, Transcript
from ml.vocabulary import Stage

NOTHING_SAID = Transcript(source="none", language=None, text="")

DAMAGED = Notice(code="media_damaged", message="Part of the media could not be decoded; the result covers the rest.")
NO_EVIDENCE = Notice(
    code="no_evidence", message="The media holds no face, voice or words that the models of the bundle can read."
)


INSEPARABLE = Notice(
    code="channels_unavailable",
    message="The media has not several channels that can be read separately, or no reading of sound was asked for.",
)
SILENCE, UNHEARD = SurveyedSound(0, ()), Heard(SegmentOutputs.empty())
WORDLESS_CHANNELS = Notice(
    code="channels_without_words", message="The caller's transcript does not say which channel speaks."
)


@dataclass(frozen=True)
class Said:
    """The words of a sound."""

    transcript: Transcript = NOTHING_SAID
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class Understood:
    """Voices and words of one sound, by window."""

    parts: list[WindowParts]
    said: Said


OBSERVING: tuple[Stage, ...] = ("faces", "audio", "transcribe")
JOINING: tuple[Stage, ...] = ("text", "fuse", "write")


class Analyzer:
    """Holds a loaded bundle and reads one file after the other; no file leaves a trace in it."""

    def __init__(
        self, models: LoadedBundle, limits: MediaLimits | None = None, face_search: FaceSearch = "graphs"
    ) -> None:
        """`face_search`: by mediapipe's graphs on the CPU, or by its nets on the device of the models."""
        self.models = models
        self._limits = limits or MediaLimits()
        self._detectors = None
        if models.face:
            search = mediapipe_nets(models.face.device) if face_search == "nets" else mediapipe_graphs
            self._detectors = DetectorPool(models.face.crop_size, search)
        self._faces = CrossJobBatcher(models.face) if models.face else None

    @classmethod
    def load(
        cls,
        store_root: Path,
        bundle: str | Bundle = "default",
        *,
        device: str = "auto",
        licences: Licences = "any",
        whisper: str | None = None,
        threads: int = 0,
        limits: MediaLimits | None = None,
        face_search: FaceSearch = "graphs",
    ) -> "Analyzer":
        """A bundle, or the one that is published under a name; `whisper` overrides that of a named one. Raises
        ModelStoreError when a model of it is missing, damaged or refused."""
        store = ModelStore(store_root)
        if isinstance(bundle, str):
            bundle = published(store, bundle, whisper)
        models = LoadedBundle.load(store, bundle, device=pick_device(device), licences=licences, threads=threads)
        return cls(models, limits, face_search)

    def warm_up(self) -> None:
        """Runs each model once, and lets a face detector be built, so that no job waits for what a first call builds.
        Raises ModelStoreError where a model does not answer with probabilities."""
        if self._detectors:
            with self._detectors.borrow() as detector:
                detector.detect(np.zeros((64, 64, 3), np.uint8), 1)
        self.models.warm_up()

    def analyze(self, path: Path, options: Options | None = None, work: AnalysisContext = DEFAULT_CONTEXT) -> Result:
        """Reads the file at `path`. Raises AffectError with a code and the stage."""
        options = options or Options()
        clock = StageTimer(work.listener)
        survey, observation = self._kept(work)
        with clock.stage("probe"):
            info = survey.info if survey else probe(path, self._limits, clock.check)
        if info.kind == "image":
            return self._image(path, info, options, tuple(_unmet(options, info)), clock)
        with self._recording(path, info, options, work, clock) as recording:
            if survey is None or observation is None:
                survey = recording.survey()
                if work.surveyed:
                    work.surveyed(survey, recording.soundtrack)
                observation = recording.observe(survey)
            return self._join(recording, survey, observation)

    def observe(
        self,
        path: Path,
        options: Options,
        survey: Survey,
        part: int,
        into: Path,
        soundtrack: DecodedAudio,
        work: AnalysisContext,
    ) -> None:
        """Writes what the models see and hear in one part of a surveyed recording as evidence. Raises as `analyse`."""
        clock = StageTimer(work.listener, OBSERVING)
        with self._recording(path, survey.info, options, work, clock, soundtrack) as recording:
            features_file.write(into, survey, recording.observe(survey, survey.parts[part]))

    def join(
        self, path: Path, options: Options, parts: Sequence[Path], soundtrack: DecodedAudio, work: AnalysisContext
    ) -> Result:
        """The result of a recording from the evidence of all its parts, in their order. Raises as `analyse`, and
        EvidenceUnreadable."""
        clock = StageTimer(work.listener, JOINING)
        read = [features_file.read(part) for part in parts]
        survey, observation = read[0][0], Observation.joined([observed for _, observed in read])
        with self._recording(path, survey.info, options, work, clock, soundtrack) as recording:
            return self._join(recording, survey, observation)

    def _kept(self, work: AnalysisContext) -> tuple[Survey | None, Observation | None]:
        """Kept evidence, where it is of the models that are served."""
        path = work.cached(FEATURES_FILE)
        if path is None:
            return None, None
        try:
            survey, observation = features_file.read(path)
        except features_file.EvidenceUnreadable:
            return None, None
        return (survey, observation) if survey.bundle.digest == self.models.bundle.digest else (None, None)

    @contextmanager
    def _recording(
        self,
        path: Path,
        info: MediaInfo,
        options: Options,
        work: AnalysisContext,
        clock: StageTimer,
        soundtrack: DecodedAudio | None = None,
    ) -> Iterator[Recording]:
        trim_heap()
        with tempfile.TemporaryDirectory(prefix="affect-", dir=work.scratch) as folder:
            sound = soundtrack or DecodedAudio.in_folder(Path(folder))
            models, limits, detectors = self.models, self._limits, self._detectors
            yield Recording(path, info, options, models, limits, Path(folder), sound, clock, work, detectors)

    def _image(
        self, path: Path, info: MediaInfo, options: Options, notices: tuple[Notice, ...], clock: StageTimer
    ) -> Result:
        with clock.stage("decode"):
            picture = load_image(path, info, self._limits, check=clock.check)
        with clock.stage("faces"):
            sight = FaceObservations.empty()
            if self._detectors and self._faces and options.wants("face"):
                with self._detectors.borrow() as detector:
                    watcher = FaceCollector(detector, self._faces, options.max_faces, options.landmarks)
                    watcher.add(0.0, picture.image, picture.scale)
                sight = watcher.result()
        with clock.stage("fuse"):
            read = read_image(sight, options)
        notices += _inseparable(options)
        notices += (DAMAGED,) * picture.damaged + (NO_EVIDENCE,) * (read.overall.emotion is None)
        return Result(
            media=_media(info, None),
            labels=read.labels,
            overall=read.overall,
            windows=(),
            faces=read.faces,
            transcript=NOTHING_SAID,
            models=self.models.versions,
            warnings=notices,
            timings=clock.timings,
        )

    def _join(self, recording: Recording, survey: Survey, observation: Observation) -> Result:
        info, options, clock, work = recording.info, recording.options, recording.clock, recording.work
        known = recording.complete(survey, observation)
        survey, observation = recording.as_asked(*known)
        reach = survey.reach | observation.reach
        try:
            damaged = reach.validate(info, self._limits)
        except AffectError as error:
            error.stage = "decode"
            raise
        duration = reach.duration(info)
        windows = windows_over(duration, options.window_seconds, options.hop_seconds)
        mix, *channels = self._understand(survey, observation, windows, options, work.transcript, clock)
        with clock.stage("fuse"):
            read = timeline(observation.sight, mix.parts, self.models.fusion, options)
            apart = [
                timeline(FaceObservations.empty(), channel.parts, self.models.fusion, options) for channel in channels
            ]
        notices = (*_unmet(options, info), *_notices(mix, channels), *_inseparable(options, channels))
        notices += (DAMAGED,) * damaged + (NO_EVIDENCE,) * (read.overall.emotion is None)
        if work.save_to:
            recording.keep(work.save_to, *known)
        return Result(
            media=_media(info, duration),
            labels=read.labels,
            overall=read.overall,
            windows=read.windows,
            faces=read.faces,
            transcript=mix.said.transcript if options.words else _without_words(mix.said.transcript),
            models=self.models.versions,
            moments=read.moments,
            channels=_channels(apart),
            warnings=notices,
            timings=clock.timings,
        )

    def _understand(
        self,
        survey: Survey,
        observation: Observation,
        windows: Sequence[TimeSpan],
        options: Options,
        caller: str | None,
        clock: StageTimer,
    ) -> list[Understood]:
        """Voices and words of each sound, of which there is at least one: the mix, of silence where there is none. The
        caller's words are those of the mix."""
        pairs = list(zip(survey.sounds, observation.heard, strict=True)) or [(SILENCE, UNHEARD)]
        with clock.stage("text"):
            if caller is None:
                said = [self._said(surveyed, heard, options) for surveyed, heard in pairs]
            else:
                said = _told(caller, windows[-1].end, len(pairs) - 1)
            return [
                Understood(self._read(windows, _voices(surveyed, heard, windows), words.transcript, options), words)
                for (surveyed, heard), words in zip(pairs, said, strict=True)
            ]

    def _said(self, surveyed: SurveyedSound, heard: Heard, options: Options) -> Said:
        whisper = self.models.whisper
        if not surveyed.speech or not options.wants("text"):
            return Said()
        if whisper is None:
            return Said(notices=(unavailable_notice(self.models.bundle.whisper or "none"),))
        if surveyed.language is None:
            return Said(notices=(whisper.unsupported_notice(str(options.language)),))
        certain = options.language is not None
        found = whisper.judge(heard.sentences or (), surveyed.speech, surveyed.language, certain=certain)
        return Said(_transcript(found), found.notices)

    def _read(
        self, windows: Sequence[TimeSpan], voices: Sequence[WindowVoice], transcript: Transcript, options: Options
    ) -> list[WindowParts]:
        """The windows with their voices and words; these read where the text model knows their language."""
        spoken = TranscriptIndex(transcript.segments)
        parts = [
            WindowParts(window, voice, spoken.text_in(window)) for window, voice in zip(windows, voices, strict=True)
        ]
        text = self.models.text
        if text is None or not options.wants("text") or transcript.language not in (None, *text.languages):
            return parts
        told = [index for index, part in enumerate(parts) if part.transcript]
        before = [spoken.text_before(parts[index].span) for index in told]
        readings = dict(zip(told, text.read([parts[index].transcript for index in told], before), strict=True))
        return [replace(part, words=readings.get(index)) for index, part in enumerate(parts)]


def _voices(surveyed: SurveyedSound, heard: Heard, windows: Sequence[TimeSpan]) -> list[WindowVoice]:
    wanted = segments_by_window(surveyed.speech, windows)
    return voices_by_window(heard.tones.by_segment(), wanted, surveyed.speech, windows)


def _media(info: MediaInfo, duration: float | None) -> Media:
    return Media(
        kind=info.kind,
        duration=duration,
        width=info.width,
        height=info.height,
        frame_rate=info.frame_rate,
        has_audio=info.has_audio,
        has_video=info.has_video,
        sha256=info.sha256,
    )


def _transcript(said: Transcription) -> Transcript:
    if not said.segments:
        return NOTHING_SAID
    text = " ".join(segment.text for segment in said.segments)
    return Transcript(source="whisper", language=said.language, text=text, segments=said.segments)


def _without_words(transcript: Transcript) -> Transcript:
    segments = tuple(segment.model_copy(update={"words": ()}) for segment in transcript.segments)
    return transcript.model_copy(update={"segments": segments})


def _unmet(options: Options, info: MediaInfo) -> list[Notice]:
    """Wishes that this media cannot meet."""
    found = []
    if options.modalities is not None:
        sounds = {"audio", "text"} & set(options.modalities)
        if sounds and not info.has_audio:
            found.append(Notice(code="modality_unavailable", message="The media has no sound."))
        if "face" in options.modalities and info.kind == "audio":
            found.append(Notice(code="modality_unavailable", message="The media has no picture."))
    for wish in ("annotate", "thumbnails"):
        if getattr(options, wish) and info.kind == "audio":
            message = f"The media has no picture: {wish} cannot be made."
            found.append(Notice(code="artifact_unavailable", message=message))
    return found


def _inseparable(options: Options, channels: Sequence[object] = ()) -> tuple[Notice, ...]:
    return (INSEPARABLE,) if options.channels == "separate" and not channels else ()


def _told(caller: str, duration: float, channels: int) -> list[Said]:
    """The caller's words, which are those of the mix: of no channel is known what is said there."""
    notices = (WORDLESS_CHANNELS,) if channels else ()
    return [Said(parse_transcript(caller, duration), notices), *[Said()] * channels]


def _notices(mix: Understood, channels: Sequence[Understood]) -> tuple[Notice, ...]:
    """What is to be said of the mix, and of a channel beyond that."""
    beyond = (
        Notice(code=notice.code, message=f"Channel {number}: {notice.message}")
        for number, channel in enumerate(channels)
        for notice in channel.said.notices
        if notice not in mix.said.notices
    )
    return (*mix.said.notices, *beyond)


def _channels(apart: Sequence[Timeline]) -> tuple[Channel, ...] | None:
    return (
        tuple(Channel(channel=number, windows=read.windows, overall=read.overall) for number, read in enumerate(apart))
        or None
    )
