"""Assembly of the result: tracks, windows, voices and words on one time grid, fusion, and the warnings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ml.errors import AffectError
from ml.inference.api import TimeSpan
from ml.inference.face.notices import small_face_notices
from ml.inference.face.observations import FaceObservations
from ml.inference.face.ready_crops import crop_notices
from ml.inference.fusion.timeline import Timeline, WindowInputs, build_timeline, image_timeline
from ml.inference.fusion.windows import windows_over
from ml.inference.pipeline import features_file, reuse
from ml.inference.pipeline.bundle import LoadedBundle
from ml.inference.pipeline.burst_reading import bursts_of, vocal_bursts, without_bursts
from ml.inference.pipeline.context import FEATURES_FILE, AnalysisContext
from ml.inference.pipeline.extract import Extractor
from ml.inference.pipeline.features import AudioFeatures, Features
from ml.inference.pipeline.media_notices import gap_notices, track_notices
from ml.inference.pipeline.people_reading import HeardRecording, PeopleReader
from ml.inference.pipeline.plan import AnalysisPlan, Planner, SoundPlan
from ml.inference.pipeline.word_readings import with_word_readings, word_samples
from ml.inference.speech.confidence import word_confidences
from ml.inference.speech.merged_transcript import merge_transcripts, of_channel
from ml.inference.speech.transcriber import unavailable_notice
from ml.inference.speech.transcript_index import TranscriptIndex
from ml.inference.speech.written_language import written_language
from ml.inference.voice.bursts import FoundBurst
from ml.inference.voice.segments import SegmentOutputs, WindowVoice, segments_by_window, voices_by_window
from ml.languages import language_name
from ml.media import MediaInfo, MediaLimits
from ml.memory import trim_heap
from ml.reports.caption_parser import parse_transcript
from ml.results import Channel, Media, ModelVersions, Notice, Options, Result, Transcript
from ml.vocabulary import channel_name

NO_TRANSCRIPT = Transcript(source="none", language=None, text="")

MEDIA_DAMAGED = Notice(
    code="media_damaged", message="Part of the media could not be decoded; the result covers the rest."
)
NO_EVIDENCE = Notice(
    code="no_evidence", message="The media contains no face, voice or words that the models of the bundle can read."
)
CHANNELS_UNAVAILABLE = Notice(
    code="channels_unavailable",
    message="The media has no channels that can be read separately, or neither voice nor words are requested.",
)
CHANNELS_WITHOUT_WORDS = Notice(
    code="channels_without_words", message="The supplied transcript does not assign its words to channels."
)

EMPTY_SOUND, NO_AUDIO_FEATURES = SoundPlan(0, ()), AudioFeatures(SegmentOutputs.empty())


@dataclass(frozen=True)
class SpokenWords:
    """Words of one sound, and the notices about them."""

    transcript: Transcript = NO_TRANSCRIPT
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class ChannelReading:
    """Reading of one sound, which is the mix or one channel: what each window holds of it, and its words.

    `text_models`: reference of the text model that read each language.
    """

    windows: list[WindowInputs]
    words: SpokenWords
    text_models: Mapping[str, str] = field(default_factory=dict)


class Assembler:
    """Assembles results with the models of one bundle."""

    def __init__(self, planner: Planner, extractor: Extractor, models: LoadedBundle, limits: MediaLimits) -> None:
        self._planner, self._extractor, self._models, self._limits = planner, extractor, models, limits
        self._people = PeopleReader(extractor, models)

    def assemble(self, plan: AnalysisPlan, features: Features, context: AnalysisContext) -> Result:
        """Return the result of the features of the whole media. Raises AffectError with a code and the stage."""
        if plan.recording.info.kind == "image":
            return self._assemble_image(plan, features, context)
        trim_heap()
        timer, options = context.timer, plan.options
        all_features = self._extractor.extract_missing_voice(plan, features, context)
        used_plan, features = plan, all_features
        if plan.cached:
            used_plan, features = reuse.project(plan, all_features, self._planner.requested(plan, context))
        recording, info = used_plan.recording, plan.recording.info
        extent = recording.audio_extent | features.video_extent
        try:
            is_damaged = extent.validate(info, self._limits)
        except AffectError as error:
            error.stage = "decode"
            raise
        duration = extent.duration(info)
        windows = windows_over(duration, options.window_seconds, options.hop_seconds)
        bursts = bursts_of(features.audio, self._models.bursts, extent.sound)
        mix, *channels = self._read_channels(used_plan, features, windows, bursts, context)
        fusion, no_faces = self._models.fusion, FaceObservations.empty()
        transcript = mix.words.transcript
        people_notices: tuple[Notice, ...] = ()
        if options.people:
            heard = HeardRecording(used_plan, features, mix.windows, [each.windows for each in channels], transcript)
            found = self._people.read(heard, context)
            timeline, transcript, people_notices = found.timeline, found.transcript, found.notices
            all_features = found.kept(all_features)
        with timer.stage("fuse"):
            if not options.people:
                timeline = build_timeline(features.faces, mix.windows, fusion, options)
            channel_timelines = [build_timeline(no_faces, each.windows, fusion, options) for each in channels]
        warnings = (*_unavailable_options(options, info), *gap_notices(info.gaps))
        warnings += track_notices(info, recording.layout if recording.sounds else None, options)
        warnings += _transcript_notices(mix, channels)
        if options.channels == "separate" and not channels:
            warnings += (CHANNELS_UNAVAILABLE,)
        warnings += people_notices
        if context.save_to:
            self._save(plan, all_features, context)
        return Result(
            media=_media(info, duration),
            labels=timeline.labels,
            overall=timeline.overall,
            windows=timeline.windows,
            faces=timeline.faces,
            transcript=_requested_words(transcript, options),
            models=_with_text_models(self._models.versions, (mix, *channels)),
            moments=timeline.moments,
            people=timeline.people,
            bursts=vocal_bursts(bursts, timeline.people),
            channels=_channels(channel_timelines, channels, options, with_words=context.transcript is None),
            warnings=warnings + _final_notices(timeline, features.faces, is_damaged=is_damaged),
            timings=timer.timings,
        )

    def _assemble_image(self, plan: AnalysisPlan, features: Features, context: AnalysisContext) -> Result:
        info, options, timer = plan.recording.info, plan.options, context.timer
        with timer.stage("fuse"):
            timeline = image_timeline(features.faces, self._models.fusion, options)
        warnings = _unavailable_options(options, info)
        if options.channels == "separate":
            warnings += (CHANNELS_UNAVAILABLE,)
        return Result(
            media=_media(info, None),
            labels=timeline.labels,
            overall=timeline.overall,
            windows=(),
            faces=timeline.faces,
            transcript=NO_TRANSCRIPT,
            models=self._models.versions,
            warnings=warnings + _final_notices(timeline, features.faces, is_damaged=features.video_extent.damaged),
            timings=timer.timings,
        )

    def _save(self, plan: AnalysisPlan, features: Features, context: AnalysisContext) -> None:
        """Write the files that a later analysis of the same media can reuse: features and newly decoded audio."""
        folder = context.save_to
        assert folder is not None
        folder.mkdir(exist_ok=True)
        features_file.save(folder / FEATURES_FILE, plan.recording, features)
        channels = self._planner.requested(plan, context).channels
        with context.timer.stage("write"):
            plan.audio.save(folder, channels, context.cached, context.timer.check)

    def _read_channels(
        self,
        plan: AnalysisPlan,
        features: Features,
        windows: Sequence[TimeSpan],
        bursts: Sequence[FoundBurst],
        context: AnalysisContext,
    ) -> list[ChannelReading]:
        """Return the reading of each sound. Media without audio has one: a silent mix. `bursts`: are no words."""
        sounds = list(zip(plan.recording.sounds, features.audio, strict=True)) or [(EMPTY_SOUND, NO_AUDIO_FEATURES)]
        options = plan.options
        with context.timer.stage("text"):
            if context.transcript is None and len(sounds) > 1:
                words = _merged([self._recognized_words(sound, audio, options) for sound, audio in sounds[1:]])
            elif context.transcript is None:
                found = self._recognized_words(*sounds[0], options)
                words = [replace(found, transcript=without_bursts(found.transcript, bursts))]
            else:
                transcript, beyond_end = parse_transcript(context.transcript, windows[-1].end)
                language = options.language or written_language(transcript.text)
                transcript = transcript.model_copy(update={"language": language})
                notices: tuple[Notice, ...] = (CHANNELS_WITHOUT_WORDS,) if len(sounds) > 1 else ()
                notices += _beyond_end_notices(beyond_end)
                words = [SpokenWords(transcript, notices), *[SpokenWords()] * (len(sounds) - 1)]
            return [
                self._read_windows(windows, sound, audio, spoken, options)
                for (sound, audio), spoken in zip(sounds, words, strict=True)
            ]

    def _recognized_words(self, sound: SoundPlan, audio: AudioFeatures, options: Options) -> SpokenWords:
        transcriber = self._models.whisper
        if not sound.speech or not options.wants("text"):
            return SpokenWords()
        if transcriber is None:
            return SpokenWords(notices=(unavailable_notice(self._models.bundle.whisper or "none"),))
        if options.language is not None and not transcriber.supports(options.language):
            return SpokenWords(notices=(transcriber.unsupported_notice(options.language),))
        accepted = transcriber.accept(audio.sentences or (), sound.speech, options.language)
        if not accepted.segments:
            return SpokenWords(notices=accepted.notices)
        text = " ".join(segment.text for segment in accepted.segments)
        transcript = Transcript(source="whisper", language=accepted.language, text=text, segments=accepted.segments)
        return SpokenWords(transcript, accepted.notices)

    def _read_windows(
        self,
        windows: Sequence[TimeSpan],
        sound: SoundPlan,
        audio: AudioFeatures,
        spoken: SpokenWords,
        options: Options,
    ) -> ChannelReading:
        """Return the voice and words of each window, and the readings of words whose language a text model knows."""
        index = TranscriptIndex(spoken.transcript.segments, spoken.transcript.language)
        recognized = audio.sentences if spoken.transcript.source == "whisper" else ()
        voices, confidences = _window_voices(windows, sound, audio), word_confidences(recognized or (), windows)
        inputs = [
            WindowInputs(window, voice, index.text_in(window), confidence=confidence)
            for window, voice, confidence in zip(windows, voices, confidences, strict=True)
        ]
        models = self._models.text_models
        if not models or not options.wants("text"):
            return ChannelReading(inputs, spoken)
        languages = {sample.language for sample in word_samples(inputs, index).values() if sample.language}
        unread = [language for language in sorted(languages) if models.for_language(language) is None]
        return ChannelReading(
            with_word_readings(inputs, index, models),
            replace(spoken, notices=spoken.notices + unread_notices(unread)),
            models.by_language(languages),
        )


def _window_voices(windows: Sequence[TimeSpan], sound: SoundPlan, audio: AudioFeatures) -> list[WindowVoice]:
    segments = segments_by_window(sound.speech, windows)
    return voices_by_window(audio.voice.by_segment(), segments, sound.speech, windows)


def _with_text_models(versions: ModelVersions, readings: Sequence[ChannelReading]) -> ModelVersions:
    by_language = {language: name for reading in readings for language, name in reading.text_models.items()}
    return versions.model_copy(update={"text_by_language": dict(sorted(by_language.items()))})


def unread_notices(languages: Sequence[str]) -> tuple[Notice, ...]:
    """Return the notice about languages that no text model of the bundle reads, if there are any."""
    if not languages:
        return ()
    names = " or ".join(language_name(language) or language for language in languages)
    message = f"No text model of the bundle reads {names}: words in it are in the transcript alone."
    return (Notice(code="language_not_read", message=message),)


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


def _merged(channels: Sequence[SpokenWords]) -> list[SpokenWords]:
    """Return the words of all channels in order of time, with the notices that every channel has, then those of each
    channel."""
    of_channels = [replace(each, transcript=of_channel(each.transcript, n)) for n, each in enumerate(channels)]
    shared = tuple(notice for notice in channels[0].notices if all(notice in each.notices for each in channels))
    return [SpokenWords(merge_transcripts([each.transcript for each in of_channels]), shared), *of_channels]


def _requested_words(transcript: Transcript, options: Options) -> Transcript:
    """Return the transcript without the times of words unless they are requested."""
    if options.words:
        return transcript
    segments = tuple(segment.model_copy(update={"words": ()}) for segment in transcript.segments)
    return transcript.model_copy(update={"segments": segments})


def _unavailable_options(options: Options, info: MediaInfo) -> tuple[Notice, ...]:
    """Return notices about options that this media cannot meet."""
    notices = []
    if options.modalities is not None:
        if {"audio", "text"} & set(options.modalities) and not info.has_audio:
            notices.append(Notice(code="modality_unavailable", message="The media has no sound."))
        if "face" in options.modalities and info.kind == "audio":
            notices.append(Notice(code="modality_unavailable", message="The media has no picture."))
    for artifact in ("annotate", "thumbnails"):
        if getattr(options, artifact) and info.kind == "audio":
            message = f"The media has no picture, so the option {artifact} has no effect."
            notices.append(Notice(code="artifact_unavailable", message=message))
    return (*notices, *crop_notices(options, info))


def _transcript_notices(mix: ChannelReading, channels: Sequence[ChannelReading]) -> tuple[Notice, ...]:
    """Return the notices about the words of the mix, and those about a channel that the mix does not have."""
    channel_notices = (
        Notice(code=notice.code, message=f"{channel_name(number)}: {notice.message}")
        for number, channel in enumerate(channels)
        for notice in channel.words.notices
        if notice not in mix.words.notices
    )
    return (*mix.words.notices, *channel_notices)


def _beyond_end_notices(count: int) -> tuple[Notice, ...]:
    if not count:
        return ()
    captions = "1 caption begins" if count == 1 else f"{count} captions begin"
    message = f"{captions} after the end of the media and were left out: the transcript may belong to another file."
    return (Notice(code="captions_beyond_end", message=message),)


def _final_notices(timeline: Timeline, faces: FaceObservations, *, is_damaged: bool) -> tuple[Notice, ...]:
    notices = (MEDIA_DAMAGED,) * is_damaged + small_face_notices(faces)
    return notices + (NO_EVIDENCE,) * (timeline.overall.emotion is None)


def _channels(
    timelines: Sequence[Timeline], readings: Sequence[ChannelReading], options: Options, *, with_words: bool
) -> tuple[Channel, ...] | None:
    """Return the channels; null for media without. `with_words`: whether their words were recognized."""
    has_transcripts = with_words and options.wants("text")
    channels = (
        Channel(
            channel=number,
            windows=timeline.windows,
            overall=timeline.overall,
            transcript=_requested_words(reading.words.transcript, options) if has_transcripts else None,
        )
        for number, (timeline, reading) in enumerate(zip(timelines, readings, strict=True))
    )
    return tuple(channels) or None
