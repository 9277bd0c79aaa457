from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ml.errors import Cancelled
from ml.inference.api import TimeSpan
from ml.inference.voice.vad import (
    BLOCK_STEPS,
    STEP_SAMPLES,
    as_float,
    pad_segments,
    segments_above_threshold,
    speech_probabilities,
    speech_segments,
)
from ml.media import SAMPLE_RATE
from tests.speech_files import Sound, ignore, melody, noise, say, silence

SENTENCE = "The train to the coast was late again this morning."


def spoken_seconds(spans: list[TimeSpan]) -> float:
    return sum(span.length for span in spans)


@pytest.mark.parametrize(
    "sound", [silence(5), noise(20), noise(5, level=0.001), melody(20), silence(0)], ids=lambda s: str(len(s))
)
def test_speech_segments_of_other_sounds_are_empty(sound: Sound) -> None:
    assert speech_segments(sound, ignore) == []


def test_speech_segments_of_a_tone_are_empty() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(5 * SAMPLE_RATE) / SAMPLE_RATE) * 0.3
    assert speech_segments(tone.astype(np.float32), ignore) == []


def test_speech_segments_find_a_sentence_at_its_time() -> None:
    spoken = say(SENTENCE)
    spans = speech_segments(np.concatenate([silence(2), spoken, silence(3)]), ignore)
    assert spans
    assert spans[0].start == pytest.approx(2.0, abs=0.25)
    assert spans[-1].end == pytest.approx(2.0 + len(spoken) / SAMPLE_RATE, abs=0.4)
    assert spoken_seconds(spans) > 0.8 * len(spoken) / SAMPLE_RATE


@pytest.mark.parametrize("before", [noise(40), melody(40), silence(40)], ids=["noise", "melody", "silence"])
def test_speech_segments_after_a_long_other_sound_are_found(before: Sound) -> None:
    spoken = say(SENTENCE)
    spans = speech_segments(np.concatenate([before, spoken]), ignore)
    assert all(span.start > 39.5 for span in spans)
    assert spoken_seconds(spans) > 0.8 * len(spoken) / SAMPLE_RATE


@pytest.mark.parametrize("word", ["Yes.", "No!", "Why?"])
def test_speech_segments_of_a_single_word_are_one(word: str) -> None:
    spans = speech_segments(np.concatenate([silence(1), say(word), silence(1)]), ignore)
    assert len(spans) == 1
    assert spans[0].start <= 1.3 < spans[0].end


def test_speech_segments_are_equal_for_int16_float32_and_memory_map(tmp_path: Path) -> None:
    sound = np.concatenate([silence(0.7), say(SENTENCE), noise(4)])
    sound.tofile(tmp_path / "sound.s16")
    mapped = np.memmap(tmp_path / "sound.s16", np.int16, mode="r")
    expected = speech_segments(sound, ignore)
    assert expected
    assert speech_segments(as_float(sound), ignore) == expected
    assert speech_segments(mapped, ignore) == expected


def test_speech_probabilities_do_not_depend_on_earlier_blocks() -> None:
    sound = np.concatenate([say(SENTENCE), noise(5), say(SENTENCE)])
    before = melody(BLOCK_STEPS * STEP_SAMPLES / SAMPLE_RATE * 4)
    alone, after = speech_probabilities(sound, ignore), speech_probabilities(np.concatenate([before, sound]), ignore)
    np.testing.assert_array_equal(after[5 * BLOCK_STEPS :], alone[BLOCK_STEPS:])


