"""Reuse of a cached analysis: the same media with other options. Only missing features are extracted."""

from dataclasses import replace
from pathlib import Path

from ml.inference.api import WHOLE_MEDIA
from ml.inference.face.observations import FaceObservations
from ml.inference.pipeline import features_file
from ml.inference.pipeline.context import FEATURES_FILE, AnalysisContext
from ml.inference.pipeline.decoded_audio import DecodedAudio
from ml.inference.pipeline.extract import Extractor
from ml.inference.pipeline.features import AudioFeatures, Features, FeaturesUnreadable
from ml.inference.pipeline.plan import AnalysisPlan, CachedAnalysis, Planner, RecordingPlan, RequestedFeatures
from ml.inference.voice.segments import SegmentOutputs
from ml.media import DecodedExtent, MediaInfo
from ml.registry import Bundle
from ml.results import Options


def load_cached(context: AnalysisContext, bundle: Bundle) -> CachedAnalysis | None:
    """Return the cached analysis in the context's cache; null if it holds no analysis by the same models."""
    path = context.cached(FEATURES_FILE)
    if path is None:
        return None
    try:
        cached = features_file.load(path)
    except FeaturesUnreadable:
        return None
    return cached if cached.recording.bundle.digest == bundle.digest else None


def plan_from_cached(
    planner: Planner, cached: CachedAnalysis, media: Path, options: Options, context: AnalysisContext
) -> AnalysisPlan:
    """Return the cached plan, extended by what the options request beyond it. Raises as `Planner.plan`."""
    timer = context.timer
    with timer.stage("probe"):
        reuses_audio = _has_requested_track(cached.recording, options)
        if not reuses_audio:
            cached = _without_audio(cached, planner.probe(media, context))
        recording, audio = cached.recording, DecodedAudio.in_folder(context.folder)
        plan = AnalysisPlan(media, options, audio, recording, cached, reuses_audio)
    requested = planner.requested(plan, context)
    if requested.sampling and not (recording.sampling and recording.sampling.covers(requested.sampling)):
        plan = replace(plan, recording=replace(recording, sampling=requested.sampling))
    known = recording.sounds
    if recording.requested_sounds < requested.sounds:
        with timer.stage("decode"):
            is_cached = recording.requested_sounds > 0
            if is_cached and plan.audio.load(requested.sounds, context.cached, timer.check):
                extent = recording.audio_extent
            else:
                plan, extent = planner.decode_audio(plan, context)
                known = ()
        plan = planner.with_sounds(plan, extent, context, known)
    if requested.transcriber is None:
        return plan
    sounds = list(plan.recording.sounds)
    for number in range(min(requested.sounds, len(sounds))):
        sounds[number] = replace(sounds[number], language=options.language)
    return replace(plan, recording=replace(plan.recording, sounds=tuple(sounds)))


def _has_requested_track(recording: RecordingPlan, options: Options) -> bool:
    """Return whether the audio of a recording is of the track that the options request."""
    decoded, tracks = recording.layout.requested if recording.layout else None, len(recording.info.audio_tracks)
    wanted = options.requested_track
    return decoded == (wanted if wanted is None or wanted < max(tracks, 1) else None) and bool(tracks or not wanted)


def _without_audio(cached: CachedAnalysis, info: MediaInfo) -> CachedAnalysis:
    """Return a cached analysis as if no audio had been requested of it."""
    recording = replace(
        cached.recording, info=info, audio_extent=DecodedExtent(), sounds=(), requested_sounds=0, layout=None
    )
    return CachedAnalysis(recording, replace(cached.features, audio=()))


def extract_missing(
    planner: Planner, extractor: Extractor, plan: AnalysisPlan, cached: CachedAnalysis, context: AnalysisContext
) -> Features:
    """Return the cached features, extended by those that the plan needs beyond them. Raises as `Extractor.extract`."""
    features, sounds = cached.features, plan.recording.sounds
    if plan.recording.sampling != cached.recording.sampling:
        with context.timer.stage("faces"):
            faces, extent = extractor.extract_faces(plan, WHOLE_MEDIA, context)
        features = replace(features, faces=faces, video_extent=extent)
    new = [AudioFeatures(SegmentOutputs.empty())] * (len(sounds) - len(features.audio))
    features = extractor.extract_missing_voice(plan, replace(features, audio=(*features.audio, *new)), context)
    requested = planner.requested(plan, context)
    sounds, audio = plan.recording.sounds[: requested.sounds], list(features.audio)
    languages = [sound.language for sound in cached.recording.sounds]
    outdated = [
        number
        for number, sound in enumerate(sounds)
        if requested.transcriber
        and (number > 0 or len(sounds) == 1)
        and (audio[number].sentences is None or languages[number] != sound.language)
    ]
    if not outdated:
        return features
    planner.ensure_audio(plan, context)
    timer = context.timer
    with timer.stage("transcribe"), plan.audio.open(len(sounds)) as files:
        for number, progress in zip(outdated, timer.shares(len(outdated)), strict=True):
            sound, pcm = sounds[number], files[number]
            sentences = extractor.recognize(sound, pcm, requested.transcriber, WHOLE_MEDIA, timer.check, progress)
            audio[number] = replace(audio[number], sentences=sentences)
    return replace(features, audio=tuple(audio))


def project(plan: AnalysisPlan, features: Features, requested: RequestedFeatures) -> tuple[AnalysisPlan, Features]:
    """Return the plan and the features reduced to those that are requested, of some that may contain more."""
    recording, audio = plan.recording, features.audio[: requested.sounds]
    if not requested.voice:
        audio = tuple(replace(each, voice=SegmentOutputs.empty()) for each in audio)
    if requested.bursts is None:
        audio = tuple(replace(each, bursts=None) for each in audio)
    features = replace(features, audio=audio)
    available, wanted = recording.sampling, requested.sampling
    if wanted is None or available is None:
        features = replace(features, faces=FaceObservations.empty(), video_extent=DecodedExtent())
    elif available != wanted:
        step = round(available.frame_rate / wanted.frame_rate)
        faces = features.faces.subsample(available.frame_rate, step, wanted.max_faces, landmarks=wanted.landmarks)
        faces = faces if wanted.movements else replace(faces, movements_NV=None)
        faces = faces if wanted.identity else replace(faces, is_identified_N=None, identities_IE=None)
        features = replace(features, faces=faces)
    extent = recording.audio_extent if requested.sounds else DecodedExtent()
    sounds = recording.sounds[: requested.sounds]
    return replace(plan, recording=replace(recording, sampling=wanted, sounds=sounds, audio_extent=extent)), features
