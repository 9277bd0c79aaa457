"""Why a result says what it says: pictures for the faces, sounds and words that matter most in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.explanation.face_attribution import feature_maps, grad_cam
from ml.explanation.heatmaps import face_heatmap, feature_sheet, tone_heatmap, word_picture
from ml.explanation.text_attribution import weigh_words
from ml.explanation.voice_attribution import tone_relevance
from ml.inference.api import TimeSpan
from ml.inference.face.backends.base import iou
from ml.inference.face.predictor import DetectedFace, FaceDetector, FacePredictor
from ml.inference.pipeline.bundle import LoadedBundle
from ml.inference.speech.transcript_index import TranscriptIndex
from ml.inference.voice.predictor import VoicePredictor
from ml.inference.voice.segments import split_segments, waveform
from ml.inference.voice.vad import speech_segments
from ml.media import Decoder, DecodeRequest, MediaInfo, MediaLimits
from ml.media.frame_at import frame_scale, frames_at
from ml.media.sandbox import CancelCheck, never_cancelled
from ml.rendering.encoding import Artifact, png
from ml.rendering.thumbnails import Sighting, strongest_moments
from ml.reports.report import plain
from ml.results import FaceFrame, Moment, Options, Probabilities, Result, Window
from ml.vocabulary import EMOTIONS, Modality

MOST_FACES, MOST_VOICES, MOST_TEXTS = 8, 3, 6
NEAR_MOMENT = 2.0
"""Seconds around a moment in which its face is looked for."""
SAME_FACE = 0.3
"""Least overlap (intersection over union) of a face found again with the box that it had."""


@dataclass(frozen=True)
class Explainer:
    """Explains results of one file with the models that read it, as far as these are nets of ours. Everything is made
    when it is asked for, one picture at a time. `scratch`: a folder for what is unpacked."""

    models: LoadedBundle
    path: Path
    info: MediaInfo
    options: Options
    scratch: Path
    limits: MediaLimits
    check: CancelCheck = never_cancelled

    def explain(self, result: Result) -> Iterator[Artifact]:
        """Pictures of the faces, then of the voices, then of the words. Raises what decoding and `check` raise."""
        yield from self.faces(chosen_sightings(result))
        yield from self.voices(chosen_windows(result, "audio", MOST_VOICES))
        yield from self.words(chosen_windows(result, "text", MOST_TEXTS), TranscriptIndex(result.transcript.segments))

    def faces(self, sightings: Sequence[Sighting]) -> Iterator[Artifact]:
        """Grad-CAM and feature maps of each, for the emotion that the net reads."""
        predictor = self.models.face
        if not isinstance(predictor, FacePredictor) or not predictor.is_explainable or not sightings:
            return
        found = list(self._found_again(sightings, predictor.crop_size))
        if not found:
            return
        maps = grad_cam(predictor, [face.crop for _, face in found])
        for (sighting, face), heat, target in zip(found, maps.maps_NHW, maps.targets_N, strict=True):
            self.check()
            frame, emotion = sighting.frame, EMOTIONS[target]
            what = f"Face {sighting.track} at {frame.time:.2f} s"
            about = {"time": frame.time, "track": sighting.track, "emotion": emotion}
            place = f"{sighting.track}-{frame.time:.2f}"
            title = f"{what}: where the net sees “{emotion}”"
            yield Artifact(
                f"heatmap-face-{place}.png", "heatmap", title, png(face_heatmap(face.crop, heat, title)), about
            )
            title = f"{what}: feature maps, fine to coarse"
            sheet = feature_sheet(feature_maps(predictor, face.crop), title)
            yield Artifact(f"features-face-{place}.png", "features", title, png(sheet), about)

    def _found_again(self, sightings: Sequence[Sighting], size: int) -> Iterator[tuple[Sighting, DetectedFace]]:
        """The faces with their crops, in the frames decoded anew; one that is not found there is left out."""
        times = sorted({sighting.frame.time for sighting in sightings})
        frames = frames_at(
            self.path,
            self.info,
            times,
            frame_rate=self.options.frame_rate,
            scratch=self.scratch,
            limits=self.limits,
            check=self.check,
        )
        scale = frame_scale(self.info)
        with FaceDetector(size) as detector:
            for frame in frames:
                faces = detector.detect(frame.image, self.options.max_faces)
                for sighting in sightings:
                    if abs(sighting.frame.time - frame.time) < 0.25 / self.options.frame_rate:
                        match = _same_face(sighting.frame, faces, scale)
                        if match is not None:
                            yield sighting, match

    def voices(self, windows: Sequence[Window]) -> Iterator[Artifact]:
        """What of the sound speaks for the reading of each window."""
        predictor = self.models.audio
        if not isinstance(predictor, VoicePredictor) or not predictor.is_explainable:
            return
        for window in windows:
            for span, sound in self._speech(window):
                (found,) = tone_relevance(predictor, [sound])
                emotion = EMOTIONS[found.target]
                title = f"Voice, {span.start:.1f} – {span.end:.1f} s: what speaks for “{emotion}”"
                about = {"time": span.start, "end": span.end, "emotion": emotion}
                picture = png(tone_heatmap(found, title))
                yield Artifact(f"heatmap-voice-{span.start:.2f}.png", "voice", title, picture, about)

    def _speech(self, window: Window) -> Iterator[tuple[TimeSpan, np.ndarray]]:
        """The stretches of speech of a window, in the media's time, with their sound."""
        with Decoder(
            self.path,
            self.info,
            DecodeRequest(None, audio=True, start=window.start, end=window.end),
            limits=self.limits,
            scratch=self.scratch,
            check=self.check,
        ) as decoder:
            pcm = decoder.pcm()
            whole = TimeSpan(0.0, window.end - window.start)
            for piece in split_segments(speech_segments(pcm, self.check), whole):
                yield TimeSpan(window.start + piece.start, window.start + piece.end), waveform(pcm, piece)

    def words(self, windows: Sequence[Window], spoken: TranscriptIndex) -> Iterator[Artifact]:
        """How much each word of a window speaks for its reading, after what was spoken before it."""
        predictor = self.models.text
        if predictor is None:
            return
        for window in windows:
            self.check()
            assert window.modalities.text is not None
            before = spoken.text_before(TimeSpan(window.start, window.end))
            found = weigh_words(predictor, plain(window.modalities.text.transcript), before=before)
            title = f"Words, {window.start:.1f} – {window.end:.1f} s: for (orange) or against (blue) “{found.emotion}”"
            about = {
                "time": window.start,
                "end": window.end,
                "emotion": found.emotion,
                "words": [{"word": word.word, "weight": word.weight} for word in found.words],
            }
            yield Artifact(
                f"heatmap-words-{window.start:.2f}.png", "words", title, png(word_picture(found, title)), about
            )


