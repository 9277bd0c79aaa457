"""People of a recording: who is seen, who speaks, and the voice and words of each person in each window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ml.inference.api import ModalityFeatures, TimeSpan
from ml.inference.face.observations import FaceObservations
from ml.inference.fusion.people_timeline import Spoken, build_people_timeline
from ml.inference.fusion.timeline import Timeline, TrackedFaces, WindowInputs
from ml.inference.people.diarization import Turn, diarize
from ml.inference.people.face_identity import face_people
from ml.inference.people.matching import match_voices, mouths_of
from ml.inference.people.people import People, find_people, seen_seconds
from ml.inference.people.speech_pieces import SpeechPieces
from ml.inference.people.turns import TurnIndex
from ml.inference.people.word_speakers import segments_of, with_people
from ml.inference.pipeline.bundle import LoadedBundle
from ml.inference.pipeline.context import AnalysisContext
from ml.inference.pipeline.extract import Extractor
from ml.inference.pipeline.features import Features
from ml.inference.pipeline.plan import AnalysisPlan
from ml.inference.pipeline.word_readings import with_word_readings
from ml.inference.speech.transcript_index import TranscriptIndex
from ml.inference.voice.segments import (
    MIN_SPEECH_SHARE,
    SampleRange,
    SegmentOutputs,
    WindowVoice,
    mean_features,
    sample_range,
    split_segments,
)
from ml.media import SAMPLE_RATE
from ml.results import Notice, Options, Transcript

VOICES_UNKNOWN = Notice(
    code="voices_unknown",
    message="The networks that distinguish voices are not installed: people are found by their faces alone.",
)
MIN_TURN_SECONDS = 0.3
"""Seconds of a turn below which its voice is not read by itself."""


def voice_turns(
    pieces: SpeechPieces | None, speech: Sequence[TimeSpan], options: Options, faces: int
) -> list[Turn] | None:
    """Return who speaks when in a sound; null if it is not known. If one voice is heard, all speech is its.

    `faces`: number of people who are seen; some of them may be silent.
    """
    if pieces is None:
        return None if speech else []
    least = options.min_people or 1
    turns = diarize(pieces, min_speakers=least if least > faces else 1, max_speakers=options.max_people)
    if len({turn.speaker for turn in turns}) <= 1:
        return [Turn(span, 0) for span in speech]
    return turns


def channel_turns(channels: Sequence[Sequence[TimeSpan]]) -> list[Turn]:
    """Return who speaks when if each channel has one speaker, in order of time. `channels`: speech of each."""
    turns = [Turn(span, channel) for channel, speech in enumerate(channels) for span in speech]
    return sorted(turns, key=lambda turn: (turn.span.start, turn.speaker))


def people_of(
    faces: FaceObservations, tracked: TrackedFaces, groups: Sequence[tuple[int, ...]], turns: Sequence[Turn] | None
) -> People:
    """Return the people of a recording. `groups`: tracks of each person who is seen; `turns`: null if it is not known
    who speaks when."""
    seconds = seen_seconds(tracked.tracks, faces.times_F.tolist())
    mouths = mouths_of(groups, tracked.tracks, faces)
    return find_people(groups, seconds, turns, match_voices(groups, turns or (), mouths))


@dataclass(frozen=True)
class SpokenWindows:
    """Windows of a recording with several speakers.

    Attributes:
        mix: all that is heard in each window.
        turns: who speaks when.
        people: the people of the speakers.
        transcript: the words, with their people.
    """

    mix: Sequence[WindowInputs]
    turns: TurnIndex
    people: People
    transcript: Transcript

    def segments(self) -> list[SampleRange]:
        """Return the segments of the turns in windows in which several people speak, in order of time."""
        spans = {
            turn.span
            for each in self.mix
            if len(self.turns.seconds(each.span)) > 1
            for turn in self.turns.turns(each.span)
        }
        return sorted({segment for span in spans for segment in turn_segments(span)})

    def inputs(self, voices: Mapping[SampleRange, ModalityFeatures]) -> list[dict[int, WindowInputs]]:
        """Return voice and words of each person who is heard in each window, without readings of the words.

        `voices`: features of the segments that were read. In a window with one speaker all that is heard is theirs.
        """
        words = self._words()
        return [self._inputs(each, voices, words) for each in self.mix]

    def _words(self) -> dict[int, TranscriptIndex]:
        numbers = sorted(self.people.by_speaker.values())
        return {
            number: TranscriptIndex(segments_of(self.transcript, number), self.transcript.language)
            for number in numbers
        }

    def _inputs(
        self,
        mix: WindowInputs,
        voices: Mapping[SampleRange, ModalityFeatures],
        words: Mapping[int, TranscriptIndex],
    ) -> dict[int, WindowInputs]:
        seconds = {self.people.by_speaker[speaker]: each for speaker, each in self.turns.seconds(mix.span).items()}
        texts = {number: text for number, index in words.items() if (text := index.text_in(mix.span))}
        heard = sorted({*seconds, *texts})
        if len(heard) == 1:
            return {heard[0]: mix}
        return {
            number: replace(
                mix,
                voice=self._voice(number, seconds.get(number, 0.0) / mix.span.length, mix.span, voices),
                transcript=texts.get(number, ""),
                words=None,
            )
            for number in heard
        }

    def _voice(
        self, number: int, share: float, window: TimeSpan, voices: Mapping[SampleRange, ModalityFeatures]
    ) -> WindowVoice:
        """Return a person's voice in a window: the mean of the segments of their turns, by their length inside it."""
        speaker = self.people[number].speaker
        read, weights = [], []
        for turn in self.turns.turns(window):
            for first, last in turn_segments(turn.span) if turn.speaker == speaker else ():
                inside = min(last / SAMPLE_RATE, window.end) - max(first / SAMPLE_RATE, window.start)
                if inside > 0 and (first, last) in voices:
                    read.append(voices[first, last])
                    weights.append(inside)
        enough = share >= MIN_SPEECH_SHARE
        return WindowVoice(min(share, 1.0), mean_features(read, weights) if enough else None)


