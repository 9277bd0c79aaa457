"""Decoding on a GPU, with a script in place of ffmpeg that imitates `-hwaccel cuda` and passes everything else on."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.errors import Cancelled
from ml.media import Decoder, DecodeRequest, MediaLimits, probe
from tests.media_files import make_video

SOFTWARE = MediaLimits()
CUDA = replace(SOFTWARE, video_decoder="cuda")
KNOWS_IT = "true"
HAS_NO_DRIVER = "echo '[AVHWDeviceContext] Cannot load libcuda.so.1' >&2; exit 1"
FALLS_BACK = "echo '[h264] Failed setup for format cuda: hwaccel initialisation returned error.' >&2"
IS_KILLED = "kill -KILL $$"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("film") / "film.mp4", seconds=32, fps=5)


class StandIn:
    """An `ffmpeg` before the real one on the path, which runs `script` if a GPU is requested. It logs its calls."""

    def __init__(self, folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._log = folder / "calls"
        self._log.touch()
        folder.joinpath("ffmpeg").write_text(
            "#!/bin/bash\n"
            f'echo "$*" >> {self._log}\n'
            "words=(); while (($#)); do\n"
            f'if [ "$1" = -hwaccel ]; then shift 2; {script}; else words+=("$1"); shift; fi\n'
            "done\n"
            f'exec {shutil.which("ffmpeg")} "${{words[@]}}"\n'
        )
        folder.joinpath("ffmpeg").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=":")

    @property
    def accelerated(self) -> list[bool]:
        """Whether each call asked for a GPU."""
        return ["-hwaccel cuda" in call and "-threads 1" in call for call in self._log.read_text().splitlines()]


def decoded(
    path: Path, scratch: Path, limits: MediaLimits, *, start: float = 0.0, frame_rate: float | None = 2.0
) -> tuple[list[int], bytes, bytes, bool]:
    """Indices and pixels of the frames, the sound, whether damaged."""
    info = probe(path, limits)
    request = DecodeRequest(frame_rate, audio=True, start=start)
    with Decoder(path, info, request, limits=limits, scratch=scratch) as decoder:
        frames = list(decoder.frames())
        pixels = np.array([frame.image for frame in frames]).tobytes()
        return [frame.index for frame in frames], pixels, decoder.pcm().tobytes(), decoder.damaged


def test_can_decode_supported_video_is_decoded_on_gpu(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = decoded(film, tmp_path, SOFTWARE)
    gpu = StandIn(tmp_path, KNOWS_IT, monkeypatch)
    assert decoded(film, tmp_path, CUDA) == wanted
    assert gpu.accelerated == [True, True]
    assert wanted[0] == list(range(64)) and not wanted[-1]


@pytest.mark.parametrize("script", [HAS_NO_DRIVER, FALLS_BACK, IS_KILLED])
def test_can_decode_unsupported_video_is_decoded_in_software(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    wanted = decoded(film, tmp_path, SOFTWARE)
    gpu = StandIn(tmp_path, script, monkeypatch)
    assert decoded(film, tmp_path, CUDA) == wanted
    assert gpu.accelerated == [True, False]


def test_can_decode_short_video_and_audio_skip_trial(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = StandIn(tmp_path, KNOWS_IT, monkeypatch)
    decoded(film, tmp_path, CUDA, start=4.0)
    decoded(film, tmp_path, CUDA, frame_rate=None)
    decoded(film, tmp_path, SOFTWARE)
    assert gpu.accelerated == [False, False, False]


def test_can_decode_cancelled_stops_trial(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    StandIn(tmp_path, "sleep 60", monkeypatch)

    def check() -> None:
        raise Cancelled("not wanted any more")

    request = DecodeRequest(2.0, audio=True)
    decoder = Decoder(film, probe(film, CUDA), request, limits=CUDA, scratch=tmp_path, check=check)
    with pytest.raises(Cancelled) as caught, decoder:
        pass
    assert caught.value.stage == "decode"
    assert not list(tmp_path.glob("decode-*"))


def test_can_decode_slow_trial_falls_back(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info, impatient = probe(film, CUDA), replace(CUDA, probe_seconds=0.1)
    gpu = StandIn(tmp_path, "sleep 60", monkeypatch)
    with Decoder(film, info, DecodeRequest(2.0, audio=False), limits=impatient, scratch=tmp_path) as decoder:
        assert len(list(decoder.frames())) == 64 and not decoder.damaged
    assert gpu.accelerated == [True, False]
