"""Recordings of minutes, whole and in parts, and read again from what was kept: real decoding, faces, voices, words."""

import shutil
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from ml.inference.face.observations import FaceCollector
from ml.inference.pipeline import features_file, recording
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.context import CHANNELS, MIX, FEATURES_FILE, AnalysisContext, cache_in
from ml.inference.pipeline.decoded_audio import DecodedAudio
from ml.inference.speech.transcriber import Transcriber
from ml.results import Options, Result
from tests import media_files
from tests.documents import apart
from tests.long_files import make_long
from tests.toy_models import make_analyzer

OPTIONS = Options(frame_rate=0.5, window_seconds=7.0, hop_seconds=3.0)
SECONDS = 125.0


class Parted(Exception):
    """Ends an analysis after its survey."""


def told(result: Result) -> dict[str, Any]:
    return result.model_dump(exclude={"timings"})


def in_parts(analyzer: Analyzer, path: Path, options: Options, folder: Path, keep: Path | None = None) -> Result:
    """As several workers would: the sound is decoded once, each part is written by itself, the last first."""
    soundtrack = DecodedAudio(folder / "mix", folder / "apart")
    surveys: list[features_file.Survey] = []

    def surveyed(survey: features_file.Survey, decoded: DecodedAudio) -> None:
        surveys.append(features_file.read_survey(survey.in_parts_of(60.0).json()))
        for source, target in ((decoded.mix, soundtrack.mix), (decoded.channels, soundtrack.channels)):
            if source.exists():
                target.write_bytes(source.read_bytes())
        raise Parted

    with pytest.raises(Parted):
        analyzer.analyze(path, options, AnalysisContext(surveyed=surveyed, scratch=folder, save_to=keep))
    (survey,) = surveys
    assert len(survey.parts) > 1
    files = [folder / f"part-{number}" for number in range(len(survey.parts))]
    for number, file in reversed(list(enumerate(files))):
        analyzer.observe(path, options, survey, number, file, soundtrack, AnalysisContext(scratch=folder))
    return analyzer.join(path, options, files, soundtrack, AnalysisContext(scratch=folder, save_to=keep))