def turn_segments(turn: TimeSpan) -> list[SampleRange]:
    """Return the segments of a turn that the voice model reads; none for one that is too short."""
    if turn.length < MIN_TURN_SECONDS:
        return []
    return [sample_range(span) for span in split_segments([turn], turn)]


def whole_voice(mix: Sequence[WindowInputs], number: int) -> list[Spoken]:
    """Return the voice and words of each window if all that is heard belongs to one person."""
    return [{number: each} if each.voice.speech > 0 or each.transcript else {} for each in mix]


def voices_of_channels(channels: Sequence[Sequence[WindowInputs]], people: People) -> list[Spoken]:
    """Return the voice and words of each window if each channel has one speaker."""
    return [
        {
            people.by_speaker[channel]: each
            for channel, each in enumerate(window)
            if channel in people.by_speaker and (each.voice.speech > 0 or each.transcript)
        }
        for window in zip(*channels, strict=True)
    ]


@dataclass(frozen=True)
class HeardRecording:
    """Features and readings of a recording, before its people are known.

    `mix`: what is heard in each window, `channels`: the same of each channel that was read separately.
    """

    plan: AnalysisPlan
    features: Features
    mix: Sequence[WindowInputs]
    channels: Sequence[Sequence[WindowInputs]]
    transcript: Transcript


@dataclass(frozen=True)
class PeopleReading:
    """People of a recording in its timeline, its words with their people, and the features that were extracted."""

    timeline: Timeline
    transcript: Transcript
    notices: tuple[Notice, ...]
    voice: SegmentOutputs | None

    def kept(self, features: Features) -> Features:
        """Return features that are stored for a later analysis, with the voice of the turns."""
        if self.voice is None or not features.audio:
            return features
        return replace(features, audio=(replace(features.audio[0], voice=self.voice), *features.audio[1:]))


class PeopleReader:
    """Reads the people of recordings with the models of one bundle."""

    def __init__(self, extractor: Extractor, models: LoadedBundle) -> None:
        self._extractor, self._models = extractor, models

    def read(self, heard: HeardRecording, context: AnalysisContext) -> PeopleReading:
        """Return the people of a recording. Raises AffectError with a code and the stage."""
        features, options, timer = heard.features, heard.plan.options, context.timer
        with timer.stage("fuse"):
            tracked = TrackedFaces(features.faces)
            groups = face_people(
                tracked.tracks, features.faces, min_people=options.min_people or 1, max_people=options.max_people
            )
            turns = self._turns(heard, len(groups))
            people = people_of(features.faces, tracked, groups, turns)
        transcript, spoken, voice = self._spoken(heard, TurnIndex(turns or ()), people, context)
        with timer.stage("fuse"):
            timeline = build_people_timeline(
                features.faces, tracked, people, spoken, heard.mix, self._models.fusion, options
            )
        notices = (VOICES_UNKNOWN,) if turns is None else ()
        return PeopleReading(timeline, transcript, notices, voice)

    def _turns(self, heard: HeardRecording, faces: int) -> list[Turn] | None:
        sounds, audio = heard.plan.recording.sounds, heard.features.audio
        if heard.channels:
            return channel_turns([sound.speech for sound in sounds[1:]])
        if not sounds:
            return []
        return voice_turns(audio[0].pieces, sounds[0].speech, heard.plan.options, faces)

    def _spoken(
        self, heard: HeardRecording, turns: TurnIndex, people: People, context: AnalysisContext
    ) -> tuple[Transcript, Sequence[Spoken], SegmentOutputs | None]:
        """Return the words with their people, what each person says in each window, and all segments that were read if
        there are new ones."""
        numbers = people.by_speaker
        if not numbers:
            return heard.transcript, [{} for _ in heard.mix], None
        transcript = with_people(heard.transcript, turns, numbers)
        if heard.channels:
            return transcript, voices_of_channels(heard.channels, people), None
        if len(numbers) == 1:
            return transcript, whole_voice(heard.mix, next(iter(numbers.values()))), None
        windows = SpokenWindows(heard.mix, turns, people, transcript)
        voice = None
        if heard.plan.options.wants("audio") and self._models.audio is not None:
            features = self._extractor.extract_segments(heard.plan, heard.features, windows.segments(), context)
            voice = features.audio[0].voice
        spoken = windows.inputs(voice.by_segment() if voice else {})
        with context.timer.stage("text"):
            return transcript, self._with_words(spoken, transcript), voice

    def _with_words(self, spoken: Sequence[Spoken], transcript: Transcript) -> list[Spoken]:
        models = self._models.text_models
        if not models:
            return list(spoken)
        flat = [inputs for window in spoken for inputs in window.values()]
        read = iter(with_word_readings(flat, TranscriptIndex(transcript.segments, transcript.language), models))
        return [{number: next(read) for number in window} for window in spoken]
