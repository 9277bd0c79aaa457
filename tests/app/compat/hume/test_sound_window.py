"""The window of a stream over pieces of sound."""

import io
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.compat.hume.sound_window import SoundWindow

RATE = 1000


def wav(samples: bytes, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 1, rate, 0, "NONE", ""))
        writer.writeframes(samples)
    return file.getvalue()


def samples_of(payload: bytes) -> bytes:
    with wave.open(io.BytesIO(payload)) as reader:
        return reader.readframes(reader.getnframes())


def test_window_prepends_as_much_as_fits() -> None:
    window = SoundWindow()
    assert window.extend(wav(b"a" * 500), 600) == (wav(b"a" * 500), 0.0)
    joined, seconds = window.extend(wav(b"b" * 500), 600)
    assert (samples_of(joined), seconds) == (b"a" * 100 + b"b" * 500, pytest.approx(0.1))
    joined, seconds = window.extend(wav(b"c" * 100), 600)
    assert samples_of(joined) == b"b" * 500 + b"c" * 100


def test_window_is_forgotten_at_a_reset_another_format_and_other_media() -> None:
    window = SoundWindow()
    for between in (window.reset, lambda: window.extend(wav(b"x" * 9, 800), 600), lambda: window.extend(b"ID3", 600)):
        window.extend(wav(b"a" * 500), 600)
        between()
        assert window.extend(wav(b"b" * 100), 600)[1] == 0.0


def test_payload_longer_than_the_window_is_whole() -> None:
    window = SoundWindow()
    window.extend(wav(b"a" * 100), 50)
    assert window.extend(wav(b"b" * 100), 50) == (wav(b"b" * 100), 0.0)


@given(st.binary(max_size=80), st.integers(0, 44))
def test_damaged_sound_is_passed_on_as_it_is(noise: bytes, place: int) -> None:
    data = bytearray(wav(b"a" * 20))
    data[place : place + len(noise)] = noise
    window = SoundWindow()
    assert window.extend(bytes(data), 1000) == (bytes(data), 0.0)
