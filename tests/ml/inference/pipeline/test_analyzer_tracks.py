"""Audio tracks, stereo out of phase, and gaps in time stamps: from the file to the result."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.inference.pipeline import features_file
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.context import FEATURES_FILE, AnalysisContext, cache_in
from ml.inference.pipeline.features import Features
from ml.results import Options, Result
from tests import media_files
from tests.speech_files import Sound, make_sound, say, silence

TRAIN = "The train to the coast was late again this morning."
MUSEUM = "Nobody told us that the museum is closed on Mondays."


def write_tracks(path: Path, *sounds: Sound, names: tuple[str, ...] = ()) -> Path:
    """A file with a track for each sound; `names`: languages of the tracks."""
    files = [make_sound(path.with_name(f"{number}.wav"), sound) for number, sound in enumerate(sounds)]
    inputs = [word for file in files for word in ("-i", file)]
    maps = [word for number in range(len(files)) for word in ("-map", f"{number}:a")]
    tags = [word for number, name in enumerate(names) for word in (f"-metadata:s:a:{number}", f"language={name}")]
    media_files.ffmpeg(*inputs, *maps, *tags, "-c:a", "aac" if path.suffix == ".m4a" else "libopus", path)
    return path


def notices(result: Result, code: str) -> list[str]:
    return [warning.message for warning in result.warnings if warning.code == code]


def saving(folder: Path, save_to: Path, cached: Path | None = None) -> AnalysisContext:
    folder.mkdir(exist_ok=True)
    context = AnalysisContext(scratch=folder, save_to=save_to)
    return replace(context, cached=cache_in(cached)) if cached else context


def test_tracks_only_the_second_with_sound_is_read_and_named(analyzer: Analyzer, tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.m4a", silence(3), say(TRAIN), names=("eng", "deu"))
    result = analyzer.analyze(path)
    assert "train" in result.transcript.text
    (message,) = notices(result, "audio_tracks")
    assert "0 (English), 1 (German)" in message and "Track 1 was read" in message


@pytest.mark.slow
def test_tracks_with_sound_are_mixed_or_chosen_or_separate(analyzer: Analyzer, tmp_path: Path) -> None:
    later = np.concatenate([silence(len(say(TRAIN)) / 16_000 + 1), say(MUSEUM)])
    path = write_tracks(tmp_path / "a.mkv", say(TRAIN), later)
    mixed = analyzer.analyze(path)
    assert "train" in mixed.transcript.text and "museum" in mixed.transcript.text
    assert "Tracks 0 and 1 were mixed" in notices(mixed, "audio_tracks")[0]
    chosen = analyzer.analyze(path, Options(audio_track=1))
    assert "museum" in chosen.transcript.text and "train" not in chosen.transcript.text
    assert "Track 1 was read, as requested" in notices(chosen, "audio_tracks")[0]
    apart = analyzer.analyze(path, Options(channels="separate"))
    assert apart.channels is not None and [channel.channel for channel in apart.channels] == [0, 1]
    texts = [channel.transcript.text for channel in apart.channels if channel.transcript]
    assert "train" in texts[0] and "museum" in texts[1] and "museum" not in texts[0]


def test_tracks_a_missing_one_is_a_warning(analyzer: Analyzer, tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.wav", say(TRAIN))
    result = analyzer.analyze(path, Options(audio_track=3))
    assert "train" in result.transcript.text
    assert "There is no track 3" in notices(result, "audio_tracks")[0]
    assert notices(analyzer.analyze(path), "audio_tracks") == []


def test_tracks_more_than_the_limit_are_left_out(analyzer: Analyzer, tmp_path: Path) -> None:
    path = media_files.make_tracks(tmp_path / "many.mkv", [200.0 + 20 * number for number in range(11)], 1.0)
    result = analyzer.analyze(path, Options(modalities=("audio",), channels="separate"))
    assert result.channels is not None and len(result.channels) == 8
    assert "The file has 11 audio tracks" in notices(result, "audio_tracks")[0]


@pytest.mark.slow
def test_tracks_another_one_of_a_kept_analysis_is_decoded_anew(analyzer: Analyzer, tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.mkv", say(TRAIN), say(MUSEUM))
    first, second = tmp_path / "first", tmp_path / "second"
    kept = analyzer.analyze(path, Options(audio_track=0), saving(tmp_path / "s", first))
    again = analyzer.analyze(path, Options(audio_track=1), saving(tmp_path / "t", second, first))
    direct = analyzer.analyze(path, Options(audio_track=1))
    assert "train" in kept.transcript.text and again.transcript == direct.transcript
    assert again.windows == direct.windows
    apart = analyzer.analyze(path, Options(channels="separate"), saving(tmp_path / "u", tmp_path / "third", second))
    fresh = analyzer.analyze(path, Options(channels="separate"))
    assert apart.channels == fresh.channels and apart.transcript == fresh.transcript


@pytest.mark.slow
def test_separate_channels_of_a_kept_analysis_equal_fresh_ones(analyzer: Analyzer, tmp_path: Path) -> None:
    """A mixed result first, then channels, then the mix again, whose words were not recognized in between."""
    path = tmp_path / "call.wav"
    both = np.stack(
        [say(TRAIN), np.pad(say(MUSEUM), (0, max(0, len(say(TRAIN)) - len(say(MUSEUM)))))[: len(say(TRAIN))]]
    )
    media_files.ffmpeg("-f", "s16le", "-ar", "16000", "-ac", "2", "-i", "-", path, data=both.T.tobytes())
    first, second = tmp_path / "first", tmp_path / "second"
    apart = analyzer.analyze(path, Options(channels="separate"), saving(tmp_path / "s", first))
    mixed = analyzer.analyze(path, Options(), saving(tmp_path / "t", second, first))
    assert mixed.transcript == analyzer.analyze(path).transcript
    again = analyzer.analyze(path, Options(channels="separate"), saving(tmp_path / "u", tmp_path / "third", second))
    assert again.channels == apart.channels and again.transcript == apart.transcript


def test_stereo_out_of_phase_is_understood(analyzer: Analyzer, tmp_path: Path) -> None:
    spoken = say(TRAIN)
    path = tmp_path / "turned.flac"
    pcm = np.stack([spoken, -spoken], axis=1).astype(np.int16)
    media_files.ffmpeg("-f", "s16le", "-ar", "16000", "-ac", "2", "-i", "-", path, data=pcm.tobytes())
    assert "train" in analyzer.analyze(path).transcript.text


@pytest.mark.parametrize("jump", [300.0, pytest.param(3600.0, marks=pytest.mark.slow)])
def test_time_gap_is_no_evidence_and_no_work(analyzer: Analyzer, tmp_path: Path, jump: float) -> None:
    path = media_files.make_jumping_video(tmp_path / "jump.mkv", jump)
    result = analyzer.analyze(path, Options(modalities=("face", "audio")))
    assert result.media.duration == pytest.approx(4 + jump, abs=0.3)
    (message,) = notices(result, "time_gap")
    assert f"{jump:.1f} s in all" in message or f"{jump - 0.1:.1f} s in all" in message
    inside = [window for window in result.windows if window.start > 3 and window.end < 2 + jump]
    assert len(inside) > jump / 2 - 5 and all(window.emotion is None for window in inside)
    assert notices(result, "media_damaged") == []


@pytest.mark.slow
def test_time_gap_parts_equal_the_unsplit_result(analyzer: Analyzer, tmp_path: Path) -> None:
    path = media_files.make_jumping_video(tmp_path / "jump.mkv", 200.0)
    options = Options(modalities=("face", "audio"))
    whole = analyzer.analyze(path, options)
    with AnalysisContext().in_temporary_folder() as context:
        plan = analyzer.plan(path, options, context).in_parts_of(60.0)
        assert len(plan.parts) == 4
        parts = []
        for part in plan.parts:
            file = context.folder / f"{FEATURES_FILE}-{len(parts)}"
            features_file.save(file, plan.recording, analyzer.extract(plan, part, context=context))
            parts.append(features_file.load(file).features)
        joined = analyzer.assemble(plan, Features.concatenated(parts), context)
    assert joined.model_dump(exclude={"timings"}) == whole.model_dump(exclude={"timings"})
