"""Extraction of features: faces from the frames, voice and words from the decoded audio.

Memory does not grow with the length of the media, except for the arrays of the models' outputs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import numpy as np

from ml.inference.api import WHOLE_MEDIA, TimeSpan
from ml.inference.face.backends.base import FaceSearch, backend_factory
from ml.inference.face.detector import DetectorPool, FaceDetector
from ml.inference.face.observations import FaceCollector, FaceObservations
from ml.inference.face.ready_crops import CropDetector
from ml.inference.fusion.windows import windows_over
from ml.inference.people.speech_pieces import SpeechPieces
from ml.inference.pipeline.bundle import LoadedBundle
from ml.inference.pipeline.context import AnalysisContext
from ml.inference.pipeline.features import AudioFeatures, Features
from ml.inference.pipeline.partition import chunk_index, items_starting_in
from ml.inference.pipeline.plan import AnalysisPlan, Planner, RequestedFeatures, SoundPlan
from ml.inference.runtime.background import MIN_CORES_FOR_OVERLAP, background_stages
from ml.inference.runtime.batching import CrossJobBatcher
from ml.inference.runtime.progress import StageTimer
from ml.inference.speech.sentences import Sentence
from ml.inference.speech.transcriber import Transcriber
from ml.inference.voice.bursts import BurstOutputs, BurstPredictor, block_count, block_start
from ml.inference.voice.segments import (
    SampleRange,
    SegmentOutputs,
    batch_segments,
    predict_segments,
    segments_by_window,
)
from ml.inference.voice.vad import Pcm
from ml.media import SAMPLE_RATE, DecodedExtent, MediaLimits, load_image
from ml.media.decoder import DecodeRequest
from ml.media.sandbox import CancelCheck, never_cancelled
from ml.memory import trim_heap


class Extractor:
    """Extracts features with the models of one bundle. Threads may share it."""

    def __init__(self, planner: Planner, models: LoadedBundle, limits: MediaLimits, face_search: FaceSearch) -> None:
        self._planner, self._models, self._limits = planner, models, limits
        self._detectors = None
        if models.face:
            open_backend = backend_factory(face_search, models.face.device)
            self._detectors = DetectorPool(models.face.crop_size, open_backend)
        self._image_faces = CrossJobBatcher(models.face) if models.face else None

    def warm_up(self) -> None:
        """Build a face detector and run it once."""
        if self._detectors:
            with self._detectors.borrow() as detector:
                detector.detect(np.zeros((64, 64, 3), np.uint8), 1)

    def extract(self, plan: AnalysisPlan, part: TimeSpan, context: AnalysisContext) -> Features:
        """Extract the features of a part, voice and words concurrently with faces if there are cores for it.

        Raises AffectError with a code and the stage.
        """
        if plan.recording.info.kind == "image":
            return self._extract_from_image(plan, context)
        trim_heap()
        timer, recording = context.timer, plan.recording
        requested = self._planner.requested(plan, context)
        overlaps = recording.sampling is not None and self._models.threads >= MIN_CORES_FOR_OVERLAP
        with (
            plan.audio.open(len(recording.sounds)) as files,
            background_stages(timer, threads=overlaps) as background,
        ):
            sounds = list(zip(recording.sounds, files, strict=True))

            def read_voices(timer: StageTimer) -> list[SegmentOutputs]:
                voices = []
                for (sound, pcm), progress in zip(sounds, timer.shares(len(sounds)), strict=True):
                    batches = batch_segments(self._segments(plan, sound, requested, recording.expected_seconds))
                    own = items_starting_in(part, batches, _first_second)
                    voices.append(self._read_voice(pcm, own, timer.check, progress))
                return voices

            def recognize_speech(timer: StageTimer) -> list[tuple[Sentence, ...] | None]:
                trim_heap()
                numbers = recording.recognized_sounds
                sentences: list[tuple[Sentence, ...] | None] = [None] * len(sounds)
                for number, progress in zip(numbers, timer.shares(len(numbers)), strict=True):
                    sound, pcm = sounds[number]
                    words = self.recognize(sound, pcm, requested.transcriber, part, timer.check, progress)
                    sentences[number] = words
                return sentences

            def hear_speakers(timer: StageTimer) -> list[SpeechPieces | None]:
                (progress,) = timer.shares(1)
                return [
                    self._hear_speakers(sound, pcm, requested, part, timer.check, progress) for sound, pcm in sounds
                ]

            def hear_bursts(timer: StageTimer) -> list[BurstOutputs | None]:
                (progress,) = timer.shares(1)
                heard: list[BurstOutputs | None] = [None] * len(sounds)
                if requested.bursts is not None and sounds:
                    heard[0] = _read_bursts(requested.bursts, sounds[0][1], part, timer.check, progress)
                return heard

            pieces = background.start("audio", hear_speakers)
            bursts = background.start("audio", hear_bursts)
            voices = background.start("audio", read_voices)
            sentences = background.start("transcribe", recognize_speech)
            with timer.stage("faces"):
                faces, extent = self.extract_faces(plan, part, context, background.check)
            trim_heap()
            return Features(faces, extent, tuple(map(AudioFeatures, voices(), sentences(), pieces(), bursts())))

    def extract_faces(
        self, plan: AnalysisPlan, part: TimeSpan, context: AnalysisContext, check: CancelCheck = never_cancelled
    ) -> tuple[FaceObservations, DecodedExtent]:
        """Return the faces in the frames of a part, and how far its video was decoded. `check` runs for each frame."""
        predictor, sampling = self._models.face, plan.recording.sampling
        if predictor is None or sampling is None:
            return FaceObservations.empty(), DecodedExtent()
        end = part.end if part.end < WHOLE_MEDIA.end else None
        request = DecodeRequest(sampling.frame_rate, audio=False, start=part.start, end=end, validate=False)
        with (
            self._planner.source(plan, context).decoder(request) as decoder,
            self._face_detector(crops=sampling.crops) as detector,
            _face_thread() as thread,
        ):
            movements = self._models.movements if sampling.movements else None
            collector = FaceCollector(
                detector,
                predictor,
                sampling.max_faces,
                sampling.landmarks,
                thread,
                movements=movements,
                identity=self._models.identity if sampling.identity else None,
            )
            seconds = max(min(plan.recording.expected_seconds, part.end) - part.start, 1e-9)
            chunk = chunk_index(part.start)
            for frame in decoder.frames():
                if chunk_index(frame.time) != chunk:
                    collector.end_chunk()
                    trim_heap()
                    chunk = chunk_index(frame.time)
                check()
                collector.add(frame.time, frame.image, decoder.scale)
                context.timer.set_fraction((frame.time - part.start) / seconds)
            return collector.result(), decoder.extent

    def _face_detector(self, *, crops: bool) -> AbstractContextManager[FaceDetector]:
        """Return a detector to use: one that searches, or one for `crops`. The bundle must have a face model."""
        assert self._models.face is not None and self._detectors is not None
        return CropDetector(self._models.face.crop_size) if crops else self._detectors.borrow()

    def _extract_from_image(self, plan: AnalysisPlan, context: AnalysisContext) -> Features:
        timer, options = context.timer, plan.options
        with timer.stage("decode"):
            image = load_image(plan.media, plan.recording.info, self._limits, check=timer.check)
        faces = FaceObservations.empty()
        with timer.stage("faces"):
            if self._image_faces and options.wants("face"):
                with self._face_detector(crops=options.crops) as detector:
                    movements = self._models.movements if options.movements else None
                    collector = FaceCollector(
                        detector,
                        self._image_faces,
                        options.max_faces,
                        options.landmarks,
                        kind="photo",
                        movements=movements,
                    )
                    collector.add(0.0, image.image, image.scale)
                faces = collector.result()
        return Features(faces, DecodedExtent(damaged=image.damaged))

    def extract_missing_voice(self, plan: AnalysisPlan, features: Features, context: AnalysisContext) -> Features:
        """Return the features with the voice of every segment that the windows over the whole media need.

        After an extraction with the same options only segments of the last windows can be missing, because the exact
        length of the media was not known then.
        """
        requested = self._planner.requested(plan, context)
        features = self._extract_missing_pieces(plan, features, requested, context)
        features = self._extract_missing_bursts(plan, features, requested, context)
        sounds = plan.recording.sounds[: requested.sounds]
        audio_extent = plan.recording.audio_extent if requested.sounds else DecodedExtent()
        video_extent = features.video_extent if requested.sampling else DecodedExtent()
        seconds = (audio_extent | video_extent).duration(plan.recording.info)
        missing: dict[int, list[list[SampleRange]]] = {}
        for number, sound in enumerate(sounds):
            known = features.audio[number].voice.by_segment()
            segments = self._segments(plan, sound, requested, seconds)
            if batches := batch_segments(segment for segment in segments if segment not in known):
                missing[number] = batches
        return self._with_voice(plan, features, missing, context)

    def extract_segments(
        self, plan: AnalysisPlan, features: Features, segments: Iterable[SampleRange], context: AnalysisContext
    ) -> Features:
        """Return the features with the voice of these segments of the mix."""
        known = features.audio[0].voice.by_segment()
        batches = batch_segments(segment for segment in segments if segment not in known)
        return self._with_voice(plan, features, {0: batches} if batches else {}, context)

    def _with_voice(
        self,
        plan: AnalysisPlan,
        features: Features,
        missing: Mapping[int, Sequence[Sequence[SampleRange]]],
        context: AnalysisContext,
    ) -> Features:
        """Return the features with the voice of missing segments, which are in batches, by the number of the sound."""
        if not missing:
            return features
        self._planner.ensure_audio(plan, context)
        audio = list(features.audio)
        with context.timer.stage("audio"), plan.audio.open(max(missing) + 1) as files:
            for (number, batches), progress in zip(missing.items(), context.timer.shares(len(missing)), strict=True):
                voice = self._read_voice(files[number], batches, context.timer.check, progress)
                audio[number] = replace(audio[number], voice=SegmentOutputs.concatenated([audio[number].voice, voice]))
        return replace(features, audio=tuple(audio))

    def _extract_missing_pieces(
        self, plan: AnalysisPlan, features: Features, requested: RequestedFeatures, context: AnalysisContext
    ) -> Features:
        """Return the features with the pieces of speech, if they are requested and the features lack them."""
        sounds = plan.recording.sounds
        if requested.listener is None or len(sounds) == 0 or features.audio[0].pieces is not None:
            return features
        self._planner.ensure_audio(plan, context)
        timer = context.timer
        with timer.stage("audio"), plan.audio.open(1) as files:
            pieces = self._hear_speakers(sounds[0], files[0], requested, WHOLE_MEDIA, timer.check, timer.set_fraction)
        return replace(features, audio=(replace(features.audio[0], pieces=pieces), *features.audio[1:]))

    def _extract_missing_bursts(
        self, plan: AnalysisPlan, features: Features, requested: RequestedFeatures, context: AnalysisContext
    ) -> Features:
        """Return the features with the vocal bursts, if they are requested and the features lack them."""
        if requested.bursts is None or not features.audio or features.audio[0].bursts is not None:
            return features
        self._planner.ensure_audio(plan, context)
        timer = context.timer
        with timer.stage("audio"), plan.audio.open(1) as files:
            found = _read_bursts(requested.bursts, files[0], WHOLE_MEDIA, timer.check, timer.set_fraction)
        return replace(features, audio=(replace(features.audio[0], bursts=found), *features.audio[1:]))

    def _hear_speakers(
        self,
        sound: SoundPlan,
        pcm: Pcm,
        requested: RequestedFeatures,
        part: TimeSpan,
        check: CancelCheck,
        progress: Callable[[float], None],
    ) -> SpeechPieces | None:
        """Return the pieces of the speech of a part; null if speakers are not requested, or networks are missing."""
        listener = requested.listener
        return listener.listen(pcm, sound.speech, part, check, progress) if listener else None

    def recognize(
        self,
        sound: SoundPlan,
        pcm: Pcm,
        transcriber: Transcriber | None,
        part: TimeSpan,
        check: CancelCheck,
        progress: Callable[[float], None],
    ) -> tuple[Sentence, ...] | None:
        """Return all sentences of a part, including doubtful ones; null if there is no transcriber."""
        if transcriber is None:
            return None
        if sound.language is not None and not transcriber.supports(sound.language):
            return ()
        batches = transcriber.batches(pcm, sound.speech)
        own = items_starting_in(part, batches, lambda batch: batch[0].pieces[0][0] / SAMPLE_RATE)
        return tuple(transcriber.recognize(pcm, sound.speech, own, sound.language, check, progress))

    def _segments(
        self, plan: AnalysisPlan, sound: SoundPlan, requested: RequestedFeatures, seconds: float
    ) -> list[SampleRange]:
        """Return the segments of a sound that are read for the windows over `seconds` of media."""
        if not requested.voice:
            return []
        windows = windows_over(seconds, plan.options.window_seconds, plan.options.hop_seconds)
        return [segment for each in segments_by_window(sound.speech, windows).values() for segment in each]

    def _read_voice(
        self,
        pcm: Pcm,
        batches: Sequence[Sequence[SampleRange]],
        check: CancelCheck,
        progress: Callable[[float], None],
    ) -> SegmentOutputs:
        predictor = self._models.audio
        return predict_segments(predictor, pcm, batches, progress, check) if predictor else SegmentOutputs.empty()


def _read_bursts(
    predictor: BurstPredictor, pcm: Pcm, part: TimeSpan, check: CancelCheck, progress: Callable[[float], None]
) -> BurstOutputs:
    """Return the vocal bursts in the blocks of the grid that start in a part."""
    return predictor.read(pcm, items_starting_in(part, range(block_count(len(pcm))), block_start), check, progress)


def _first_second(batch: Sequence[SampleRange]) -> float:
    return batch[0][0] / SAMPLE_RATE


@contextmanager
def _face_thread() -> Iterator[ThreadPoolExecutor]:
    """Yield a thread that reads faces; calls that it has not begun at the end are dropped."""
    pool = ThreadPoolExecutor(1, "faces")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