def chosen_sightings(result: Result) -> list[Sighting]:
    """The faces at the strongest moments, then each track's most expressive sighting; in order of time."""
    at_moments = (_at_moment(result, moment) for moment in strongest_moments(result.moments, MOST_FACES))
    tracks = sorted(result.faces, key=lambda track: (-len(track.frames), track.track))[:MOST_FACES]
    expressive = (Sighting(track.track, max(track.frames, key=_expression)) for track in tracks if track.frames)
    wanted = [sighting for sighting in (*at_moments, *expressive) if sighting is not None]
    once = {(sighting.track, sighting.frame.time): sighting for sighting in wanted}
    return sorted(list(once.values())[:MOST_FACES], key=lambda sighting: (sighting.frame.time, sighting.track))


def chosen_windows(result: Result, modality: Modality, most: int) -> list[Window]:
    """The windows in which the modality is surest of an emotion, no two overlapping; in order of time."""
    told = [window for window in result.windows if getattr(window.modalities, modality)]
    ranked = sorted(told, key=lambda window: -_sureness(getattr(window.modalities, modality).probabilities))
    chosen: list[Window] = []
    for window in ranked:
        if len(chosen) < most and all(window.end <= other.start or window.start >= other.end for other in chosen):
            chosen.append(window)
    return sorted(chosen, key=lambda window: window.start)


def _at_moment(result: Result, moment: Moment) -> Sighting | None:
    near = [
        Sighting(track.track, frame)
        for track in result.faces
        for frame in track.frames
        if abs(frame.time - moment.time) <= NEAR_MOMENT
    ]
    return max(near, key=lambda sighting: sighting.frame.probabilities[moment.to], default=None)


def _expression(frame: FaceFrame) -> float:
    return _sureness(frame.probabilities)


def _sureness(probabilities: Probabilities) -> float:
    """The largest probability of an emotion other than neutral."""
    return max(share for emotion, share in probabilities.items() if emotion != "neutral")


def _same_face(frame: FaceFrame, faces: Sequence[DetectedFace], scale: float) -> DetectedFace | None:
    box = (frame.box.x / scale, frame.box.y / scale, frame.box.width / scale, frame.box.height / scale)
    best = max(faces, key=lambda face: iou(face.box, box), default=None)
    return best if best is not None and iou(best.box, box) >= SAME_FACE else None
