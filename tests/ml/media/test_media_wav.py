import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.media.wav import has_stale_length
from tests.media_files import make_audio


def with_length(path: Path, length: int) -> Path:
    content = path.read_bytes()
    start = content.index(b"data") + 4
    path.write_bytes(content[:start] + struct.pack("<I", length) + content[start + 4 :])
    return path


@pytest.mark.parametrize(
    ("length", "stale"), [(32_000, True), (96_000, False), (95_000, False), (10**9, False), (0, False)]
)
def test_has_stale_length(tmp_path: Path, length: int, stale: bool) -> None:
    path = make_audio(tmp_path / "a.wav", seconds=3.0, rate=16_000)
    assert has_stale_length(with_length(path, length)) is stale


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=300))
def test_has_stale_length_any_bytes_give_an_answer(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any.wav"
    path.write_bytes(b"RIFF\0\0\0\0WAVE" + data)
    assert has_stale_length(path) in (True, False)
