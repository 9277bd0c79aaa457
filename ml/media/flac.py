"""Lossless storage of decoded audio, in about half the space. The files are our own, so no child process reads them."""

from pathlib import Path

import av
import numpy as np

from ml.errors import MediaInvalid
from ml.media.ffmpeg import MAX_CHANNELS, SAMPLE_RATE
from ml.media.sandbox import CancelCheck, never_cancelled

_LAYOUTS = ("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "6.1", "7.1")
"""Layout by number of channels: FLAC has no others. The layout's meaning is not used."""
_MAGIC = b"fLaC"
_DAMAGED = "The stored audio is damaged."
_BLOCK = 1 << 16
"""Samples per channel held in memory at a time."""


def pack(pcm: Path, channels: int, flac: Path, check: CancelCheck = never_cancelled) -> None:
    """Write s16le at 16 kHz, `channels` (1 to 8) interleaved, as FLAC. Raises whatever `check` raises."""
    assert 1 <= channels <= MAX_CHANNELS
    layout = _LAYOUTS[channels - 1]
    with pcm.open("rb") as source, av.open(str(flac), "w", format="flac") as target:
        stream = target.add_stream("flac", rate=SAMPLE_RATE, layout=layout)
        stream.codec_context.format = "s16"
        while block := source.read(_BLOCK * channels * 2):
            check()
            samples = np.frombuffer(block[: len(block) // (channels * 2) * channels * 2], np.int16)
            frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", layout)
            frame.sample_rate = SAMPLE_RATE
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))


def unpack(flac: Path, pcm: Path, check: CancelCheck = never_cancelled) -> None:
    """Write the packed samples, unchanged, as s16le.

    Raises MediaInvalid if the file is damaged, and whatever `check` raises.
    """
    with flac.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise MediaInvalid(_DAMAGED)
    try:
        with av.open(str(flac), format="flac") as source, pcm.open("wb") as target:
            declared, decoded = source.streams.audio[0].duration or 0, 0
            for number, frame in enumerate(source.decode(audio=0)):
                if number % 256 == 0:
                    check()
                target.write(frame.to_ndarray().tobytes())
                decoded += frame.samples
    except (av.FFmpegError, IndexError) as error:
        raise MediaInvalid(_DAMAGED) from error
    if decoded != declared:
        raise MediaInvalid(_DAMAGED)