@pytest.fixture(scope="module")
def analyzer(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    return make_analyzer(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_long(tmp_path_factory.mktemp("film") / "film.mp4", SECONDS, pause=57)


@pytest.fixture(scope="module")
def whole(analyzer: Analyzer, film: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """The film read in one go, and what was kept of it."""
    kept = tmp_path_factory.mktemp("kept")
    return analyzer.analyze(film, OPTIONS, AnalysisContext(save_to=kept)), kept


def test_parts_equal_the_whole(analyzer: Analyzer, film: Path, whole: tuple[Result, Path], tmp_path: Path) -> None:
    result = whole[0]
    assert result.media.duration == pytest.approx(SECONDS, abs=0.1)
    assert len(result.faces) >= 5 and result.transcript.text.count("museum") == 2
    assert told(in_parts(analyzer, film, OPTIONS, tmp_path)) == told(result)


@pytest.mark.parametrize("cores", [2, 16])
def test_sound_heard_beside_the_picture_or_after_it_is_the_same(
    analyzer: Analyzer, film: Path, whole: tuple[Result, Path], monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    """Of whichever number the machine of the test has not."""
    threads = set()
    listen = recording.predict_segments

    def noting(*args: Any) -> Any:
        threads.add(threading.current_thread() is threading.main_thread())
        return listen(*args)

    monkeypatch.setattr(recording, "listen", noting)
    elsewhere = Analyzer(replace(analyzer.models, threads=cores))
    assert told(elsewhere.analyze(film, OPTIONS)) == told(whole[0])
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
def test_frames_of_parts_are_those_of_the_whole(
    analyzer: Analyzer, tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    """Open groups of pictures, no index, fragments, a clock that does not start at zero."""
    path = make_long(tmp_path / name, 75, options, pause=100)
    seeing = Options(frame_rate=0.5, modalities=("face",))
    folder = tmp_path / "scratch"
    folder.mkdir()
    result = analyzer.analyze(path, seeing)
    assert len(result.faces) >= 3 and len(result.windows) >= 36
    assert told(in_parts(analyzer, path, seeing, folder)) == told(result)


@pytest.fixture(scope="module")
def call(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sides, the second three seconds late."""
    path = tmp_path_factory.mktemp("call") / "call.mp3"
    sides = "[0:a]asplit[a][b];[b]adelay=3000[c];[a][c]join=inputs=2:channel_layout=stereo"
    media_files.ffmpeg("-ss", "50", "-t", "70", "-i", film, "-vn", "-filter_complex", sides, path)
    return path


def test_channels_of_a_call_in_parts(analyzer: Analyzer, call: Path, tmp_path: Path) -> None:
    options = Options(channels="separate", modalities=("audio",))
    result = analyzer.analyze(call, options)
    assert result.channels is not None and len(result.channels) == 2
    assert told(in_parts(analyzer, call, options, tmp_path)) == told(result)


class Childless:
    """While it lasts no ffmpeg and no ffprobe can be started, no picture looked at."""

    def __init__(self) -> None:
        self._patch = pytest.MonkeyPatch()

    def refuse(self, holder: type, name: str) -> None:
        self._patch.setattr(holder, name, lambda *_, **__: pytest.fail(f"{holder.__name__}.{name} was called"))

    def __enter__(self) -> Self:
        self.refuse(subprocess.Popen, "__init__")
        self.refuse(FaceCollector, "watch")
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


def check_close(found: Any, wanted: Any) -> None:
    """Equal, but for 1e-5 in a number."""
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
def test_a_kept_film_is_read_in_another_way_without_decoding(
    analyzer: Analyzer, film: Path, whole: tuple[Result, Path], change: dict[str, Any]
) -> None:
    options = OPTIONS.model_copy(update=change)
    with Childless() as childless:
        childless.refuse(Transcriber, "sentences")
        again = told(analyzer.analyze(film, options, AnalysisContext(cached=cache_in(whole[1]))))
    check_close(again, told(analyzer.analyze(film, options) if change else whole[0]))


def test_the_channels_of_a_kept_call_are_read_without_decoding(analyzer: Analyzer, call: Path, tmp_path: Path) -> None:
    """It was first read as a mix, with words of the caller, for its voices alone."""
    first, second = tmp_path / "first", tmp_path / "second"
    voices, both = Options(modalities=("audio",)), Options(channels="separate", hop_seconds=1.0)
    analyzer.analyze(call, voices, AnalysisContext(transcript="The museum", save_to=first))
    fresh = told(analyzer.analyze(call, both))
    assert len(fresh["channels"]) == 2 and "train" in fresh["transcript"]["text"]
    with Childless() as childless:
        check_close(told(analyzer.analyze(call, both, AnalysisContext(cached=cache_in(first), save_to=second))), fresh)
        assert [path.name for path in second.iterdir()] == [FEATURES_FILE]  # the sound stays what it was
        childless.refuse(Transcriber, "sentences")
        check_close(told(analyzer.analyze(call, both, AnalysisContext(cached=cache_in(second)))), fresh)


def test_what_is_kept_of_parts_is_that_of_the_whole(analyzer: Analyzer, call: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    voices = Options(modalities=("audio",))
    options = voices.model_copy(update={"channels": "separate"})
    fresh = told(analyzer.analyze(call, options, AnalysisContext(save_to=whole)))
    in_parts(analyzer, call, voices, tmp_path, parts)
    for name in (MIX, CHANNELS):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()
    with Childless():
        again = told(analyzer.analyze(call, options, AnalysisContext(cached=cache_in(parts))))
    check_close(again, fresh)


@pytest.mark.parametrize("harm", ["lost", "cut"])
def test_sound_that_was_not_kept_well_is_decoded_again(
    analyzer: Analyzer, film: Path, whole: tuple[Result, Path], tmp_path: Path, harm: str
) -> None:
    shutil.copytree(whole[1], tmp_path, dirs_exist_ok=True)
    mix = tmp_path / MIX
    if harm == "lost":
        mix.unlink()
    else:
        mix.write_bytes(mix.read_bytes()[:20_000])
    options = OPTIONS.model_copy(update={"window_seconds": 5.0, "modalities": ("audio",)})
    again = told(analyzer.analyze(film, options, AnalysisContext(cached=cache_in(tmp_path))))
    check_close(again, told(analyzer.analyze(film, options)))


def test_what_was_not_observed_is_read_from_the_media(
    analyzer: Analyzer, film: Path, whole: tuple[Result, Path], tmp_path: Path
) -> None:
    little = Options(modalities=("audio",), frame_rate=1.0)
    analyzer.analyze(film, little, AnalysisContext(save_to=tmp_path / "kept"))
    result = told(analyzer.analyze(film, OPTIONS, AnalysisContext(cached=cache_in(tmp_path / "kept"))))
    assert result == told(whole[0])


def test_what_is_kept_never_shrinks(analyzer: Analyzer, film: Path, whole: tuple[Result, Path], tmp_path: Path) -> None:
    """The faces alone are asked of a kept film, and then all of that."""
    faces = Options(modalities=("face",), frame_rate=0.5, max_faces=1)
    analyzer.analyze(film, faces, AnalysisContext(cached=cache_in(whole[1]), save_to=tmp_path))
    with Childless():
        again = told(analyzer.analyze(film, OPTIONS, AnalysisContext(cached=cache_in(tmp_path))))
    check_close(again, told(whole[0]))


def test_evidence_of_other_models_is_not_used(
    analyzer: Analyzer, film: Path, whole: tuple[Result, Path], tmp_path: Path
) -> None:
    survey, observation = features_file.read(whole[1] / FEATURES_FILE)
    other = tmp_path / FEATURES_FILE
    bundle = survey.bundle.model_copy(update={"whisper": "base"})
    features_file.write(other, features_file.Survey(**{**vars(survey), "bundle": bundle}), observation)
    assert analyzer._kept(AnalysisContext(cached=cache_in(tmp_path))) == (None, None)
    other.write_bytes(b"")
    assert analyzer._kept(AnalysisContext(cached=cache_in(tmp_path))) == (None, None)