def test_speech_probabilities_have_one_value_per_step_and_rest() -> None:
    for samples in (
        1,
        STEP_SAMPLES - 1,
        STEP_SAMPLES,
        STEP_SAMPLES + 1,
        BLOCK_STEPS * STEP_SAMPLES,
        BLOCK_STEPS * STEP_SAMPLES + 1,
    ):
        probabilities = speech_probabilities(noise(1)[:samples] if samples < 1000 else noise(4)[:samples], ignore)
        assert len(probabilities) == -(-samples // STEP_SAMPLES)
        assert np.all((probabilities >= 0) & (probabilities <= 1))


def test_speech_segments_of_a_cancelled_job_raise() -> None:
    def stop() -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        speech_segments(silence(5), stop)


def test_speech_probabilities_check_during_long_sound() -> None:
    checks: list[None] = []
    speech_probabilities(silence(300), lambda: checks.append(None))
    assert len(checks) >= 6


probabilities_N = arrays.arrays(np.float32, st.integers(0, 300), elements=st.floats(0, 1, width=32))


def test_segments_above_threshold_count_short_ones_near_speech() -> None:
    """Words between pauses, soft over a telephone, as in "ask … not"."""
    probabilities = np.zeros(400, np.float32)
    probabilities[50:90] = 0.8  # 1.6 to 2.9 s
    probabilities[110:115] = 0.6  # 0.6 s later
    probabilities[135:137] = 0.8  # a note
    probabilities[250:255] = 0.6  # far from all
    found = segments_above_threshold(probabilities, 400 * 0.032)
    assert [round(span.start, 1) for span in found] == [1.5, 3.4]
    assert segments_above_threshold(np.where(np.arange(400) < 100, 0, probabilities), 400 * 0.032) == []


@pytest.mark.parametrize("level", [0.002, 0.02, 0.7], ids=["-54 dBFS", "-34 dBFS", "loud"])
def test_speech_segments_find_quiet_speech(level: float) -> None:
    sound = np.concatenate([silence(1), say(SENTENCE), silence(1)]).astype(np.float32)
    quiet = (sound * (level / np.abs(sound).max()) * 32767).round().astype(np.int16)
    (loud,), (found,) = speech_segments(sound / 32768, ignore), speech_segments(quiet, ignore)
    assert (found.start, found.end) == pytest.approx((loud.start, loud.end), abs=0.15)


@pytest.mark.parametrize("sound", [noise(8, 0.002), melody(8) // 50], ids=["noise", "melody"])
def test_speech_segments_of_quiet_other_sounds_are_empty(sound: Sound) -> None:
    assert speech_segments(sound, ignore) == []


@given(probabilities_N, st.integers(0, STEP_SAMPLES - 1))
def test_segments_above_threshold_are_ordered_disjoint_and_inside(probabilities: np.ndarray, cut: int) -> None:
    duration = max(0.0, (len(probabilities) * STEP_SAMPLES - cut) / SAMPLE_RATE)
    spans = segments_above_threshold(probabilities, duration)
    edges = [edge for span in spans for edge in (span.start, span.end)]
    assert edges == sorted(edges)
    assert all(0 <= span.start < span.end <= duration for span in spans)


def test_segments_above_threshold_bridge_gaps_and_drop_blips() -> None:
    def steps(seconds: float, probability: float) -> list[float]:
        return [probability] * round(seconds * SAMPLE_RATE / STEP_SAMPLES)

    trace = steps(1, 0) + steps(1, 0.9) + steps(0.2, 0.1) + steps(1, 0.9) + steps(2, 0) + steps(0.1, 0.9) + steps(1, 0)
    weak = steps(1, 0.45)
    spans = segments_above_threshold(np.array(trace + weak, np.float32), 8.0)
    assert len(spans) == 1
    assert spans[0].start == pytest.approx(0.9, abs=0.05)
    assert spans[0].end == pytest.approx(3.3, abs=0.05)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=20, unique=True), st.floats(0, 3))
def test_pad_segments_contain_the_old_ones_without_overlap(edges: list[float], margin: float) -> None:
    ordered = sorted(edges)[: len(edges) // 2 * 2]
    spans = [TimeSpan(start, end) for start, end in zip(ordered[::2], ordered[1::2], strict=True)]
    wide = pad_segments(spans, margin, 100.0)
    assert all(new.start <= old.start and new.end >= old.end for new, old in zip(wide, spans, strict=True))
    assert all(left.end <= right.start for left, right in pairwise(wide))
    assert all(new.start >= 0 and new.end <= 100 for new in wide)
