"""Recordings of minutes, whole, in parts, and again from a cached analysis: real decoding, faces, voices and words."""

import shutil
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from ml.inference.face.observations import FaceCollector
from ml.inference.pipeline import extract, features_file, reuse
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.context import CHANNELS, FEATURES_FILE, MIX, AnalysisContext, cache_in
from ml.inference.speech.transcriber import Transcriber
from ml.results import Options, Result
from tests import media_files
from tests.analysis_in_parts import analyze_in_parts, document
from tests.documents import apart
from tests.long_files import make_long

OPTIONS = Options(frame_rate=0.5, window_seconds=7.0, hop_seconds=3.0)
SECONDS = 125.0


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_long(tmp_path_factory.mktemp("film") / "film.mp4", SECONDS, pause=57)


@pytest.fixture(scope="module")
def whole(analyzer: Analyzer, film: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """Result of the whole film, and the folder of its saved files."""
    kept = tmp_path_factory.mktemp("kept")
    return analyzer.analyze(film, OPTIONS, AnalysisContext(save_to=kept)), kept


def test_extract_parts_give_the_result_of_the_whole(
    analyzer: Analyzer, film: Path, whole: tuple[Result, Path], tmp_path: Path
) -> None:
    result = whole[0]
    assert result.media.duration == pytest.approx(SECONDS, abs=0.1)
    assert len(result.faces) >= 5 and result.transcript.text.count("museum") == 2
    assert document(analyze_in_parts(analyzer, film, OPTIONS, tmp_path)) == document(result)


@pytest.mark.parametrize("cores", [2, 16])
def test_extract_audio_concurrently_or_after_video_gives_the_same_result(
    analyzer: Analyzer, film: Path, whole: tuple[Result, Path], monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    """Whatever number of cores the machine of the test has."""
    threads = set()
    predict_segments = extract.predict_segments

    def recording_thread(*args: Any) -> Any:
        threads.add(threading.current_thread() is threading.main_thread())
        return predict_segments(*args)

    monkeypatch.setattr(extract, "predict_segments", recording_thread)
    other = Analyzer(replace(analyzer.models, threads=cores))
    assert document(other.analyze(film, OPTIONS)) == document(whole[0])
    assert threads == {cores == 2}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("open.mkv", ()),
        ("live.webm", ("-live", "1")),
        ("pieces.mp4", ("-movflags", "frag_keyframe+empty_moov")),
        ("late.mkv", ("-output_ts_offset", "5")),
    ],
)
def test_extract_parts_of_difficult_containers_have_the_frames_of_the_whole(
    analyzer: Analyzer, tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    """The containers have open groups of pictures, no index, fragments, or a clock that does not start at zero."""
    path = make_long(tmp_path / name, 75, options, pause=100)
    seeing = Options(frame_rate=0.5, modalities=("face",))
    folder = tmp_path / "scratch"
    folder.mkdir()
    result = analyzer.analyze(path, seeing)
    assert len(result.faces) >= 3 and len(result.windows) >= 36
    assert document(analyze_in_parts(analyzer, path, seeing, folder)) == document(result)


@pytest.fixture(scope="module")
def call(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Call with two sides, the second three seconds late."""
    path = tmp_path_factory.mktemp("call") / "call.mp3"
    sides = "[0:a]asplit[a][b];[b]adelay=3000[c];[a][c]join=inputs=2:channel_layout=stereo"
    media_files.ffmpeg("-ss", "50", "-t", "70", "-i", film, "-vn", "-filter_complex", sides, path)
    return path


def test_extract_channels_of_a_call_in_parts_gives_the_result_of_the_whole(
    analyzer: Analyzer, call: Path, tmp_path: Path
) -> None:
    options = Options(channels="separate", modalities=("audio",))
    result = analyzer.analyze(call, options)
    assert result.channels is not None and len(result.channels) == 2
    assert document(analyze_in_parts(analyzer, call, options, tmp_path)) == document(result)


class NoDecoding:
    """Context in which no child process may start and no frame may be searched for faces."""

    def __init__(self) -> None:
        self._patch = pytest.MonkeyPatch()

    def refuse(self, holder: type, name: str) -> None:
        self._patch.setattr(holder, name, lambda *_, **__: pytest.fail(f"{holder.__name__}.{name} was called"))

    def __enter__(self) -> Self:
        self.refuse(subprocess.Popen, "__init__")
        self.refuse(FaceCollector, "add")
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


def check_close(found: Any, wanted: Any) -> None:
    """Check that two documents are equal, except for 1e-5 in a number."""
    assert list(apart(found, wanted)) == []


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"classes": "simplified", "words": False},
        {"max_faces": 1, "frame_rate": 0.25},
        {"modalities": ("face", "text"), "window_seconds": 11.0, "hop_seconds": 11.0},
        {"window_seconds": 4.0, "hop_seconds": 1.5},
        {"modalities": ("audio",), "hop_seconds": 7.0},
    ],
    ids=str,
)
def test_reuse_with_other_options_decodes_nothing(
    analyzer: Analyzer, film: Path, whole: tuple[Result, Path], change: dict[str, Any]
) -> None:
    options = OPTIONS.model_copy(update=change)
    with NoDecoding() as no_decoding:
        no_decoding.refuse(Transcriber, "recognize")
        again = document(analyzer.analyze(film, options, AnalysisContext(cached=cache_in(whole[1]))))
    check_close(again, document(analyzer.analyze(film, options) if change else whole[0]))


def test_reuse_of_a_mix_reads_channels_and_words_without_decoding(
    analyzer: Analyzer, call: Path, tmp_path: Path
) -> None:
    """The call was first analyzed as a mix, with the caller's words, for its voice only."""
    first, second = tmp_path / "first", tmp_path / "second"
    voices, both = Options(modalities=("audio",)), Options(channels="separate", hop_seconds=1.0)
    analyzer.analyze(call, voices, AnalysisContext(transcript="The museum", save_to=first))
    fresh = document(analyzer.analyze(call, both))
    assert len(fresh["channels"]) == 2 and "train" in fresh["transcript"]["text"]
    with NoDecoding() as no_decoding:
        check_close(
            document(analyzer.analyze(call, both, AnalysisContext(cached=cache_in(first), save_to=second))), fresh
        )
        assert [path.name for path in second.iterdir()] == [FEATURES_FILE]  # the audio is cached already
        no_decoding.refuse(Transcriber, "recognize")
        check_close(document(analyzer.analyze(call, both, AnalysisContext(cached=cache_in(second)))), fresh)


def test_saved_files_of_parts_are_those_of_the_whole(analyzer: Analyzer, call: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    voices = Options(modalities=("audio",))
    options = voices.model_copy(update={"channels": "separate"})
    fresh = document(analyzer.analyze(call, options, AnalysisContext(save_to=whole)))
    analyze_in_parts(analyzer, call, voices, tmp_path, parts)
    for name in (MIX, CHANNELS):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()
    with NoDecoding():
        again = document(analyzer.analyze(call, options, AnalysisContext(cached=cache_in(parts))))
    check_close(again, fresh)


@pytest.mark.parametrize("harm", ["lost", "cut"])
def test_reuse_with_lost_or_damaged_audio_decodes_it_again(
    analyzer: Analyzer, film: Path, whole: tuple[Result, Path], tmp_path: Path, harm: str
) -> None:
    shutil.copytree(whole[1], tmp_path, dirs_exist_ok=True)
    mix = tmp_path / MIX
    if harm == "lost":
        mix.unlink()
    else:
        mix.write_bytes(mix.read_bytes()[:20_000])
    options = OPTIONS.model_copy(update={"window_seconds": 5.0, "modalities": ("audio",)})
    again = document(analyzer.analyze(film, options, AnalysisContext(cached=cache_in(tmp_path))))
    check_close(again, document(analyzer.analyze(film, options)))


def test_reuse_extracts_missing_features_from_the_media(
    analyzer: Analyzer, film: Path, whole: tuple[Result, Path], tmp_path: Path
) -> None:
    little = Options(modalities=("audio",), frame_rate=1.0)
    analyzer.analyze(film, little, AnalysisContext(save_to=tmp_path / "kept"))
    result = document(analyzer.analyze(film, OPTIONS, AnalysisContext(cached=cache_in(tmp_path / "kept"))))
    assert result == document(whole[0])


def test_reuse_with_fewer_features_saves_all_of_them(
    analyzer: Analyzer, film: Path, whole: tuple[Result, Path], tmp_path: Path
) -> None:
    """First only the faces of a cached analysis are requested, then everything."""
    faces = Options(modalities=("face",), frame_rate=0.5, max_faces=1)
    analyzer.analyze(film, faces, AnalysisContext(cached=cache_in(whole[1]), save_to=tmp_path))
    with NoDecoding():
        again = document(analyzer.analyze(film, OPTIONS, AnalysisContext(cached=cache_in(tmp_path))))
    check_close(again, document(whole[0]))


def test_load_cached_of_other_models_or_a_damaged_file_is_none(
    analyzer: Analyzer, film: Path, whole: tuple[Result, Path], tmp_path: Path
) -> None:
    cached = features_file.load(whole[1] / FEATURES_FILE)
    other = tmp_path / FEATURES_FILE
    bundle = cached.recording.bundle.model_copy(update={"whisper": "base"})
    features_file.save(other, replace(cached.recording, bundle=bundle), cached.features)
    context = AnalysisContext(cached=cache_in(tmp_path))
    assert reuse.load_cached(context, analyzer.models.bundle) is None
    assert reuse.load_cached(context, bundle) is not None
    other.write_bytes(b"")
    assert reuse.load_cached(context, bundle) is None
