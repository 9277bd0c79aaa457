"""Explanation of a result: images for the faces, stretches of speech and sentences that matter most in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.explanation.face_attribution import feature_maps, grad_cam
from ml.explanation.heatmaps import face_heatmap, feature_map_sheet, text_heatmap, voice_heatmap
from ml.explanation.text_attribution import attribute_words
from ml.explanation.voice_attribution import voice_relevance
from ml.inference.api import TimeSpan
from ml.inference.face.boxes import iou
from ml.inference.face.detector import DetectedFace, FaceDetector
from ml.inference.face.predictor import FacePredictor
from ml.inference.face.ready_crops import CropDetector
from ml.inference.pipeline.bundle import LoadedBundle
from ml.inference.speech.transcript_index import TranscriptIndex
from ml.inference.voice.predictor import VoicePredictor
from ml.inference.voice.segments import split_segments, waveform
from ml.inference.voice.vad import speech_segments
from ml.media import MediaInfo, MediaLimits
from ml.media.frame_at import frame_scale, frames_at
from ml.media.sandbox import CancelCheck, never_cancelled
from ml.media.sound import mixed_sound
from ml.rendering.encoding import RenderedArtifact, encode_png
from ml.rendering.thumbnails import FaceSighting, strongest_moments
from ml.reports.report import sanitize
from ml.results import FaceFrame, Moment, Options, Probabilities, Result, Transcript, Window
from ml.vocabulary import EMOTIONS, MODALITY_NAMES, Modality

MAX_FACES, MAX_VOICES, MAX_TEXTS = 8, 3, 6
"""Maximum number of faces, of windows with speech, and of windows with words that are explained."""
MOMENT_RADIUS_SECONDS = 2.0
"""Seconds around a moment in which its face is searched."""
SAME_FACE_MIN_IOU = 0.3
"""Minimum intersection over union of a face's box in the result and in the frame that is decoded again."""


@dataclass(frozen=True)
class Explainer:
    """Explains results of one file with the models that made them, if these are nets of this project.

    Each image is made when it is requested. `scratch`: folder for temporary files.
    """

    models: LoadedBundle
    path: Path
    info: MediaInfo
    options: Options
    scratch: Path
    limits: MediaLimits
    check: CancelCheck = never_cancelled

    def explain(self, result: Result) -> Iterator[RenderedArtifact]:
        """Yield images for the faces, then the voice, then the words. Raises what decoding and `check` raise."""
        yield from self.faces(choose_sightings(result))
        yield from self.voices(choose_windows(result, "audio", MAX_VOICES))
        yield from self.words(choose_windows(result, "text", MAX_TEXTS), _index(result.transcript))

    def faces(self, sightings: Sequence[FaceSighting]) -> Iterator[RenderedArtifact]:
        """Yield Grad-CAM and feature maps of each face, for the emotion that the net predicts."""
        predictor = self.models.face
        if not isinstance(predictor, FacePredictor) or not predictor.is_explainable or not sightings:
            return
        matches = list(self._detect_again(sightings, predictor.crop_size))
        if not matches:
            return
        maps = grad_cam(predictor, [face.crop for _, face in matches])
        for (sighting, face), heat, target in zip(matches, maps.maps_NHW, maps.targets_N, strict=True):
            self.check()
            time, emotion = sighting.frame.time, EMOTIONS[target]
            subject = f"Face {sighting.track} at {time:.2f} s"
            about = {"time": time, "track": sighting.track, "emotion": emotion}
            suffix = f"{sighting.track}-{time:.2f}"
            title = f"{subject}: regions pointing to “{emotion}”"
            image = encode_png(face_heatmap(face.crop, heat, title))
            yield RenderedArtifact(f"heatmap-face-{suffix}.png", "heatmap", title, image, about)
            title = f"{subject}: feature maps, fine to coarse"
            sheet = encode_png(feature_map_sheet(feature_maps(predictor, face.crop), title))
            yield RenderedArtifact(f"features-face-{suffix}.png", "features", title, sheet, about)

    def _detect_again(
        self, sightings: Sequence[FaceSighting], crop_size: int
    ) -> Iterator[tuple[FaceSighting, DetectedFace]]:
        """Decode the frames again and yield the faces with their crops. A face that is not found again is left out."""
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
        with (CropDetector if self.options.crops else FaceDetector)(crop_size) as detector:
            for frame in frames:
                faces = detector.detect(frame.image, self.options.max_faces)
                for sighting in sightings:
                    if abs(sighting.frame.time - frame.time) < 0.25 / self.options.frame_rate:
                        match = _same_face(sighting.frame, faces, scale)
                        if match is not None:
                            yield sighting, match

    def voices(self, windows: Sequence[Window]) -> Iterator[RenderedArtifact]:
        """Yield the relevance of the sounds in each window's speech, for the emotion that the net predicts."""
        predictor = self.models.audio
        if not isinstance(predictor, VoicePredictor) or not predictor.is_explainable:
            return
        for window in windows:
            for span, sound in self._speech(window):
                (relevance,) = voice_relevance(predictor, [sound])
                emotion = EMOTIONS[relevance.target]
                title = f"{_title('audio', span)}: sounds pointing to “{emotion}”"
                about = {"time": span.start, "end": span.end, "emotion": emotion}
                image = encode_png(voice_heatmap(relevance, title))
                yield RenderedArtifact(f"heatmap-voice-{span.start:.2f}.png", "voice", title, image, about)

    def _speech(self, window: Window) -> Iterator[tuple[TimeSpan, NDArray[np.float32]]]:
        """Yield the stretches of speech in a window, in media time, with their waveforms."""
        pcm = mixed_sound(
            self.path,
            self.info,
            self.options.requested_track,
            (window.start, window.end),
            limits=self.limits,
            scratch=self.scratch,
            check=self.check,
        )
        whole = TimeSpan(0.0, window.end - window.start)
        for segment in split_segments(speech_segments(pcm, self.check), whole):
            yield TimeSpan(window.start + segment.start, window.start + segment.end), waveform(pcm, segment)

    def words(self, windows: Sequence[Window], transcript: TranscriptIndex) -> Iterator[RenderedArtifact]:
        """Yield the weights of each window's words, given the words spoken before the window."""
        for window in windows:
            self.check()
            assert window.modalities.text is not None
            span = TimeSpan(window.start, window.end)
            language = transcript.language_in(span)
            predictor = self.models.text_models.for_language(language)
            if predictor is None:
                continue
            text = sanitize(window.modalities.text.transcript)
            attribution = attribute_words(predictor, text, before=transcript.text_before(span), language=language)
            title = f"{_title('text', span)}: for (orange) and against (blue) “{attribution.emotion}”"
            about = {
                "time": span.start,
                "end": span.end,
                "emotion": attribution.emotion,
                "words": [{"word": word.word, "weight": word.weight} for word in attribution.words],
            }
            image = encode_png(text_heatmap(attribution, title))
            yield RenderedArtifact(f"heatmap-words-{span.start:.2f}.png", "words", title, image, about)


