"""Recordings of minutes, whole and in parts, and read again from what was kept: real decoding, faces, voices, words."""

from pathlib import Path
from typing import Any

import pytest

from ml.inference import evidence
from ml.inference.observer import Silent
from ml.inference.pipeline import Analyser
from ml.inference.sight import Watcher
from ml.inference.soundtrack import Soundtrack
from ml.inference.transcribe import Transcriber
from ml.media import Decoder
from ml.results import Options, Result
from tests import media_files
from tests.long_files import make_long
from tests.toy_models import make_analyser

OPTIONS = Options(frame_rate=0.5, window_seconds=7.0, hop_seconds=3.0)
SECONDS = 125.0


class Parted(Exception):
    """Ends an analysis after its survey."""


def told(result: Result) -> dict[str, Any]:
    return result.model_dump(exclude={"timings"})


def in_parts(analyser: Analyser, path: Path, options: Options, folder: Path, part_seconds: float = 60.0) -> Result:
    """As several workers would: the sound is decoded once, each part is written by itself, the last first."""
    soundtrack = Soundtrack(folder / "mix", folder / "apart")
    surveys: list[evidence.Survey] = []

    def surveyed(survey: evidence.Survey, decoded: Soundtrack) -> None:
        surveys.append(evidence.read_survey(survey.in_parts_of(part_seconds).json()))
        for source, target in ((decoded.mix, soundtrack.mix), (decoded.apart, soundtrack.apart)):
            if source.exists():
                target.write_bytes(source.read_bytes())
        raise Parted

    with pytest.raises(Parted):
        analyser.analyse(path, options, surveyed=surveyed, scratch=folder)
    (survey,) = surveys
    assert len(survey.parts) > 1
    files = [folder / f"part-{number}" for number in range(len(survey.parts))]
    shared: dict[str, Any] = {"soundtrack": soundtrack, "observer": Silent(), "scratch": folder}
    for number, file in reversed(list(enumerate(files))):
        analyser.observe(path, options, survey, number, file, words=True, **shared)
    return analyser.join(path, options, files, transcript=None, **shared)


@pytest.fixture(scope="module")
def analyser(tmp_path_factory: pytest.TempPathFactory) -> Analyser:
    return make_analyser(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_long(tmp_path_factory.mktemp("film") / "film.mp4", SECONDS, pause=57)


@pytest.fixture(scope="module")
def whole(analyser: Analyser, film: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """The film read in one go, and the evidence that was kept of it."""
    kept = tmp_path_factory.mktemp("kept") / "evidence"
    return analyser.analyse(film, OPTIONS, keep=kept), kept


def test_parts_equal_the_whole(analyser: Analyser, film: Path, whole: tuple[Result, Path], tmp_path: Path) -> None:
    result = whole[0]
    assert result.media.duration == pytest.approx(SECONDS, abs=0.1)
    assert len(result.faces) >= 5 and result.transcript.text.count("museum") == 2
    assert told(in_parts(analyser, film, OPTIONS, tmp_path)) == told(result)


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
    analyser: Analyser, tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    """Open groups of pictures, no index, fragments, a clock that does not start at zero."""
    path = make_long(tmp_path / name, 75, options, pause=100)
    seeing = Options(frame_rate=0.5, modalities=("face",))
    folder = tmp_path / "scratch"
    folder.mkdir()
    result = analyser.analyse(path, seeing)
    assert len(result.faces) >= 3 and len(result.windows) >= 36
    assert told(in_parts(analyser, path, seeing, folder)) == told(result)


def test_channels_of_a_call_in_parts(analyser: Analyser, film: Path, tmp_path: Path) -> None:
    call = tmp_path / "call.mp3"
    sides = "[0:a]asplit[a][b];[b]adelay=3000[c];[a][c]join=inputs=2:channel_layout=stereo"
    media_files.ffmpeg("-ss", "50", "-t", "70", "-i", film, "-vn", "-filter_complex", sides, call)
    options = Options(channels="separate", modalities=("audio",))
    result = analyser.analyse(call, options)
    assert result.channels is not None and len(result.channels) == 2
    assert told(in_parts(analyser, call, options, tmp_path)) == told(result)


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing is decoded, seen or recognised."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("the media was read again")

    monkeypatch.setattr(Decoder, "__enter__", refuse)
    monkeypatch.setattr(Watcher, "watch", refuse)
    monkeypatch.setattr(Transcriber, "sentences", refuse)
    return monkeypatch


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"classes": "simplified", "words": False},
        {"max_faces": 1, "frame_rate": 0.25},
        {"modalities": ("face", "text"), "window_seconds": 11.0, "hop_seconds": 11.0},
    ],
)
def test_kept_evidence_answers_without_decoding(
    analyser: Analyser, film: Path, whole: tuple[Result, Path], blind: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    options = OPTIONS.model_copy(update=change)
    again = told(analyser.analyse(film, options, kept=whole[1]))
    blind.undo()
    assert again == told(analyser.analyse(film, options) if change else whole[0])


def test_other_windows_take_the_sound_alone(
    analyser: Analyser, film: Path, whole: tuple[Result, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = OPTIONS.model_copy(update={"window_seconds": 4.0, "hop_seconds": 1.5})
    with monkeypatch.context() as patch:
        patch.setattr(Watcher, "watch", lambda *_: pytest.fail("the picture was read again"))
        patch.setattr(Transcriber, "sentences", lambda *_: pytest.fail("the words were recognised again"))
        again = told(analyser.analyse(film, options, kept=whole[1]))
    assert again == told(analyser.analyse(film, options))


def test_what_was_not_observed_is_read_from_the_media(
    analyser: Analyser, film: Path, whole: tuple[Result, Path], tmp_path: Path
) -> None:
    little = Options(modalities=("audio",), frame_rate=1.0)
    analyser.analyse(film, little, keep=tmp_path / "kept")
    result = told(analyser.analyse(film, OPTIONS, kept=tmp_path / "kept"))
    assert result == told(whole[0])


def test_evidence_of_other_models_is_not_used(
    analyser: Analyser, film: Path, whole: tuple[Result, Path], tmp_path: Path
) -> None:
    survey, observation = evidence.read(whole[1])
    other = tmp_path / "other"
    bundle = survey.bundle.model_copy(update={"whisper": "base"})
    evidence.write(other, evidence.Survey(**{**vars(survey), "bundle": bundle}), observation)
    assert analyser._kept(other) == (None, None)
    (tmp_path / "none").write_bytes(b"")
    assert analyser._kept(tmp_path / "none") == (None, None)
