"""Analyses of generated media: real ffmpeg, face detector, voice detection and Whisper; random weights for faces."""

from pathlib import Path

import pytest

from ml.errors import Cancelled, MediaInvalid, ModelStoreError, UnsupportedMedia
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.context import AnalysisContext, cache_in
from ml.inference.runtime.progress import NullListener
from ml.results import Options, Result
from ml.vocabulary import SIMPLIFIED_EMOTIONS
from tests import media_files
from tests.toy_models import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def analyzer(store: Path) -> Analyzer:
    return Analyzer.load(store, device="cpu")


def check_result(result: Result, duration: float) -> None:
    """Check what holds for every recording: windows over 0..duration, probabilities that sum to 1."""
    assert result.media.duration == pytest.approx(duration, abs=0.15)
    assert result.windows[0].start == 0 and result.windows[-1].end == result.media.duration
    for reading in (*result.windows, result.overall):
        assert sum(reading.probabilities.values()) == pytest.approx(1, abs=1e-6)
        assert tuple(reading.probabilities) == result.labels


def test_analyze_video_of_5_9_seconds_covers_5_9_seconds(analyzer: Analyzer, tmp_path: Path) -> None:
    path = media_files.make_video(tmp_path / "short.mp4", seconds=5.9)
    result = analyzer.analyze(path)
    check_result(result, 5.9)
    assert [window.start for window in result.windows] == [0, 2]
    assert result.overall.emotion is None and result.windows[0].missing == ("face", "audio", "text")
    assert [warning.code for warning in result.warnings] == ["no_evidence"]
    assert result.media.has_audio and result.media.has_video


@pytest.mark.parametrize("name", ["video.mp4", "audio.mp4", "audio.wav"])
def test_analyze_same_input_gives_the_same_result(analyzer: Analyzer, tmp_path: Path, name: str) -> None:
    make = media_files.make_video if name.startswith("video") else media_files.make_audio
    path = make(tmp_path / name, seconds=3.0)
    first, second = (analyzer.analyze(path) for _ in range(2))
    check_result(first, 3.0)
    assert first.model_dump(exclude={"timings"}) == second.model_dump(exclude={"timings"})


def test_analyze_video_without_audio_succeeds(analyzer: Analyzer, tmp_path: Path) -> None:
    result = analyzer.analyze(media_files.make_video(tmp_path / "a.mp4", seconds=2.0, audio=False))
    check_result(result, 2.0)
    assert not result.media.has_audio


def test_analyze_with_a_transcript_returns_the_callers_words(analyzer: Analyzer, tmp_path: Path) -> None:
    path = media_files.make_audio(tmp_path / "a.wav", seconds=3.0)
    result = analyzer.analyze(path, context=AnalysisContext(transcript="00:01.000 --> 00:02.000\nso happy\n"))
    assert (result.transcript.source, result.transcript.text) == ("caller", "so happy")


def test_analyze_captions_beyond_the_end_are_a_warning(analyzer: Analyzer, tmp_path: Path) -> None:
    path = media_files.make_audio(tmp_path / "a.wav", seconds=3.0)
    captions = "00:01.000 --> 00:02.000\nso happy\n\n00:09.000 --> 00:10.000\ntoo late\n"
    result = analyzer.analyze(path, context=AnalysisContext(transcript=captions))
    assert result.transcript.text == "so happy"
    assert "captions_beyond_end" in [warning.code for warning in result.warnings]


def test_analyze_image_has_no_windows(analyzer: Analyzer, tmp_path: Path) -> None:
    result = analyzer.analyze(media_files.make_image(tmp_path / "a.jpg"), Options(classes="simplified"))
    assert (result.media.duration, result.windows, result.labels) == (None, (), SIMPLIFIED_EMOTIONS)
    assert sum(result.overall.probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert [warning.code for warning in result.warnings] == ["no_evidence"]


def test_analyze_crops_reads_each_picture_as_one_face(analyzer: Analyzer, tmp_path: Path) -> None:
    options = Options(crops=True, modalities=("face",))
    photo = media_files.make_image(tmp_path / "face.png", size=(90, 100))
    result = analyzer.analyze(photo, options)
    (track,) = result.faces
    box = track.frames[0].box
    assert (box.x, box.y, box.width, box.height) == (0, 0, 90, 100) and track.frames[0].score == 1
    assert result.overall.emotion == track.frames[0].emotion and not result.warnings
    film = media_files.make_video(tmp_path / "face.mp4", seconds=2.0, size=(96, 96))
    (track,) = analyzer.analyze(film, options).faces
    assert len(track.frames) == 8


def test_analyze_crops_again_of_kept_media_reads_it_anew(analyzer: Analyzer, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    for number, make in enumerate((media_files.make_image, media_files.make_video)):
        path = make(tmp_path / ("face.png", "face.mp4")[number], size=(96, 96))
        assert not analyzer.analyze(path, Options(), AnalysisContext(save_to=kept)).faces
        context = AnalysisContext(cached=cache_in(kept))
        assert len(analyzer.analyze(path, Options(crops=True), context).faces) == 1


def test_analyze_unavailable_options_are_warnings(analyzer: Analyzer, tmp_path: Path) -> None:
    path = media_files.make_audio(tmp_path / "a.wav", seconds=1.0)
    result = analyzer.analyze(path, Options(modalities=("face",), annotate=True))
    codes = [warning.code for warning in result.warnings]
    assert codes == ["modality_unavailable", "artifact_unavailable", "no_evidence"]


def test_analyze_invalid_media_names_the_stage(analyzer: Analyzer, tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("just words " * 100)
    with pytest.raises(UnsupportedMedia) as caught:
        analyzer.analyze(path)
    assert caught.value.stage == "probe"
    path = media_files.make_video(tmp_path / "cut.mp4", seconds=2.0)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises((MediaInvalid, UnsupportedMedia)):
        analyzer.analyze(path)


class CancellingListener(NullListener):
    def check(self) -> None:
        raise Cancelled("stop")


def test_analyze_cancelled_leaves_no_files(analyzer: Analyzer, tmp_path: Path) -> None:
    path = media_files.make_video(tmp_path / "a.mp4", seconds=2.0)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(Cancelled):
        analyzer.analyze(path, context=AnalysisContext(listener=CancellingListener(), scratch=scratch))
    assert list(scratch.iterdir()) == []


def test_analyze_progress_never_falls(analyzer: Analyzer, tmp_path: Path) -> None:
    seen: list[float] = []

    class ProgressRecorder(NullListener):
        def progress(self, fraction: float) -> None:
            seen.append(fraction)

    analyzer.analyze(
        media_files.make_video(tmp_path / "a.mp4", seconds=3.0), context=AnalysisContext(listener=ProgressRecorder())
    )
    assert seen == sorted(seen) and seen[-1] <= 1


def test_load_for_commercial_use_names_the_refused_model(store: Path) -> None:
    with pytest.raises(ModelStoreError, match="face@1"):
        Analyzer.load(store, device="cpu", licences="commercial")
