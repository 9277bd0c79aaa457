"""`channels: separate`: real voice detection and Whisper; voice and words are read by simple rules."""

from pathlib import Path

import numpy as np
import pytest

from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.context import AnalysisContext
from ml.inference.runtime.progress import NullListener
from ml.media import SAMPLE_RATE
from ml.results import Channel, Options, Result
from ml.vocabulary import SIMPLIFIED_EMOTIONS
from tests import media_files
from tests.speech_files import Sound, say, silence

TRAIN = "The train to the coast was late again this morning."
MUSEUM = "Nobody told us that the museum is closed on Mondays."
SEPARATE = Options(channels="separate")


def write(path: Path, *channels: Sound) -> Path:
    """Write a file of several channels; shorter ones are padded with silence."""
    longest = max(len(channel) for channel in channels)
    pcm = np.stack([np.pad(channel, (0, longest - len(channel))) for channel in channels], axis=1)
    layout = ["-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", str(len(channels)), "-i", "-"]
    media_files.ffmpeg(*layout, path, data=pcm.tobytes())
    return path


def soft(sound: Sound) -> Sound:
    return (sound // 4).astype(np.int16)


def in_turn() -> tuple[Sound, Sound]:
    """Return two channels: one speaks loudly, then the other speaks softly."""
    train = say(TRAIN)
    return train, np.concatenate([silence(len(train) / SAMPLE_RATE + 2), soft(say(MUSEUM))])


def said(channel: Channel) -> str:
    windows = (window.modalities.text for window in channel.windows)
    return " ".join(text.transcript.lower() for text in windows if text)


def separated(result: Result) -> tuple[Channel, ...]:
    """Return the channels of a result after checking what holds for all of them."""
    assert result.channels is not None
    spans = [(window.start, window.end) for window in result.windows]
    for number, channel in enumerate(result.channels):
        assert channel.channel == number
        assert [(window.start, window.end) for window in channel.windows] == spans
        for reading in (*channel.windows, channel.overall):
            assert sum(reading.probabilities.values()) == pytest.approx(1, abs=1e-6)
            assert tuple(reading.probabilities) == result.labels
        assert all("face" in window.missing for window in channel.windows)
    return result.channels


def test_separate_channels_have_their_own_voice_and_words(analyzer: Analyzer, tmp_path: Path) -> None:
    result = analyzer.analyze(write(tmp_path / "call.wav", *in_turn()), SEPARATE)
    first, second = separated(result)
    assert "train" in said(first) and "museum" not in said(first)
    assert "museum" in said(second) and "train" not in said(second)
    assert "train" in result.transcript.text and "museum" in result.transcript.text
    loud, quiet = (max(channel.windows, key=lambda window: window.confidence) for channel in (first, second))
    assert loud.modalities.audio is not None and loud.modalities.audio.probabilities["angry"] > 0.6
    assert quiet.modalities.audio is not None and quiet.modalities.audio.probabilities["sad"] > 0.6
    assert first.windows[-1].emotion is None and first.windows[-1].missing == ("face", "audio", "text")
    assert second.windows[0].emotion is None
    assert result.warnings == ()


def test_separate_channels_of_simultaneous_speakers_have_their_own_words(analyzer: Analyzer, tmp_path: Path) -> None:
    result = analyzer.analyze(write(tmp_path / "call.flac", say(TRAIN), say(MUSEUM)), SEPARATE)
    first, second = separated(result)
    assert {"train", "coast", "late"} <= set(said(first).split()) and "museum" not in said(first)
    assert {"museum", "closed"} <= set(said(second).split()) and "train" not in said(second)


def test_separate_channels_have_transcripts_and_the_whole_has_both_in_order(analyzer: Analyzer, tmp_path: Path) -> None:
    result = analyzer.analyze(write(tmp_path / "call.wav", *in_turn()), SEPARATE)
    first, second = separated(result)
    assert first.transcript is not None and second.transcript is not None
    assert "train" in first.transcript.text and "museum" not in first.transcript.text
    assert "museum" in second.transcript.text and "train" not in second.transcript.text
    assert {segment.channel for segment in second.transcript.segments} == {1}
    segments = result.transcript.segments
    assert [segment.channel for segment in segments] == [0] * len(first.transcript.segments) + [1] * len(
        second.transcript.segments
    )
    assert [segment.start for segment in segments] == sorted(segment.start for segment in segments)
    assert all(segment.words for segment in segments) and result.transcript.language == "en"
    plain = analyzer.analyze(tmp_path / "call.wav", Options(channels="separate", words=False))
    assert not any(segment.words for channel in separated(plain) for segment in channel.transcript.segments)


def test_separate_channels_of_simultaneous_speakers_keep_the_reading_of_the_mixed_voice(
    analyzer: Analyzer, tmp_path: Path
) -> None:
    path = write(tmp_path / "call.wav", *in_turn())
    mixed, apart = (analyzer.analyze(path, Options(channels=wish, people=False)) for wish in ("mix", "separate"))
    assert mixed.channels is None and all(segment.channel is None for segment in mixed.transcript.segments)
    assert [window.modalities.audio for window in mixed.windows] == [w.modalities.audio for w in apart.windows]


@pytest.mark.parametrize("leak", [0.08, 0.3])
def test_separate_channels_crosstalk_is_written_once(analyzer: Analyzer, tmp_path: Path, leak: float) -> None:
    train, museum = in_turn()
    train = np.pad(train, (0, len(museum) - len(train))).astype(float)
    loud = museum.astype(float) * 4
    pair = (train + leak * loud, loud + leak * np.roll(train, 40))
    result = analyzer.analyze(
        write(tmp_path / "call.wav", *(np.rint(each).astype(np.int16) for each in pair)), SEPARATE
    )
    first, second = separated(result)
    assert "train" in said(first) and "museum" not in said(first)
    assert "museum" in said(second) and "train" not in said(second)
    assert result.transcript.text.lower().count("museum") == 1


def test_separate_channels_with_the_same_sound_are_read_alike(analyzer: Analyzer, tmp_path: Path) -> None:
    result = analyzer.analyze(
        write(tmp_path / "dual.wav", say(TRAIN), say(TRAIN)), Options(channels="separate", classes="simplified")
    )
    first, second = separated(result)
    assert first.windows == second.windows and first.overall == second.overall
    assert result.labels == SIMPLIFIED_EMOTIONS and first.overall.emotion is not None


def test_separate_channels_do_not_get_the_callers_words(analyzer: Analyzer, tmp_path: Path) -> None:
    path = write(tmp_path / "call.wav", *in_turn())
    context = AnalysisContext(transcript="00:00.500 --> 00:02.000\nthe museum\n")
    result = analyzer.analyze(path, Options(channels="separate", people=False), context)
    assert result.windows[0].modalities.text is not None
    assert [said(channel) for channel in separated(result)] == ["", ""]
    assert [channel.transcript for channel in separated(result)] == [None, None]
    assert [warning.code for warning in result.warnings] == ["channels_without_words"]


def test_separate_channel_in_another_language_has_a_warning(analyzer: Analyzer, tmp_path: Path) -> None:
    polish = "Pociąg na wybrzeże znowu się dziś rano spóźnił. Czekałem na peronie i piłem kawę."
    english = np.concatenate([silence(8), say(TRAIN), silence(1), say(MUSEUM), silence(1), say(TRAIN)])
    result = analyzer.analyze(write(tmp_path / "call.wav", say(polish, "pl"), english), SEPARATE)
    warnings = [warning.message for warning in result.warnings if warning.message.startswith("Channel")]
    assert len(warnings) == 1 and warnings[0].startswith("Channel 0: Most of the speech")


def test_separate_channels_progress_never_falls(analyzer: Analyzer, tmp_path: Path) -> None:
    seen: list[float] = []

    class ProgressRecorder(NullListener):
        def progress(self, fraction: float) -> None:
            seen.append(fraction)

    analyzer.analyze(write(tmp_path / "call.wav", *in_turn()), SEPARATE, AnalysisContext(listener=ProgressRecorder()))
    assert seen == sorted(seen) and len(set(seen)) > 10


@pytest.mark.parametrize(
    ("name", "channels", "modalities"),
    [
        ("mono.wav", 1, None),
        ("many.wav", 12, None),
        ("stereo.wav", 2, ("face",)),
        ("silent.mp4", 0, None),
        ("picture.png", 0, None),
    ],
)
def test_separate_channels_of_media_without_channels_is_a_warning(
    analyzer: Analyzer, tmp_path: Path, name: str, channels: int, modalities: tuple[str, ...] | None
) -> None:
    path = tmp_path / name
    if channels:
        media_files.make_audio(path, seconds=1.0, channels=channels)
    elif path.suffix == ".mp4":
        media_files.make_video(path, seconds=1.0, audio=False)
    else:
        media_files.make_image(path)
    result = analyzer.analyze(path, Options(channels="separate", modalities=modalities))
    assert result.channels is None
    assert "channels_unavailable" in [warning.code for warning in result.warnings]
