"""Makes speech for the tests of every room: a synthetic voice that Silero takes for speech and Whisper understands."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.media import SAMPLE_RATE
from tests.media_files import ffmpeg

Sound = NDArray[np.int16]


@cache
def say(text: str, voice: str = "en-us") -> Sound:
    """espeak-ng speaking: 16 kHz mono int16 [samples]. Skips the test where espeak-ng is not installed."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("needs espeak-ng (`make test` installs it)")
    wave = subprocess.run(["espeak-ng", "-v", voice, "-s", "150", "--stdout", text], capture_output=True, check=True)
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", "-", "-ac", "1", "-ar", str(SAMPLE_RATE), "-f", "s16le", "-"]
    spoken = np.frombuffer(subprocess.run(command, input=wave.stdout, capture_output=True, check=True).stdout, np.int16)
    assert len(spoken) > SAMPLE_RATE / 4
    return spoken


def silence(seconds: float) -> Sound:
    return np.zeros(round(seconds * SAMPLE_RATE), np.int16)


def noise(seconds: float, level: float = 0.1, seed: int = 0) -> Sound:
    """White noise."""
    values = np.random.default_rng(seed).normal(0, level * 32767, round(seconds * SAMPLE_RATE))
    return np.clip(values, -32768, 32767).astype(np.int16)


def melody(seconds: float, seed: int = 0) -> Sound:
    """Plucked notes with overtones, four a second."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitches = 220 * 2 ** (np.random.default_rng(seed).integers(0, 24, size=int(seconds * 4) + 1) / 12)
    since = time % 0.25
    phase = 2 * np.pi * pitches[(time / 0.25).astype(int)] * since
    wave = sum(np.sin(overtone * phase) / overtone for overtone in (1, 2, 3, 4)) * np.exp(-6 * since)
    return (wave / np.abs(wave).max() * 0.4 * 32767).astype(np.int16)


def ignore(_: float = 0.0) -> None:
    """A `check` or a `progress` that nobody watches."""


def make_sound(path: Path, sound: Sound, rate: int = SAMPLE_RATE, channels: int = 1, codec: str = "pcm_s16le") -> Path:
    """A file of `sound` (16 kHz mono), as another rate and as many like channels."""
    source = ["-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "1", "-i", "pipe:0"]
    ffmpeg(*source, "-ar", str(rate), "-ac", str(channels), "-c:a", codec, path, data=sound.tobytes())
    return path
