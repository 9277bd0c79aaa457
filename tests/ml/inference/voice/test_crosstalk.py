import numpy as np
import pytest
from numpy.typing import NDArray

from ml.inference.api import TimeSpan
from ml.inference.voice.crosstalk import own_speech
from ml.inference.voice.vad import speech_segments
from tests.speech_files import Sound, ignore, say

TRAIN = "The train to the coast was late again this morning."
MUSEUM = "Nobody told us that the museum is closed on Mondays."


def padded(sound: Sound, seconds: float, late: float = 0.0) -> NDArray[np.float64]:
    before = round(late * 16_000)
    return np.pad(sound.astype(float), (before, round(seconds * 16_000)))[: round(seconds * 16_000)]


def room(sound: NDArray[np.float64], gain: float) -> NDArray[np.float64]:
    """The sound as another microphone of the same room has it: later, with an echo, and noise."""
    generator = np.random.default_rng(0)
    echo = generator.normal(0, 1, 3200) * np.exp(-np.arange(3200) / 700)
    echo[0] = 4
    heard = np.convolve(np.roll(sound, 80), echo / np.sqrt(np.square(echo).sum()))[: len(sound)]
    return gain * heard + generator.normal(0, 8, len(sound))


def own(*channels: NDArray[np.float64]) -> list[tuple[TimeSpan, ...]]:
    sounds = [np.clip(np.rint(channel), -32768, 32767).astype(np.int16) for channel in channels]
    return own_speech(sounds, [speech_segments(sound, ignore) for sound in sounds], ignore)


def seconds(spans: tuple[TimeSpan, ...], start: float = 0.0, end: float = 99.0) -> float:
    return sum(max(0.0, min(span.end, end) - max(span.start, start)) for span in spans)


@pytest.mark.parametrize("gain", [0.1, 0.4])
def test_own_speech_faint_copy_is_no_speech(gain: float) -> None:
    train = padded(say(TRAIN), 4)
    for copy in (gain * train, room(train, gain)):
        first, second = own(train, copy)
        assert seconds(first) > 2 and second == ()


def test_own_speech_speakers_in_turn_keep_their_own_stretch() -> None:
    train, museum = padded(say(TRAIN), 9), 0.5 * padded(say(MUSEUM), 9, late=5.0)
    first, second = own(train + room(museum, 0.2), museum + room(train, 0.2))
    assert seconds(first, 0, 4.5) > 2 and seconds(first, 5) == 0
    assert seconds(second, 5) > 2 and seconds(second, 0, 4.5) == 0


def test_own_speech_soft_speaker_at_the_same_time_is_kept() -> None:
    train, museum = padded(say(TRAIN), 4), padded(say(MUSEUM), 4)
    alone, together = own(0.15 * museum, np.zeros_like(train))[0], own(train, 0.15 * museum)[1]
    assert seconds(together) > 0.85 * seconds(alone) > 1


def test_own_speech_like_channels_are_both_kept() -> None:
    train = padded(say(TRAIN), 4)
    first, second = own(train, train)
    assert first == second and seconds(first) > 2


def test_own_speech_of_no_channel_is_empty() -> None:
    assert own_speech([], [], ignore) == []
