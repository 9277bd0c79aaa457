"""One recording under analysis: its survey, and what the models observe in a part of it.

The sound is decoded once, into files, and where its speech lies is settled for the whole; pictures are decoded by
parts. Nothing here grows with the length of the media but arrays of what the models answer.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ml.errors import MediaInvalid
from ml.inference.api import TimeSpan
from ml.inference.face.observations import FaceCollector, FaceObservations
from ml.inference.face.predictor import DetectorPool
from ml.inference.fusion.windows import windows_over
from ml.inference.pipeline import features_file
from ml.inference.pipeline.bundle import LoadedBundle
from ml.inference.pipeline.context import CHANNELS, FEATURES_FILE, MIX, AnalysisContext
from ml.inference.pipeline.decoded_audio import DecodedAudio
from ml.inference.pipeline.features_file import Heard, Observation, Sampling, Survey, SurveyedSound
from ml.inference.pipeline.partition import WHOLE, chunk_of, within
from ml.inference.runtime.background import MIN_CORES_FOR_OVERLAP, background_stages
from ml.inference.runtime.progress import StageTimer
from ml.inference.speech.transcriber import Sentence
from ml.inference.voice.segments import (
    SampleRange,
    SegmentOutputs,
    batch_segments,
    predict_segments,
    segments_by_window,
)
from ml.inference.voice.vad import speech_segments
from ml.media import SAMPLE_RATE, DecodedExtent, Decoder, DecodeRequest, MediaInfo, MediaLimits, PcmReader, flac
from ml.media.ffmpeg import MAX_CHANNELS
from ml.media.sandbox import CancelCheck, never_cancelled
from ml.memory import trim_heap
from ml.results import Options


@contextmanager
def _thread_beside() -> Iterator[ThreadPoolExecutor]:
    """Whatever it has not begun when it is left is dropped."""
    pool = ThreadPoolExecutor(1, "faces")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class Recording:
    """The file at `path`, and what it takes to read it. `soundtrack`: where its decoded sound lies, or goes when it is
    needed."""

    path: Path
    info: MediaInfo
    options: Options
    models: LoadedBundle
    limits: MediaLimits
    scratch: Path
    soundtrack: DecodedAudio
    clock: StageTimer
    work: AnalysisContext
    detectors: DetectorPool | None = None

    @property
    def sampling(self) -> Sampling | None:
        """How the options want the picture to be looked at."""
        if self.models.face is None or not self.options.wants("face") or not self.info.has_video:
            return None
        return Sampling(self.options.frame_rate, self.options.max_faces, self.options.landmarks)

    @property
    def channels(self) -> int:
        """How many channels can be read apart; 0 where the sound has not several."""
        most = min(self.limits.max_channels, MAX_CHANNELS)
        return self.info.audio_channels if 2 <= self.info.audio_channels <= most else 0

    @property
    def sounds(self) -> int:
        """How many sounds the options want to be read: the mix, and channels."""
        if not self.info.has_audio or not (self.options.wants("audio") or self.options.wants("text")):
            return 0
        return 1 + (self.channels if self.options.channels == "separate" else 0)

    @property
    def recognises(self) -> bool:
        return self.work.recognises and self.options.wants("text") and self.models.whisper is not None

    def survey(self) -> Survey:
        """Decodes the sound and finds its speech."""
        with self.clock.stage("decode"):
            reach = self._decode_sound()
            reach.validate_audio(self.info, self.limits)
        return self._surveyed(reach)

    def _surveyed(self, reach: DecodedExtent, known: tuple[SurveyedSound, ...] = ()) -> Survey:
        """The survey, once the sound is decoded, of which the first few are known."""
        count = self.sounds if reach.sound else 0
        if count > 1 and not self.soundtrack.channels.exists():
            count = 1
        with self.clock.stage("segment"), self.soundtrack.open(count) as sounds:
            surveyed = known + tuple(self._survey_sound(pcm) for pcm in sounds[len(known) :])
        return Survey(self.info, self.models.bundle, self.sampling, reach, surveyed, asked=self.sounds)

    def _decode_sound(self) -> DecodedExtent:
        """Into the files of the soundtrack, with the channels where they are wanted or kept; how far it came."""
        if not self.sounds:
            return DecodedExtent()
        mix = DecodeRequest(None, audio=True, validate=False, audio_file=self.soundtrack.mix)
        with self._decoder(mix) as decoder:
            for _ in decoder.frames():
                pass
            reach = decoder.extent
        if self.channels and (self.sounds > 1 or self.work.save_to):
            # A pass of its own: the mix is then the very same as without this wish.
            apart = DecodeRequest(None, audio=True, channels="separate", audio_file=self.soundtrack.channels)
            try:
                with self._decoder(apart) as decoder:
                    for _ in decoder.frames():
                        pass
            except MediaInvalid:  # too short or too damaged to be read apart
                self.soundtrack.channels.unlink(missing_ok=True)
        return reach

    def _decoder(self, request: DecodeRequest) -> Decoder:
        return Decoder(self.path, self.info, request, limits=self.limits, scratch=self.scratch, check=self.clock.check)

    def _survey_sound(self, pcm: PcmReader) -> SurveyedSound:
        spans = tuple(speech_segments(pcm, self.clock.check)) if len(pcm) else ()
        return SurveyedSound(len(pcm), spans, self._spoken(pcm, spans))

    def _spoken(self, pcm: PcmReader, spans: Sequence[TimeSpan]) -> str | None:
        whisper = self.models.whisper
        if whisper is None or not self.recognises or not spans:
            return None
        wish = self.options.language
        if wish is not None:
            return wish if whisper.supports(wish) else None
        return whisper.detect_language(pcm, spans, self.clock.check)

    def observe(self, survey: Survey, part: TimeSpan = WHOLE) -> Observation:
        """What the models see and hear in a part. The soundtrack is there."""
        with (
            self.soundtrack.open(len(survey.sounds)) as sounds,
            background_stages(
                self.clock, threads=self.sampling is not None and self.models.threads >= MIN_CORES_FOR_OVERLAP
            ) as aside,
        ):
            pairs = list(zip(survey.sounds, sounds, strict=True))
            tones = aside.start("audio", lambda clock: self._by(clock)._listen_to_all(survey, pairs, part))
            sentences = aside.start("transcribe", lambda clock: self._by(clock)._recognise_all(pairs, part))
            with self.clock.stage("faces"):
                sight, reach = self._see(part, survey.expected, aside.check)
            trim_heap()
            return Observation(sight, reach, tuple(map(Heard, tones(), sentences())))

    def _by(self, clock: StageTimer) -> "Recording":
        return replace(self, clock=clock)

    def _listen_to_all(
        self, survey: Survey, pairs: Sequence[tuple[SurveyedSound, PcmReader]], part: TimeSpan
    ) -> list[SegmentOutputs]:
        return [
            self._listen(pcm, within(part, self._batches(survey, surveyed), _piece_start), progress)
            for (surveyed, pcm), progress in zip(pairs, self._shares(len(pairs)), strict=True)
        ]

    def _recognise_all(
        self, pairs: Sequence[tuple[SurveyedSound, PcmReader]], part: TimeSpan
    ) -> list[tuple[Sentence, ...] | None]:
        trim_heap()
        return [
            self._recognise(surveyed, pcm, part, progress)
            for (surveyed, pcm), progress in zip(pairs, self._shares(len(pairs)), strict=True)
        ]

    def _see(
        self, part: TimeSpan, expected: float, check: CancelCheck = never_cancelled
    ) -> tuple[FaceObservations, DecodedExtent]:
        """The faces of the frames of a part, and how far its picture reaches. `check` is called for each frame."""
        predictor, detectors, sampling = self.models.face, self.detectors, self.sampling
        if predictor is None or detectors is None or sampling is None:
            return FaceObservations.empty(), DecodedExtent()
        end = part.end if part.end < WHOLE.end else None
        request = DecodeRequest(sampling.frame_rate, audio=False, start=part.start, end=end, validate=False)
        decoder = self._decoder(request)
        with decoder, detectors.borrow() as detector, _thread_beside() as beside:
            watcher = FaceCollector(detector, predictor, sampling.max_faces, sampling.landmarks, beside)
            self._watch(decoder, watcher, part, expected, check)
            return watcher.result(), decoder.extent

    def _watch(
        self, decoder: Decoder, watcher: FaceCollector, part: TimeSpan, expected: float, check: CancelCheck
    ) -> None:
        chunk = chunk_of(part.start)
        seconds = max(min(expected, part.end) - part.start, 1e-9)
        for frame in decoder.frames():
            if chunk_of(frame.time) != chunk:
                watcher.flush()
                trim_heap()
                chunk = chunk_of(frame.time)
            check()
            watcher.add(frame.time, frame.image, decoder.scale)
            self.clock.set_fraction((frame.time - part.start) / seconds)

    def _batches(self, survey: Survey, surveyed: SurveyedSound) -> list[list[SampleRange]]:
        """The pieces whose tone of voice is wanted, as far as the length of the media is known, in batches."""
        if not self._hears:
            return []
        windows = windows_over(survey.expected, self.options.window_seconds, self.options.hop_seconds)
        return batch_segments(flat(segments_by_window(surveyed.speech, windows)))

    def _listen(
        self, pcm: PcmReader, batches: Sequence[Sequence[SampleRange]], progress: Callable[[float], None]
    ) -> SegmentOutputs:
        predictor = self.models.audio
        return (
            predict_segments(predictor, pcm, batches, progress, self.clock.check)
            if predictor
            else SegmentOutputs.empty()
        )

    def _recognise(
        self, surveyed: SurveyedSound, pcm: PcmReader, part: TimeSpan, progress: Callable[[float], None]
    ) -> tuple[Sentence, ...] | None:
        """All sentences of a part, doubtful ones too; null where speech is not recognised."""
        whisper = self.models.whisper
        if whisper is None or not self.recognises:
            return None
        if surveyed.language is None:
            return ()
        batches = whisper.batches(pcm, surveyed.speech)
        mine = within(part, batches, lambda batch: batch[0].pieces[0][0] / SAMPLE_RATE)
        return tuple(whisper.recognize(pcm, surveyed.speech, mine, surveyed.language, self.clock.check, progress))

    def complete(self, survey: Survey, observation: Observation) -> tuple[Survey, Observation]:
        """With what the options ask for and the evidence lacks, observed now: of a kept recording that is read in
        another way much or nothing, of one that was observed for these options at most the end of its last window."""
        wanted = self.sampling
        if wanted is not None and not (survey.sampling and survey.sampling.covers(wanted)):
            with self.clock.stage("faces"):
                sight, reach = self._see(WHOLE, survey.expected)
            survey, observation = replace(survey, sampling=wanted), replace(observation, sight=sight, reach=reach)
        if survey.asked < self.sounds:
            found = self._surveyed_further(survey)
            survey = replace(survey, reach=found.reach, sounds=found.sounds, asked=found.asked)
        return self._heard_further(survey, observation)

    def as_asked(self, survey: Survey, observation: Observation) -> tuple[Survey, Observation]:
        """What the options ask for, of evidence that may hold more."""
        seen, wanted = survey.sampling, self.sampling
        heard = observation.heard[: self.sounds]
        if not self._hears:
            heard = tuple(replace(each, tones=SegmentOutputs.empty()) for each in heard)
        sounds, reach = survey.sounds[: self.sounds], survey.reach if self.sounds else DecodedExtent()
        survey = replace(survey, sampling=wanted, sounds=sounds, reach=reach)
        observation = replace(observation, heard=heard)
        if wanted is None or seen is None:
            return survey, replace(observation, sight=FaceObservations.empty(), reach=DecodedExtent())
        if seen == wanted:
            return survey, observation
        every = round(seen.frame_rate / wanted.frame_rate)
        sight = observation.sight.subsample(seen.frame_rate, every, wanted.max_faces, landmarks=wanted.landmarks)
        return survey, replace(observation, sight=sight)

    def keep(self, folder: Path, survey: Survey, observation: Observation) -> None:
        """Writes what it takes to read the recording again: the evidence and, where it was decoded now, the sound."""
        folder.mkdir(exist_ok=True)
        features_file.write(folder / FEATURES_FILE, survey, observation)
        with self.clock.stage("write"):
            for name, sound, channels in self._sound_files():
                if sound.exists() and self.work.cached(name) is None:
                    flac.pack(sound, channels, folder / name, self.clock.check)

    def _sound_files(self) -> tuple[tuple[str, Path, int], ...]:
        """Under what name it is kept, where it lies decoded, how many channels it has."""
        return (MIX, self.soundtrack.mix, 1), (CHANNELS, self.soundtrack.channels, self.channels)

    @property
    def _hears(self) -> bool:
        return self.models.audio is not None and self.options.wants("audio")

    def _surveyed_further(self, survey: Survey) -> Survey:
        with self.clock.stage("decode"):
            kept = survey.asked > 0 and self._unpack_sound()
            reach = survey.reach if kept else self._decode_sound()
        return self._surveyed(reach, survey.sounds if kept else ())

    def _heard_further(self, survey: Survey, observation: Observation) -> tuple[Survey, Observation]:
        asked, seen = self.as_asked(survey, observation)
        duration = (asked.reach | seen.reach).duration(self.info)
        known = [*observation.heard, *[Heard(SegmentOutputs.empty())] * (len(survey.sounds) - len(observation.heard))]
        pairs = list(zip(survey.sounds, known, strict=True))
        count = len(asked.sounds)
        found = [self._heard_sound(number, count, *pairs[number], duration) for number in range(count)] + pairs[count:]
        survey = replace(survey, sounds=tuple(sound for sound, _ in found))
        return survey, replace(observation, heard=tuple(heard for _, heard in found))

    def _heard_sound(
        self, number: int, count: int, surveyed: SurveyedSound, heard: Heard, duration: float
    ) -> tuple[SurveyedSound, Heard]:
        wish = self.options.language
        anew = self.recognises and (heard.sentences is None or (wish is not None and wish != surveyed.language))
        tones_known = heard.tones.by_segment()
        windows = windows_over(duration, self.options.window_seconds, self.options.hop_seconds)
        wanted = flat(segments_by_window(surveyed.speech, windows)) if self._hears else []
        missing = batch_segments(piece for piece in wanted if piece not in tones_known)
        if not missing and not anew:
            return surveyed, heard
        self._bring_sound()
        with self.soundtrack.open(count) as sounds:
            pcm = sounds[number]
            if missing:
                with self.clock.stage("audio"):
                    more = self._listen(pcm, missing, self.clock.set_fraction)
                    heard = replace(heard, tones=SegmentOutputs.concatenated([heard.tones, more]))
            if anew:
                with self.clock.stage("transcribe"):
                    surveyed = replace(surveyed, language=self._spoken(pcm, surveyed.speech))
                    heard = replace(heard, sentences=self._recognise(surveyed, pcm, WHOLE, self.clock.set_fraction))
        return surveyed, heard

    def _bring_sound(self) -> None:
        if not self.soundtrack.mix.exists():
            with self.clock.stage("decode"):
                if not self._unpack_sound():
                    self._decode_sound()

    def _unpack_sound(self) -> bool:
        """Whether the sound was kept: then it lies in the files of the soundtrack."""
        try:
            for name, sound, _ in self._sound_files()[: self.sounds]:
                if path := self.work.cached(name):
                    flac.unpack(path, sound, self.clock.check)
        except MediaInvalid:
            self.soundtrack.channels.unlink(missing_ok=True)
            return False
        return self.soundtrack.mix.exists()

    def _shares(self, count: int) -> Iterator[Callable[[float], None]]:
        """For each of several equal parts of a stage, what is told of its progress."""

        def share(index: int) -> Callable[[float], None]:
            return lambda fraction: self.clock.set_fraction((index + fraction) / count)

        return map(share, range(count))


def _piece_start(batch: Sequence[SampleRange]) -> float:
    return batch[0][0] / SAMPLE_RATE


def flat(pieces: dict[TimeSpan, list[SampleRange]]) -> list[SampleRange]:
    return [piece for each in pieces.values() for piece in each]
