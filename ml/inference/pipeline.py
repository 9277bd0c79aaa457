"""The pipeline: a file → the result document, stage by stage.

`read` gathers stateless evidence on the absolute time grid; the join (`ml.inference.timeline`) tracks, chooses, and
fuses. A chunk of a long file would give the same evidence as the whole.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.artifacts import Bundle, ModelStore
from ml.errors import MediaInvalid
from ml.inference.bundle import Licences, LoadedBundle, pick_device, published
from ml.inference.face import FaceDetector
from ml.inference.observer import Clock, Observer, Silent
from ml.inference.sight import Sight, Watcher
from ml.inference.sound import Voice, listen
from ml.inference.speech import speech_spans
from ml.inference.timeline import Timeline, WindowParts, read_image, timeline
from ml.inference.transcribe import Transcription, unavailable
from ml.inference.windows import Span, windows_over
from ml.inference.words import SpokenText
from ml.media import Decoder, MediaInfo, MediaLimits, load_image, probe
from ml.media.command import MOST_CHANNELS
from ml.reports.captions import parse_transcript
from ml.results import Channel, Media, Notice, Options, Result, Transcript

NOTHING_SAID = Transcript(source="none", language=None, text="")

DAMAGED = Notice(code="media_damaged", message="Part of the media could not be decoded; the result covers the rest.")
NO_EVIDENCE = Notice(
    code="no_evidence", message="The media holds no face, voice or words that the models of the bundle can read."
)


INSEPARABLE = Notice(
    code="channels_unavailable",
    message="The media has not several channels that can be read separately, or no reading of sound was asked for.",
)
WORDLESS_CHANNELS = Notice(
    code="channels_without_words", message="The caller's transcript does not say which channel speaks."
)


@dataclass(frozen=True)
class Decoded:
    """What decoding gave. `pcm`: int16 [samples], empty where there is no sound; `channels`: the same for each channel
    that is read separately, mapped from disk."""

    duration: float
    sight: Sight
    pcm: NDArray[np.int16]
    damaged: bool
    channels: tuple[NDArray[np.int16], ...] = ()


@dataclass(frozen=True)
class Sound:
    """The mix of the media, or one channel of it, and where its speech lies. `pcm`: int16 [samples]."""

    pcm: NDArray[np.int16]
    speech: Sequence[Span]


@dataclass(frozen=True)
class Said:
    """The words of a sound."""

    transcript: Transcript = NOTHING_SAID
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class Heard:
    """Voices and words of one sound, by window."""

    parts: list[WindowParts]
    said: Said


class Analyser:
    """Holds a loaded bundle and reads one file after the other; no file leaves a trace in it."""

    def __init__(self, models: LoadedBundle, limits: MediaLimits | None = None) -> None:
        self.models = models
        self._limits = limits or MediaLimits()

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
    ) -> "Analyser":
        """A bundle, or the one that is published under a name; `whisper` overrides that of a named one. Raises
        ArtifactError when a model of it is missing, damaged or refused."""
        store = ModelStore(store_root)
        if isinstance(bundle, str):
            bundle = published(store, bundle, whisper)
        models = LoadedBundle.load(store, bundle, device=pick_device(device), licences=licences, threads=threads)
        return cls(models, limits)

    def analyse(
        self,
        path: Path,
        options: Options | None = None,
        *,
        transcript: str | None = None,
        observer: Observer | None = None,
        scratch: Path | None = None,
    ) -> Result:
        """Reads the file at `path`. `transcript` (text, SRT or WebVTT) replaces recognition. Files are made and removed
        under `scratch` only. Raises AffectError with a code and the stage."""
        options = options or Options()
        clock = Clock(observer or Silent())
        with clock.stage("probe"):
            info = probe(path, self._limits, clock.check)
        notices = tuple(_unmet(options, info))
        if info.kind == "image":
            return self._image(path, info, options, notices, clock)
        with tempfile.TemporaryDirectory(prefix="affect-", dir=scratch) as folder:
            return self._recording(path, info, options, transcript, notices, clock, Path(folder))

    def _image(
        self, path: Path, info: MediaInfo, options: Options, notices: tuple[Notice, ...], clock: Clock
    ) -> Result:
        with clock.stage("decode"):
            picture = load_image(path, info, self._limits, check=clock.check)
        with clock.stage("faces"):
            sight = Sight()
            if self.models.face and options.wants("face"):
                with FaceDetector(self.models.face.crop_size) as detector:
                    watcher = Watcher(detector, self.models.face, options.max_faces, options.landmarks)
                    watcher.watch(0.0, picture.image, picture.scale)
                    sight = watcher.finish()
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

    def _recording(
        self,
        path: Path,
        info: MediaInfo,
        options: Options,
        caller: str | None,
        notices: tuple[Notice, ...],
        clock: Clock,
        scratch: Path,
    ) -> Result:
        hears = options.wants("audio") or options.wants("text")
        sees = self.models.face is not None and options.wants("face")
        decoder = partial(Decoder, path, info, limits=self._limits, scratch=scratch, check=clock.check)
        with ExitStack() as stack:
            with clock.stage("decode"):
                mixed = stack.enter_context(decoder(frame_rate=options.frame_rate if sees else None, want_audio=hears))
                decoded = self._decode(mixed, options, clock, info.duration)
                if hears and options.channels == "separate" and 2 <= info.audio_channels <= self._most_channels:
                    # A pass of its own, over the sound alone: the mix is then the very same as without this wish.
                    apart = stack.enter_context(decoder(frame_rate=None, want_audio=True, channels="separate"))
                    decoded = replace(decoded, channels=_columns(apart))
            return self._join(decoded, info, options, caller, notices, clock)

    @property
    def _most_channels(self) -> int:
        return min(self._limits.max_channels, MOST_CHANNELS)

    def _decode(self, decoder: Decoder, options: Options, clock: Clock, expected: float | None) -> Decoded:
        sight = Sight()
        if self.models.face and options.wants("face"):
            with FaceDetector(self.models.face.crop_size) as detector:
                watcher = Watcher(detector, self.models.face, options.max_faces, options.landmarks)
                for frame in decoder.frames():
                    watcher.watch(frame.time, frame.image, decoder.scale)
                    clock.within(frame.time / expected if expected else 0.0)
                sight = watcher.finish()
        pcm = decoder.pcm()
        return Decoded(decoder.duration or 0.0, sight, pcm, decoder.damaged)

    def _join(
        self,
        decoded: Decoded,
        info: MediaInfo,
        options: Options,
        caller: str | None,
        notices: tuple[Notice, ...],
        clock: Clock,
    ) -> Result:
        with clock.stage("segment"):
            windows = windows_over(decoded.duration, options.window_seconds, options.hop_seconds)
            sounds = [
                Sound(pcm, speech_spans(pcm, clock.check) if len(pcm) else ())
                for pcm in (decoded.pcm, *decoded.channels)
            ]
        mix, *channels = self._hear(sounds, windows, options, caller, clock)
        with clock.stage("fuse"):
            read = timeline(decoded.sight, mix.parts, self.models.fusion, options)
            apart = [timeline(Sight(), channel.parts, self.models.fusion, options) for channel in channels]
        notices += _notices(mix, channels) + _inseparable(options, channels)
        notices += (DAMAGED,) * decoded.damaged + (NO_EVIDENCE,) * (read.overall.emotion is None)
        return Result(
            media=_media(info, decoded.duration),
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

    def _hear(
        self,
        sounds: Sequence[Sound],
        windows: Sequence[Span],
        options: Options,
        caller: str | None,
        clock: Clock,
    ) -> list[Heard]:
        """Voices and words of each sound. The caller's words are those of the first, the mix."""
        with clock.stage("audio"):
            predictor = self.models.audio if options.wants("audio") else None
            voices = [
                listen(predictor, sound.pcm, sound.speech, windows, progress, clock.check)
                for sound, progress in zip(sounds, _shares(clock, len(sounds)), strict=True)
            ]
        with clock.stage("transcribe"):
            if caller is None:
                said = [
                    self._transcribe(sound, options, clock.check, progress)
                    for sound, progress in zip(sounds, _shares(clock, len(sounds)), strict=True)
                ]
            else:
                said = _told(caller, windows[-1].end, len(sounds) - 1)
        with clock.stage("text"):
            return [
                Heard(self._understand(windows, voice, words.transcript, options), words)
                for voice, words in zip(voices, said, strict=True)
            ]

    def _transcribe(
        self, sound: Sound, options: Options, check: Callable[[], None], progress: Callable[[float], None]
    ) -> Said:
        if not sound.speech or not options.wants("text"):
            return Said()
        if self.models.whisper is None:
            return Said(notices=(unavailable(self.models.bundle.whisper or "none"),))
        found = self.models.whisper.transcribe(sound.pcm, sound.speech, options.language, check, progress)
        return Said(_transcript(found), found.notices)

    def _understand(
        self, windows: Sequence[Span], voices: Sequence[Voice], transcript: Transcript, options: Options
    ) -> list[WindowParts]:
        """The windows with their voices and words; these read where the text model knows their language."""
        spoken = SpokenText(transcript.segments)
        parts = [
            WindowParts(window, voice, spoken.within(window)) for window, voice in zip(windows, voices, strict=True)
        ]
        text = self.models.text
        if text is None or not options.wants("text") or transcript.language not in (None, *text.languages):
            return parts
        told = [index for index, part in enumerate(parts) if part.transcript]
        readings = dict(zip(told, text.read([parts[index].transcript for index in told]), strict=True))
        return [replace(part, words=readings.get(index)) for index, part in enumerate(parts)]


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


def _columns(decoder: Decoder) -> tuple[NDArray[np.int16], ...]:
    """The channels; none where the sound alone is too short or too damaged to be read."""
    try:
        return tuple(decoder.pcm().T)
    except MediaInvalid:
        return ()


def _shares(clock: Clock, count: int) -> Iterator[Callable[[float], None]]:
    """For each of several equal parts of a stage, what is told of its progress."""

    def share(index: int) -> Callable[[float], None]:
        return lambda fraction: clock.within((index + fraction) / count)

    return map(share, range(count))


def _told(caller: str, duration: float, channels: int) -> list[Said]:
    """The caller's words, which are those of the mix: of no channel is known what is said there."""
    notices = (WORDLESS_CHANNELS,) if channels else ()
    return [Said(parse_transcript(caller, duration), notices), *[Said()] * channels]


def _notices(mix: Heard, channels: Sequence[Heard]) -> tuple[Notice, ...]:
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
