"""The pipeline: a file → the result document, stage by stage.

`read` gathers stateless evidence on the absolute time grid; the join (`ml.inference.timeline`) tracks, chooses, and
fuses. A chunk of a long file would give the same evidence as the whole.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.artifacts import ModelStore
from ml.inference.bundle import Licences, LoadedBundle, pick_device
from ml.inference.face import FaceDetector
from ml.inference.observer import Clock, Observer, Silent
from ml.inference.sight import Sight, Watcher
from ml.inference.sound import Voice, listen
from ml.inference.speech import speech_spans
from ml.inference.timeline import WindowParts, read_image, timeline
from ml.inference.transcribe import Transcription, unavailable
from ml.inference.windows import Span, windows_over
from ml.inference.words import SpokenText
from ml.media import Decoder, MediaInfo, MediaLimits, load_image, probe
from ml.reports.captions import parse_transcript
from ml.results import Media, Notice, Options, Result, Transcript

NOTHING_SAID = Transcript(source="none", language=None, text="")

DAMAGED = Notice(code="media_damaged", message="Part of the media could not be decoded; the result covers the rest.")
NO_EVIDENCE = Notice(
    code="no_evidence", message="The media holds no face, voice or words that the models of the bundle can read."
)


@dataclass(frozen=True)
class Decoded:
    """What one pass over the media gave. `pcm`: int16 [samples], empty where there is no sound."""

    duration: float
    sight: Sight
    pcm: NDArray[np.int16]
    damaged: bool


@dataclass(frozen=True)
class Heard:
    """Voices and words of one sound, by window."""

    voices: tuple[Voice, ...]
    transcript: Transcript
    notices: tuple[Notice, ...]


class Analyser:
    """Holds a loaded bundle and reads one file after the other; no file leaves a trace in it."""

    def __init__(self, models: LoadedBundle, limits: MediaLimits | None = None) -> None:
        self.models = models
        self._limits = limits or MediaLimits()

    @classmethod
    def load(
        cls,
        store_root: Path,
        bundle: str = "default",
        *,
        device: str = "auto",
        licences: Licences = "any",
        whisper: str | None = None,
        threads: int = 0,
        limits: MediaLimits | None = None,
    ) -> "Analyser":
        """Raises ArtifactError when a model of the bundle is missing, damaged or refused."""
        models = LoadedBundle.load(
            ModelStore(store_root),
            bundle,
            device=pick_device(device),
            licences=licences,
            whisper=whisper,
            threads=threads,
        )
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
        with self._decoder(path, info, options, clock, scratch) as decoder:
            with clock.stage("decode"):
                decoded = self._decode(decoder, options, clock, info.duration)
            return self._join(decoded, info, options, caller, notices, clock)

    def _decoder(self, path: Path, info: MediaInfo, options: Options, clock: Clock, scratch: Path) -> Decoder:
        return Decoder(
            path,
            info,
            frame_rate=options.frame_rate if self.models.face and options.wants("face") else None,
            want_audio=options.wants("audio") or options.wants("text"),
            limits=self._limits,
            scratch=scratch,
            check=clock.check,
        )

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
            speech = speech_spans(decoded.pcm, clock.check) if len(decoded.pcm) else []
        heard = self._hear(decoded, speech, windows, options, caller, clock)
        spoken = SpokenText(heard.transcript.segments)
        parts = [
            WindowParts(window, voice, spoken.within(window))
            for window, voice in zip(windows, heard.voices, strict=True)
        ]
        with clock.stage("text"):
            parts = self._understand(parts, heard.transcript, options)
        with clock.stage("fuse"):
            read = timeline(decoded.sight, parts, self.models.fusion, options)
        notices += heard.notices + (DAMAGED,) * decoded.damaged + (NO_EVIDENCE,) * (read.overall.emotion is None)
        return Result(
            media=_media(info, decoded.duration),
            labels=read.labels,
            overall=read.overall,
            windows=read.windows,
            faces=read.faces,
            transcript=heard.transcript if options.words else _without_words(heard.transcript),
            models=self.models.versions,
            moments=read.moments,
            warnings=notices,
            timings=clock.timings,
        )

    def _hear(
        self,
        decoded: Decoded,
        speech: Sequence[Span],
        windows: Sequence[Span],
        options: Options,
        caller: str | None,
        clock: Clock,
    ) -> Heard:
        with clock.stage("audio"):
            predictor = self.models.audio if options.wants("audio") else None
            voices = listen(predictor, decoded.pcm, speech, windows, clock.within, clock.check)
        with clock.stage("transcribe"):
            transcript, notices = self._transcribe(decoded, speech, options, caller, clock)
        return Heard(tuple(voices), transcript, notices)

    def _transcribe(
        self, decoded: Decoded, speech: Sequence[Span], options: Options, caller: str | None, clock: Clock
    ) -> tuple[Transcript, tuple[Notice, ...]]:
        if caller is not None:
            return parse_transcript(caller, decoded.duration), ()
        if not speech or not options.wants("text"):
            return NOTHING_SAID, ()
        if self.models.whisper is None:
            return NOTHING_SAID, (unavailable(self.models.bundle.whisper or "none"),)
        said = self.models.whisper.transcribe(decoded.pcm, speech, options.language, clock.check, clock.within)
        return _transcript(said), said.notices

    def _understand(self, parts: list[WindowParts], transcript: Transcript, options: Options) -> list[WindowParts]:
        """The reading of each window's words, where the text model knows their language."""
        text = self.models.text
        if text is None or not options.wants("text") or transcript.language not in (None, *text.languages):
            return parts
        spoken = [index for index, part in enumerate(parts) if part.transcript]
        readings = dict(zip(spoken, text.read([parts[index].transcript for index in spoken]), strict=True))
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
    """Wishes that this media, or this version, cannot meet."""
    found = []
    if options.modalities is not None:
        sounds = {"audio", "text"} & set(options.modalities)
        if sounds and not info.has_audio:
            found.append(Notice(code="modality_unavailable", message="The media has no sound."))
        if "face" in options.modalities and info.kind == "audio":
            found.append(Notice(code="modality_unavailable", message="The media has no picture."))
    for wish in ("heatmaps", "annotate", "thumbnails"):
        if getattr(options, wish):
            found.append(Notice(code="artifact_unavailable", message=f"This version makes no {wish} yet."))
    if options.channels == "separate":
        found.append(Notice(code="channels_unavailable", message="This version reads the mix of the channels only."))
    return found
