"""Faults of earlier systems of this kind: real face detection, voice detection and Whisper on generated media."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ml.inference.pipeline.analyzer import Analyzer
from ml.results import Options, Result, Window
from tests.face_files import make_scenes, near_and_far_people, nobody, portrait, two_people
from tests.speech_files import Sound, make_sound, say, silence
from tests.toy_models import make_analyzer

TRAIN = "The train to the coast was late again this morning."
MUSEUM = "Nobody told us that the museum is closed on Mondays."


def talk(seconds: float) -> Sound:
    """Return speech: alternating sentences."""
    sound = np.concatenate([say(TRAIN), silence(0.5), say(MUSEUM), silence(0.5)] * 4)
    return sound[: round(seconds * 16_000)]


def missing(windows: tuple[Window, ...]) -> list[tuple[str, ...]]:
    return [window.missing for window in windows]


def document(result: Result) -> dict[str, object]:
    return result.model_dump(exclude={"timings"})


def test_analyze_reads_the_last_second_of_5_9(analyzer: Analyzer, tmp_path: Path) -> None:
    sound = np.concatenate([silence(4.9), say("Mondays.")[:16_000]])
    path = make_scenes(tmp_path / "a.mp4", [(nobody(), 4.9), (portrait(), 1.0)], sound)
    result = analyzer.analyze(path)
    assert result.media.duration == pytest.approx(5.9, abs=0.1)
    assert [window.start for window in result.windows] == [0, 2]
    assert result.windows[-1].end == result.media.duration
    (track,) = result.faces
    assert [frame.time for frame in track.frames] == [5.0, 5.25, 5.5, 5.75]
    assert missing(result.windows)[0] == ("face", "audio", "text")
    assert {"face", "audio"}.isdisjoint(result.windows[-1].missing)


def test_analyze_window_without_a_face_keeps_its_voice_and_words(analyzer: Analyzer, tmp_path: Path) -> None:
    path = make_scenes(tmp_path / "a.mp4", [(portrait(), 4.0), (nobody(), 6.0)], talk(10))
    result = analyzer.analyze(path, Options(people=False))
    assert missing(result.windows) == [(), (), ("face",), ("face",)]
    for window in result.windows:
        assert window.modalities.audio is not None and window.modalities.audio.speech > 0.5
        assert window.modalities.text is not None and window.modalities.text.transcript
        assert window.emotion is not None
    assert [window.modalities.face.coverage for window in result.windows[:2] if window.modalities.face] == [1, 0.5]


def test_analyze_window_without_a_voice_keeps_its_face(analyzer: Analyzer, tmp_path: Path) -> None:
    path = make_scenes(tmp_path / "a.mkv", [(portrait(), 6.0)], np.concatenate([silence(4.2), say(MUSEUM)]))
    first, *_, last = analyzer.analyze(path).windows
    assert first.missing == ("audio", "text") and first.modalities.face is not None and first.emotion is not None
    assert last.missing == ()


def test_analyze_two_faces_gives_two_tracks(analyzer: Analyzer, tmp_path: Path) -> None:
    path = make_scenes(tmp_path / "a.mp4", [(two_people(), 3.0)])
    result = analyzer.analyze(path)
    assert [face.track for face in result.faces] == [1, 2]
    assert all(len(face.frames) == 12 for face in result.faces)
    left, right = sorted((face.frames[0].box for face in result.faces), key=lambda box: box.x)
    assert left.x == pytest.approx(85, abs=20) and right.x == pytest.approx(512 - 85 - right.width, abs=20)


def test_analyze_max_faces_keeps_the_largest(analyzer: Analyzer, tmp_path: Path) -> None:
    path = make_scenes(tmp_path / "a.mp4", [(near_and_far_people(), 3.0)])
    assert len(analyzer.analyze(path).faces) == 2
    (alone,) = analyzer.analyze(path, Options(max_faces=1)).faces
    assert len(alone.frames) == 12
    assert all(frame.box.x == pytest.approx(85, abs=20) for frame in alone.frames)


def test_analyze_face_that_leaves_and_another_that_comes_gives_two_tracks(analyzer: Analyzer, tmp_path: Path) -> None:
    scenes = [(portrait(), 1.0), (nobody(), 3.0), (portrait()[:, ::-1], 1.0)]
    result = analyzer.analyze(make_scenes(tmp_path / "a.mp4", scenes))
    assert [[frame.time for frame in face.frames] for face in result.faces] == [
        [0.0, 0.25, 0.5, 0.75],
        [4.0, 4.25, 4.5, 4.75],
    ]


def silent_track(path: Path) -> Path:
    return make_scenes(path, [(portrait(), 3.0)], silence(3))


def no_sound(path: Path) -> Path:
    return make_scenes(path, [(portrait(), 3.0)])


def sound_only(path: Path) -> Path:
    return make_sound(path, say(MUSEUM), 44_100, 2, codec="aac")


@pytest.mark.parametrize(
    ("make", "kind", "has_audio", "has_video", "absent"),
    [
        (silent_track, "video", True, True, ("audio", "text")),
        (no_sound, "video", False, True, ("audio", "text")),
        (sound_only, "audio", True, False, ("face",)),
    ],
)
def test_analyze_media_without_a_modality_reads_the_others(
    analyzer: Analyzer,
    tmp_path: Path,
    make: Callable[[Path], Path],
    kind: str,
    has_audio: bool,
    has_video: bool,
    absent: tuple[str, ...],
) -> None:
    result = analyzer.analyze(make(tmp_path / "a.mp4"))
    assert (result.media.kind, result.media.has_audio, result.media.has_video) == (kind, has_audio, has_video)
    assert result.windows and set(missing(result.windows)) == {absent}
    assert result.overall.emotion is not None
    assert result.transcript.source == ("none" if "text" in absent else "whisper")
    assert result.warnings == ()


@pytest.mark.parametrize(
    ("name", "rate", "channels", "codec"),
    [
        ("a.wav", 8_000, 1, "pcm_s16le"),
        ("a.mp3", 22_050, 2, "libmp3lame"),
        ("a.flac", 44_100, 1, "flac"),
        ("a.mp4", 48_000, 2, "aac"),
        ("a.wav", 96_000, 1, "pcm_f32le"),
    ],
)
def test_analyze_recognizes_words_at_any_sample_rate_and_codec(
    analyzer: Analyzer, tmp_path: Path, name: str, rate: int, channels: int, codec: str
) -> None:
    sound = np.concatenate([silence(3), say(MUSEUM), silence(1)])
    result = analyzer.analyze(make_sound(tmp_path / name, sound, rate, channels, codec))
    words = {word.word.strip(".,").lower(): word for segment in result.transcript.segments for word in segment.words}
    assert {"museum", "closed"} <= set(words)
    assert result.media.duration == pytest.approx(len(sound) / 16_000, abs=0.15)
    assert 3 < words["museum"].start < words["closed"].start < result.media.duration - 1


def test_analyze_same_input_gives_the_same_result_alone_or_after_other_jobs(
    analyzer: Analyzer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = make_scenes(tmp_path / "a.mp4", [(two_people(), 2.0), (two_people()[:, ::-1], 3.0)], talk(5))
    others = [
        make_scenes(tmp_path / "b.mkv", [(nobody(), 1.0), (portrait(), 2.0)], talk(3)[::-1]),
        make_sound(tmp_path / "c.wav", say("Der Zug kam heute wieder zu spät.", "de")),
    ]
    alone = make_analyzer(tmp_path_factory.mktemp("fresh")).analyze(path)
    for other in others:
        analyzer.analyze(other, Options(max_faces=1, landmarks=True, frame_rate=10))
    assert alone.faces and alone.transcript.text and alone.people
    assert document(analyzer.analyze(path)) == document(alone)
    assert document(analyzer.analyze(path)) == document(alone)
