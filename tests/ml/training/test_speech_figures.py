from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import InvalidManifest
from ml.media import SAMPLE_RATE
from ml.training.cli import parser
from ml.training.speech_figures import (
    SpeechFigures,
    SpeechTrial,
    SpokenRow,
    compare_words,
    plain_words,
    read_spoken_rows,
    readable,
    through_telephone,
)
from tests.speech_files import make_sound, noise, say

WORDS = st.lists(st.sampled_from("abc"), max_size=6)


@pytest.mark.parametrize(
    ("said", "heard", "found"),
    [("a b c", "a b c", (0, 3)), ("a b c", "a c", (1, 2)), ("a b", "", (2, 0)), ("", "a", (1, 0)), ("a", "b", (1, 0))],
)
def test_compare_words(said: str, heard: str, found: tuple[int, int]) -> None:
    assert compare_words(said.split(), heard.split()) == found


@given(WORDS, WORDS)
def test_compare_words_is_bounded_and_symmetric(said: list[str], heard: list[str]) -> None:
    errors, hits = compare_words(said, heard)
    assert abs(len(said) - len(heard)) <= errors <= max(len(said), len(heard))
    assert hits <= min(len(said), len(heard))
    assert compare_words(heard, said)[0] == errors
    assert compare_words(said, said) == (0, len(said))


def test_plain_words_of_scripts() -> None:
    assert plain_words("„Żołwica” to… dawne!", "pl") == ["żołwica", "to", "dawne"]
    assert plain_words("Don’t, it's 5.", "en") == ["don't", "it's", "5"]
    assert plain_words("你好，世界", "zh") == ["你", "好", "世", "界"]


def test_speech_figures_count_words_languages_and_inventions() -> None:
    figures = SpeechFigures()
    figures.add(SpokenRow(Path("a"), "one two three", "en", "x"), "One two.", "en")
    figures.add(SpokenRow(Path("b"), None, "ur", "x"), "", None)
    figures.add(SpokenRow(Path("c"), None, "pl", "x"), "So.", "en")
    figures.add(SpokenRow(Path("d"), None, None, "x"), "Thank you.", "en")
    rates = figures.json()
    assert (rates["word_error_rate"], rates["word_recall"]) == (0.3333, 0.6667)
    assert (rates["language_right"], rates["language_wrong"]) == (0.3333, 0.3333)
    assert (rates["invented"], rates["silent"], rates["invented_texts"]) == (1, 1, ["Thank you."])
    assert "| x | 4 | 0.333 | 0.667 | 0.333 | 0.333 | 1 of 1 |" in readable({"x": figures})


def test_speech_trial_changes_level_and_codec() -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tones = (0.2 * np.sin(2 * np.pi * 500 * time) + 0.2 * np.sin(2 * np.pi * 6000 * time)).astype(np.float32)
    heard = through_telephone(tones)
    power = np.abs(np.fft.rfft(heard))
    assert len(heard) == len(tones) and power[500] > 100 * power[6000]
    assert power[500] == pytest.approx(np.abs(np.fft.rfft(tones))[500], rel=0.05)
    quiet = SpeechTrial(level=-50).sound(noise(1)).astype(np.float64) / 32768
    assert 20 * np.log10(np.sqrt(np.mean(quiet**2))) == pytest.approx(-50, abs=0.2)
    assert SpeechTrial(finder="whole").speech(noise(2))[0].length == 2
    assert SpeechTrial(finder="faster-whisper").speech(noise(2)) == []


def test_read_spoken_rows_samples_each_set_alike(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    lines = [f"{number}.wav,,en,{'ab'[number % 2]}" for number in range(10)]
    manifest.write_text("path,text,language,dataset\n" + "\n".join(lines))
    rows = read_spoken_rows(manifest, 3)
    assert [row.dataset for row in rows] == ["a"] * 3 + ["b"] * 3
    assert rows == read_spoken_rows(manifest, 3) and rows[0].path.parent == tmp_path
    assert rows[0].text is None and len(read_spoken_rows(manifest)) == 10
    manifest.write_text("path,language\na.wav,Klingonese")
    with pytest.raises(InvalidManifest, match="no language"):
        read_spoken_rows(manifest)
    manifest.write_text("file\na.wav")
    with pytest.raises(InvalidManifest, match="column path"):
        read_spoken_rows(manifest)


@pytest.mark.slow
def test_evaluate_speech_prints_figures_of_each_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sound(tmp_path / "said.wav", say("The museum is closed on Mondays."))
    make_sound(tmp_path / "noise.wav", noise(3))
    manifest = tmp_path / "m.csv"
    rows = "said.wav,The museum is closed on Mondays.,en,speech\nnoise.wav,,,noise\ngone.wav,,,noise\n"
    manifest.write_text("path,text,language,dataset\n" + rows)
    args = parser("evaluate").parse_args(["speech", "--manifest", str(manifest), "--whisper", "tiny.en"])
    args.run(args)
    printed = capsys.readouterr().out
    assert "| speech | 1 | 0.000 | 1.000 | 1.000 | 0.000 | – |" in printed
    assert "| noise | 1 |" in printed and "0 of 1" in printed
