"""Plan of an analysis: everything that is decided about a media file before features are extracted.

The audio is decoded once, into files, and its speech is found for the whole; video is decoded later,
part by part. A plan is data: a worker splits a long recording into parts by it, and stores what they share as JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, TypeAdapter, ValidationError

from ml.inference.api import TimeSpan
from ml.inference.people.speech_pieces import SpeechListener
from ml.inference.pipeline.bundle import LoadedBundle
from ml.inference.pipeline.context import AnalysisContext
from ml.inference.pipeline.decoded_audio import AudioLayout, DecodedAudio, MediaSource
from ml.inference.pipeline.features import Features, FeaturesUnreadable
from ml.inference.pipeline.partition import CHUNK_SECONDS, is_seekable, split_into_parts
from ml.inference.speech.transcriber import Transcriber
from ml.inference.voice.bursts import BurstPredictor
from ml.inference.voice.crosstalk import own_speech
from ml.inference.voice.vad import speech_segments
from ml.media import DecodedExtent, MediaInfo, MediaLimits, probe
from ml.media.time_stamps import gap_seconds
from ml.memory import trim_heap
from ml.registry import Bundle
from ml.results import Options

MIN_FRAME_MEGAPIXELS = 1.0
"""Megapixels that a searched frame counts as at least: the search itself does not depend on the size."""
DECODING_SHARE = 0.25
"""Work for decoding a pixel, as a share of the work for searching it."""


@dataclass(frozen=True)
class FrameSampling:
    """Frames that are searched for faces, and what is kept of them.

    Attributes:
        frame_rate: frames per second.
        max_faces: maximum number of faces per frame.
        landmarks: whether landmarks are kept.
        crops: whether each frame is the crop of one face, which is not searched.
        movements: whether the movements of the faces are read.
        identity: whether faces get an identity.
    """

    frame_rate: float
    max_faces: int
    landmarks: bool
    crops: bool = False
    movements: bool = False
    identity: bool = False

    def covers(self, other: Self) -> bool:
        """Return whether features of this sampling contain those of `other`."""
        is_multiple = float(self.frame_rate / other.frame_rate).is_integer() and self.crops == other.crops
        keeps = self.landmarks >= other.landmarks and self.movements >= other.movements
        keeps = keeps and self.identity >= other.identity
        return is_multiple and self.max_faces >= other.max_faces and keeps


@dataclass(frozen=True)
class SoundPlan:
    """Plan for one sound, which is the mix or one channel.

    Attributes:
        samples: number of samples at 16 kHz.
        speech: spans of speech.
        language: language in which its words are recognized; null if each stretch of speech has its own.
    """

    samples: int
    speech: tuple[TimeSpan, ...]
    language: str | None = None


@dataclass(frozen=True)
class RecordingPlan:
    """Part of a plan that all parts of a recording share. Its JSON is part of the format of the features file.

    Attributes:
        info: result of `probe`.
        bundle: models of the analysis.
        sampling: frames that are searched for faces; null for none.
        audio_extent: how far the audio was decoded.
        sounds: the mix, then the channels that are read separately.
        requested_sounds: number of sounds that the options request; more than `sounds` if some do not exist.
        part_seconds: approximate length of a part.
        layout: what the sounds are made of; null before the audio is decoded, and in files of 0.2.
    """

    info: MediaInfo
    bundle: Bundle
    sampling: FrameSampling | None
    audio_extent: Annotated[DecodedExtent, Field(alias="reach")]
    sounds: tuple[SoundPlan, ...]
    requested_sounds: Annotated[int, Field(alias="asked")] = 0
    part_seconds: float = CHUNK_SECONDS
    layout: AudioLayout | None = None

    @classmethod
    def from_json(cls, document: bytes | str) -> "RecordingPlan":
        """Read a plan as `to_json` writes it. Raises FeaturesUnreadable."""
        try:
            return _RECORDING.validate_json(document)
        except ValidationError as error:
            raise FeaturesUnreadable("The plan of the analysis cannot be read.") from error

    def to_json(self) -> bytes:
        return _RECORDING.dump_json(self, by_alias=True)

    @property
    def expected_seconds(self) -> float:
        """Expected length of the media; the exact length is known once the video is decoded."""
        return max(self.info.duration or 0.0, self.audio_extent.sound)

    @property
    def content_seconds(self) -> float:
        """Expected seconds of sound or picture: those of the media without its gaps."""
        return max(self.expected_seconds - gap_seconds(self.info.gaps), 0.0)

    @property
    def recognized_sounds(self) -> tuple[int, ...]:
        """Numbers of the sounds whose words are recognized: each channel, or else the mix."""
        return tuple(range(1 if len(self.sounds) > 1 else 0, len(self.sounds)))

    @property
    def megapixels_per_second(self) -> float:
        """Estimated work for a second of video: each searched frame counts as one megapixel at least, and each decoded
        frame as a quarter of a searched one. 0 if no frame is searched."""
        if self.sampling is None:
            return 0.0
        megapixels = (self.info.width or 0) * (self.info.height or 0) / 1e6
        decoded = (self.info.frame_rate or self.sampling.frame_rate) * megapixels * DECODING_SHARE
        return self.sampling.frame_rate * max(megapixels, MIN_FRAME_MEGAPIXELS) + decoded

    @property
    def parts(self) -> tuple[TimeSpan, ...]:
        return split_into_parts(self.expected_seconds, self.part_seconds)


_RECORDING = TypeAdapter(RecordingPlan)


@dataclass(frozen=True)
class CachedAnalysis:
    """Plan and features that an earlier analysis of the same media saved."""

    recording: RecordingPlan
    features: Features


@dataclass(frozen=True)
class AnalysisPlan:
    """Plan of the analysis of one file.

    Attributes:
        media: path of the file.
        options: options of the caller.
        audio: files of the decoded audio. With a cached analysis they are written only if they are needed.
        recording: what all parts of the file share.
        cached: cached analysis that is reused; null if every feature is extracted.
        reuses_audio: whether decoded audio that is cached belongs to the plan; not if another audio track is read.
    """

    media: Path
    options: Options
    audio: DecodedAudio
    recording: RecordingPlan
    cached: CachedAnalysis | None = None
    reuses_audio: bool = True

    def in_parts_of(self, seconds: float) -> "AnalysisPlan":
        """Return the same plan with parts of about `seconds`."""
        return replace(self, recording=replace(self.recording, part_seconds=seconds))

    @property
    def parts(self) -> tuple[TimeSpan, ...]:
        return self.recording.parts

    @property
    def can_split(self) -> bool:
        """Whether features can be extracted from each part by itself, without the others."""
        return self.cached is None and is_seekable(self.recording.info)


@dataclass(frozen=True)
class RequestedFeatures:
    """Features that the options request, as far as the file has them and the bundle has models for them.

    Attributes:
        sampling: frames to search for faces; null for none.
        channels: channels that can be read separately; 0 if the audio has only one, or too many.
        sounds: number of sounds to read: the mix, and the channels if they are read separately.
        voice: whether the voice is read.
        transcriber: recognizes speech; null if no words are to be recognized.
        listener: hears who speaks; null if people are not requested, or channels distinguish them.
        bursts: finds vocal bursts in the mix; null if they are not requested.
    """

    sampling: FrameSampling | None
    channels: int
    sounds: int
    voice: bool
    transcriber: Transcriber | None
    listener: SpeechListener | None = None
    bursts: BurstPredictor | None = None


class Planner:
    """Plans analyses with the models of one bundle."""

    def __init__(self, models: LoadedBundle, limits: MediaLimits) -> None:
        self._models, self._limits = models, limits

    def plan(self, media: Path, options: Options, context: AnalysisContext) -> AnalysisPlan:
        """Probe a file, decode its audio into the context's folder, and find speech.

        Raises AffectError with a code and the stage.
        """
        timer = context.timer
        with timer.stage("probe"):
            info = self.probe(media, context)
        recording = RecordingPlan(info, self._models.bundle, None, DecodedExtent(), ())
        plan = AnalysisPlan(media, options, DecodedAudio.in_folder(context.folder), recording)
        plan = replace(plan, recording=replace(recording, sampling=self.requested(plan, context).sampling))
        if info.kind == "image":
            return plan
        trim_heap()
        with timer.stage("decode"):
            plan, extent = self.decode_audio(plan, context)
            extent.validate_audio(info, self._limits)
        return self.with_sounds(plan, extent, context)

    def probe(self, media: Path, context: AnalysisContext) -> MediaInfo:
        """Return the properties of a file. Raises as `plan`."""
        return probe(media, self._limits, context.timer.check)

    def requested(self, plan: AnalysisPlan, context: AnalysisContext) -> RequestedFeatures:
        """Return the features that the plan's options request."""
        models, info, options = self._models, plan.recording.info, plan.options
        sampling, sounds = None, 0
        layout = plan.recording.layout or AudioLayout.expected(info, options.requested_track, self._limits)
        if models.face is not None and options.wants("face") and info.has_video:
            movements = options.movements and models.movements is not None
            identity = options.people and models.identity is not None and info.kind == "video"
            sampling = FrameSampling(
                options.frame_rate, options.max_faces, options.landmarks, options.crops, movements, identity
            )
        if info.has_audio and (options.wants("audio") or options.wants("text")):
            sounds = 1 + (layout.channels if options.channels == "separate" else 0)
        voice = models.audio is not None and options.wants("audio")
        recognizes = context.transcript is None and options.wants("text")
        transcriber = models.whisper if recognizes else None
        listener = models.speech_listener if options.people and sounds == 1 else None
        bursts = models.bursts if options.bursts and options.wants("audio") and sounds else None
        return RequestedFeatures(sampling, layout.channels, sounds, voice, transcriber, listener, bursts)

    def decode_audio(self, plan: AnalysisPlan, context: AnalysisContext) -> tuple[AnalysisPlan, DecodedExtent]:
        """Decode the requested sounds into the plan's files, and all channels if a later analysis may request them.

        Returns the plan with the layout of the audio, and how far decoding got.
        """
        requested = self.requested(plan, context)
        if not requested.sounds:
            return plan, DecodedExtent()
        channels = requested.channels > 0 and (requested.sounds > 1 or context.save_to is not None)
        source, track = self.source(plan, context), plan.options.requested_track
        extent, layout = source.decode_audio(plan.audio, track, channels=channels)
        return replace(plan, recording=replace(plan.recording, layout=layout)), extent

    def ensure_audio(self, plan: AnalysisPlan, context: AnalysisContext) -> None:
        """Load the plan's audio from the cache, or decode it again, unless its files exist."""
        if plan.audio.mix.exists():
            return
        sounds = self.requested(plan, context).sounds
        with context.timer.stage("decode"):
            if not (plan.reuses_audio and plan.audio.load(sounds, context.cached, context.timer.check)):
                self.decode_audio(plan, context)

    def source(self, plan: AnalysisPlan, context: AnalysisContext) -> MediaSource:
        """Return the plan's file, ready to be decoded."""
        return MediaSource(plan.media, plan.recording.info, self._limits, context.folder, context.timer.check)

    def with_sounds(
        self,
        plan: AnalysisPlan,
        extent: DecodedExtent,
        context: AnalysisContext,
        known: Sequence[SoundPlan] = (),
    ) -> AnalysisPlan:
        """Return the plan with all requested sounds, once they are decoded. `known`: plans of the first few sounds."""
        requested = self.requested(plan, context)
        count = requested.sounds if extent.sound else 0
        if count > 1 and not plan.audio.channels.exists():
            count = 1
        with context.timer.stage("segment"), plan.audio.open(count) as sounds:
            new = sounds[len(known) :]
            speech = [tuple(speech_segments(pcm, context.timer.check)) if len(pcm) else () for pcm in new]
            if count > 1:
                mix = 1 if not known else 0
                speech[mix:] = own_speech(new[mix:], speech[mix:], context.timer.check)
            language = plan.options.language
            plans = [SoundPlan(len(pcm), spans, language) for pcm, spans in zip(new, speech, strict=True)]
        recording = replace(
            plan.recording, audio_extent=extent, sounds=(*known, *plans), requested_sounds=requested.sounds
        )
        return replace(plan, recording=recording)