def choose_sightings(result: Result) -> list[FaceSighting]:
    """Return the faces at the strongest moments, then each track's most expressive sighting; in order of time."""
    at_moments = (_sighting_at(result, moment) for moment in strongest_moments(result.moments, MAX_FACES))
    tracks = sorted(result.faces, key=lambda track: (-len(track.frames), track.track))[:MAX_FACES]
    expressive = (
        FaceSighting(track.track, max(track.frames, key=lambda frame: _expressiveness(frame.probabilities)))
        for track in tracks
        if track.frames
    )
    candidates = [sighting for sighting in (*at_moments, *expressive) if sighting is not None]
    unique = {(sighting.track, sighting.frame.time): sighting for sighting in candidates}
    return sorted(list(unique.values())[:MAX_FACES], key=lambda sighting: (sighting.frame.time, sighting.track))


def choose_windows(result: Result, modality: Modality, count: int) -> list[Window]:
    """Return the windows in which the modality is most expressive, no two overlapping; in order of time."""
    windows = [window for window in result.windows if getattr(window.modalities, modality)]
    ranked = sorted(windows, key=lambda window: -_expressiveness(getattr(window.modalities, modality).probabilities))
    chosen: list[Window] = []
    for window in ranked:
        if len(chosen) < count and all(window.end <= other.start or window.start >= other.end for other in chosen):
            chosen.append(window)
    return sorted(chosen, key=lambda window: window.start)


def _index(transcript: Transcript) -> TranscriptIndex:
    return TranscriptIndex(transcript.segments, transcript.language)


def _title(modality: Modality, span: TimeSpan) -> str:
    return f"{MODALITY_NAMES[modality]}, {span.start:.1f} – {span.end:.1f} s"


def _sighting_at(result: Result, moment: Moment) -> FaceSighting | None:
    """Return the sighting near a moment that shows its emotion best."""
    near = [
        FaceSighting(track.track, frame)
        for track in result.faces
        for frame in track.frames
        if abs(frame.time - moment.time) <= MOMENT_RADIUS_SECONDS
    ]
    return max(near, key=lambda sighting: sighting.frame.probabilities[moment.to], default=None)


def _expressiveness(probabilities: Probabilities) -> float:
    """Return the largest probability of an emotion other than neutral."""
    return max(probability for emotion, probability in probabilities.items() if emotion != "neutral")


def _same_face(frame: FaceFrame, faces: Sequence[DetectedFace], scale: float) -> DetectedFace | None:
    box = (frame.box.x / scale, frame.box.y / scale, frame.box.width / scale, frame.box.height / scale)
    best = max(faces, key=lambda face: iou(face.box, box), default=None)
    return best if best is not None and iou(best.box, box) >= SAME_FACE_MIN_IOU else None
