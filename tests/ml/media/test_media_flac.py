"""Stored audio: the same samples come back, damage is detected, and memory does not grow with length."""

import resource
from pathlib import Path

import numpy as np
import pytest

from ml.errors import Cancelled, MediaInvalid
from ml.media import SAMPLE_RATE
from ml.media.flac import pack, unpack


def noise(samples: int, channels: int = 1, seed: int = 0) -> bytes:
    """Such as no predictor gets right, full scale at the begin."""
    values = np.random.default_rng(seed).integers(-3000, 3000, (samples, channels), np.int16)
    values[:1], values[1:2] = -32768, 32767
    return values.tobytes()


@pytest.mark.parametrize("channels", range(1, 9))
@pytest.mark.parametrize("samples", [0, 1, 4607, 200_001])
def test_flac_unpack_gives_same_samples(tmp_path: Path, channels: int, samples: int) -> None:
    pcm, flac = tmp_path / "a.pcm", tmp_path / "a.flac"
    pcm.write_bytes(noise(samples, channels))
    pack(pcm, channels, flac)
    unpack(flac, tmp_path / "b.pcm")
    assert (tmp_path / "b.pcm").read_bytes() == pcm.read_bytes()


def test_flac_pack_speech_is_smaller(tmp_path: Path) -> None:
    time = np.arange(10 * SAMPLE_RATE) / SAMPLE_RATE
    (tmp_path / "a.pcm").write_bytes((8000 * np.sin(2 * np.pi * 220 * time)).astype(np.int16).tobytes())
    pack(tmp_path / "a.pcm", 1, tmp_path / "a.flac")
    assert (tmp_path / "a.flac").stat().st_size < (tmp_path / "a.pcm").stat().st_size / 2


@pytest.mark.parametrize("harm", ["nothing", "text", "head", "half", "bits", "tail"])
def test_flac_unpack_damaged_file_raises(tmp_path: Path, harm: str) -> None:
    flac = tmp_path / "a.flac"
    (tmp_path / "a.pcm").write_bytes(noise(100_000))
    pack(tmp_path / "a.pcm", 1, flac)
    whole = flac.read_bytes()
    middle = len(whole) // 2
    flac.write_bytes(
        {
            "nothing": b"",
            "text": b"no FLAC at all" * 100,
            "head": whole[:100],
            "half": whole[:middle],
            "bits": whole[:middle] + bytes(500) + whole[middle + 500 :],
            "tail": whole[:-10],
        }[harm]
    )
    with pytest.raises(MediaInvalid):
        unpack(flac, tmp_path / "b.pcm")


def test_flac_cancelled_pack_and_unpack_stop(tmp_path: Path) -> None:
    def stop() -> None:
        raise Cancelled("stop")

    (tmp_path / "a.pcm").write_bytes(noise(1000))
    pack(tmp_path / "a.pcm", 1, tmp_path / "a.flac")
    for act in (
        lambda: pack(tmp_path / "a.pcm", 1, tmp_path / "b.flac", stop),
        lambda: unpack(tmp_path / "a.flac", tmp_path / "b.pcm", stop),
    ):
        with pytest.raises(Cancelled):
            act()


@pytest.mark.slow
def test_flac_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    def peak() -> int:
        """MiB."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    minute = noise(60 * SAMPLE_RATE)
    with (tmp_path / "a.pcm").open("wb") as file:
        for _ in range(60):
            file.write(minute)
    before = peak()
    pack(tmp_path / "a.pcm", 1, tmp_path / "a.flac")
    unpack(tmp_path / "a.flac", tmp_path / "b.pcm")
    assert (tmp_path / "b.pcm").stat().st_size == 60 * len(minute)
    assert peak() - before < 16
