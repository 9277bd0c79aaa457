"""Two people side by side: Ann, who is larger and happy, and Bo, who is sad; a narrator is only heard."""

import numpy as np
import torch

from ml.inference.api import FloatArray, ModalityFeatures, TimeSpan
from ml.inference.face.observations import FaceObservations
from ml.inference.fusion.people_timeline import Spoken, build_people_timeline
from ml.inference.fusion.predictor import FusionPredictor
from ml.inference.fusion.timeline import Timeline, TrackedFaces, WindowInputs
from ml.inference.people.diarization import Turn
from ml.inference.people.matching import VoiceMatch
from ml.inference.people.people import People, find_people, seen_seconds
from ml.inference.voice.segments import WindowVoice
from ml.networks.fusion import Fusion, FusionConfig
from ml.results import Options
from ml.vocabulary import EMOTIONS

FUSION = FusionPredictor(Fusion(FusionConfig(gated=False)), 1.0, torch.device("cpu"))
BO, ANN, NARRATOR = 1, 2, 3
"""Numbers where Bo speaks: both are seen alike."""
FRAMES = 32
SPANS = [TimeSpan(2.0 * k, min(2.0 * k + 4, 8.0)) for k in range(3)]


def logs(emotion: str) -> FloatArray:
    probabilities = np.full(len(EMOTIONS), 0.02, np.float32)
    probabilities[EMOTIONS.index(emotion)] = 0.88
    return np.log(probabilities / probabilities.sum())


def faces() -> FaceObservations:
    """Return eight seconds of both, four frames a second."""
    boxes = [[0.0, 0.0, 120.0, 120.0], [300.0, 0.0, 100.0, 100.0]]
    return FaceObservations(
        times_F=np.arange(FRAMES) / 4,
        starts_G=np.arange(FRAMES + 1) * 2,
        boxes_N4=np.array(boxes * FRAMES),
        scores_N=np.ones(2 * FRAMES, np.float32),
        ranks_N=np.array([0, 1] * FRAMES, np.uint8),
        embeddings_NE=np.zeros((2 * FRAMES, 1), np.float32),
        log_probabilities_NC=np.stack([logs("happy"), logs("sad")] * FRAMES),
    )


def voice(span: TimeSpan, emotion: str, speech: float = 0.9, transcript: str = "") -> WindowInputs:
    features = ModalityFeatures(np.zeros(1, np.float32), logs(emotion))
    return WindowInputs(span, WindowVoice(speech, features), transcript)


def silent(span: TimeSpan) -> WindowInputs:
    return WindowInputs(span, WindowVoice(0.0, None), "")


def people(turns: list[Turn] | None, matches: list[VoiceMatch]) -> People:
    tracked = TrackedFaces(faces())
    return find_people([(1,), (2,)], seen_seconds(tracked.tracks, faces().times_F.tolist()), turns, matches)


def timeline(found: People, spoken: list[Spoken], mix: list[WindowInputs]) -> Timeline:
    return build_people_timeline(faces(), TrackedFaces(faces()), found, spoken, mix, FUSION, Options(prior="uniform"))


TALK = people(
    [Turn(TimeSpan(0, 4), 0), Turn(TimeSpan(4, 8), 1)], [VoiceMatch(1, 0, "sure"), VoiceMatch(None, 1, "none")]
)


def test_a_window_combines_the_face_and_voice_of_who_speaks() -> None:
    mix = [voice(span, "sad") for span in SPANS]
    spoken: list[Spoken] = [{BO: mix[0]}, {BO: voice(SPANS[1], "sad", 0.5), NARRATOR: mix[1]}, {}]
    found = timeline(TALK, spoken, [*mix[:2], silent(SPANS[2])])
    assert [window.person for window in found.windows] == [BO, NARRATOR, ANN]
    assert [window.emotion for window in found.windows] == ["sad", "sad", "happy"]
    assert found.windows[1].missing == ("face", "text")
    bo, ann, narrator = found.people
    assert [window.missing for window in ann.windows] == [("audio", "text")] * 3
    assert [window.missing for window in bo.windows] == [("text",), ("text",), ("audio", "text")]
    assert [(window.start, window.end) for window in narrator.windows] == [(2.0, 6.0)]
    assert (ann.overall.emotion, bo.overall.emotion) == ("happy", "sad")
    assert (ann.match, bo.match, narrator.match) == ("none", "sure", "none")
    assert [track.person for track in found.faces] == [ANN, BO]


def test_too_little_speech_leaves_the_window_to_the_main_face() -> None:
    spoken: list[Spoken] = [{BO: voice(span, "sad", 0.05)} for span in SPANS]
    found = timeline(TALK, spoken, [silent(span) for span in SPANS])
    assert {window.person for window in found.windows} == {ANN}


def test_speech_without_a_speaker_is_combined_with_the_main_face() -> None:
    mix = [voice(span, "angry") for span in SPANS]
    found = timeline(people(None, []), [{} for _ in SPANS], mix)
    assert [window.person for window in found.windows] == [1] * 3
    assert found.people[0].tracks == (1,)
    assert all(window.modalities.face and window.modalities.audio for window in found.windows)
    assert all(window.missing == ("audio", "text") for person in found.people for window in person.windows)


def test_a_recording_without_people_has_windows_without_a_person() -> None:
    no_people, empty = People(), FaceObservations.empty()
    tracked = TrackedFaces(empty)
    mix = [voice(SPANS[0], "angry"), silent(SPANS[1])]
    found = build_people_timeline(empty, tracked, no_people, [{}, {}], mix, FUSION, Options())
    assert [window.person for window in found.windows] == [None, None]
    assert [window.emotion for window in found.windows] == ["angry", None]
    assert found.people == ()


def test_moments_are_those_of_people_who_stand_for_all_somewhere() -> None:
    spoken: list[Spoken] = [{BO: voice(SPANS[0], "sad")}, {BO: voice(SPANS[1], "angry")}, {BO: voice(SPANS[2], "sad")}]
    found = timeline(TALK, spoken, [silent(span) for span in SPANS])
    assert found.moments and {moment.person for moment in found.moments} == {BO}
