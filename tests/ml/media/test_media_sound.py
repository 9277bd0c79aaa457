import os
import signal
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.errors import Cancelled
from ml.media import SAMPLE_RATE, DecodedExtent, Decoder, DecodeRequest, MediaInfo, MediaLimits, probe
from ml.media.sound import SoundDecoder
from tests.media_files import ffmpeg, make_audio, make_tracks, tag, tone_frequency

LIMITS = MediaLimits()


class Heard:
    """Everything that came out of one track."""

    def __init__(self, path: Path, scratch: Path, info: MediaInfo | None = None, **part: float) -> None:
        with SoundDecoder(path, info or probe(path, LIMITS), limits=LIMITS, scratch=scratch, **part) as decoder:
            blocks = list(decoder.blocks())
            self.extent: DecodedExtent = decoder.extent
        self.mix = np.concatenate([block.mix_N for block in blocks])
        self.channels = np.concatenate([block.channels_NC for block in blocks])
        assert not any(scratch.glob("decode-*"))


def mixed(path: Path, scratch: Path) -> NDArray[np.int16]:
    with Decoder(path, probe(path, LIMITS), DecodeRequest(None, audio=True), limits=LIMITS, scratch=scratch) as decoder:
        return np.array(decoder.pcm())


@pytest.mark.parametrize("name", ["call.wav", "call.flac", "call.m4a"])
@pytest.mark.parametrize("channels", [1, 2, 4, 8])
def test_sound_decoder_gives_mix_and_each_channel(tmp_path: Path, name: str, channels: int) -> None:
    path = make_audio(tmp_path / name, 0.5, frequency=300, channels=channels, rate=48_000)
    heard = Heard(path, tmp_path)
    assert heard.channels.shape == (len(heard.mix), channels)
    tones = [round(tone_frequency(heard.channels[:, number])) for number in range(min(channels, 2))]
    assert tones == pytest.approx([300, 600][:channels], abs=3)
    usual = mixed(path, tmp_path)
    assert len(usual) == len(heard.mix) and np.abs(usual.astype(int) - heard.mix).max() <= 2
    assert heard.extent.sound == pytest.approx(0.5, abs=0.1) and not heard.extent.damaged


def test_sound_decoder_more_channels_than_layouts_are_one(tmp_path: Path) -> None:
    heard = Heard(make_audio(tmp_path / "many.wav", 0.5, channels=12), tmp_path)
    assert heard.channels.shape == (SAMPLE_RATE // 2, 1)


def test_sound_decoder_reads_a_part_and_another_track(tmp_path: Path) -> None:
    path = make_tracks(tmp_path / "two.mkv", (300, 700), seconds=3.0)
    info = probe(path, LIMITS)
    assert tone_frequency(Heard(path, tmp_path, info).mix) == pytest.approx(300, abs=3)
    heard = Heard(path, tmp_path, info.with_track(1), start=1.0, end=2.0)
    assert len(heard.mix) == SAMPLE_RATE and tone_frequency(heard.mix) == pytest.approx(700, abs=3)


def test_sound_decoder_stereo_out_of_phase_is_not_silent(tmp_path: Path) -> None:
    path = tmp_path / "turned.flac"
    loud, soft = "0.5*sin(2*PI*440*t)*lt(t\\,2)", "0.3*sin(2*PI*440*t)*gte(t\\,2)"
    ffmpeg("-f", "lavfi", "-i", f"aevalsrc={loud}+{soft}|-1*{loud}+{soft}:d=4:s=16000", path)
    heard = Heard(path, tmp_path)
    first, second = heard.mix[: SAMPLE_RATE * 2], heard.mix[SAMPLE_RATE * 2 :]
    assert np.abs(mixed(path, tmp_path)[: SAMPLE_RATE * 2]).max() < 10
    assert np.abs(first).max() == pytest.approx(0.5 * 32768, rel=0.02)
    assert np.abs(second).max() == pytest.approx(0.3 * 32768, rel=0.02)


@pytest.mark.parametrize("tags", [b"", tag("id3v1") + tag("id3")])
def test_sound_decoder_joined_mp3_of_several_rates_has_its_samples(tmp_path: Path, tags: bytes) -> None:
    rates = (44_100, 48_000, 22_050)
    pieces = [make_audio(tmp_path / f"{rate}.mp3", 3.0, 220 * (n + 1), rate) for n, rate in enumerate(rates)]
    path = tmp_path / "joined.mp3"
    path.write_bytes(tags.join(piece.read_bytes() for piece in pieces))
    heard = Heard(path, tmp_path)
    assert len(heard.mix) / SAMPLE_RATE == pytest.approx(9.0, abs=0.3) and not heard.extent.damaged
    for number in range(3):
        middle = round((3 * number + 1) * SAMPLE_RATE)
        assert round(tone_frequency(heard.mix[middle : middle + SAMPLE_RATE])) == pytest.approx(
            220 * (number + 1), abs=3
        )


def test_sound_decoder_joined_adts_of_several_rates_and_channels_has_its_samples(tmp_path: Path) -> None:
    pieces = [make_audio(tmp_path / f"{rate}.aac", 3.0, 440, rate, n) for rate, n in ((44_100, 2), (48_000, 1))]
    path = tmp_path / "joined.aac"
    path.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    heard = Heard(path, tmp_path)
    assert len(heard.mix) / SAMPLE_RATE == pytest.approx(6.05, abs=0.15) and not heard.extent.damaged
    assert heard.channels.shape == (len(heard.mix), 2)


def test_sound_decoder_mp3_with_a_hole_is_damaged(tmp_path: Path) -> None:
    path = make_audio(tmp_path / "a.mp3", 4.0)
    content = bytearray(path.read_bytes())
    content[20_000:26_000] = bytes(6000)
    path.write_bytes(content)
    assert Heard(path, tmp_path).extent.damaged


def test_sound_decoder_cancelled_stops(tmp_path: Path) -> None:
    path = make_audio(tmp_path / "a.wav", 2.0)
    info = probe(path, LIMITS)

    def check() -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled), SoundDecoder(path, info, limits=LIMITS, scratch=tmp_path, check=check) as decoder:
        os.kill(decoder._child.pid, signal.SIGSTOP)  # it works for ever
        list(decoder.blocks())
    assert not list(tmp_path.glob("decode-*"))
