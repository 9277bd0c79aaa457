"""Decoded sound that is kept: lossless, in about half of the room. Of our own making, so that no child reads it."""

from pathlib import Path

import av
import numpy as np

from ml.errors import MediaInvalid
from ml.media.ffmpeg import MOST_CHANNELS, SAMPLE_RATE
from ml.media.sandbox import Check, unchecked

_LAYOUTS = ("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "6.1", "7.1")
"""By how many channels there are: FLAC knows no others, and no meaning of ours."""
_MAGIC = b"fLaC"
_DAMAGED = "The sound that was kept cannot be read."
_BLOCK = 1 << 16
"""Samples of a channel that are held at once."""


def pack(pcm: Path, channels: int, flac: Path, check: Check = unchecked) -> None:
    """Writes s16le at 16 kHz, `channels` (1 to 8) interleaved, as FLAC. Raises what `check` raises."""
    assert 1 <= channels <= MOST_CHANNELS
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


def unpack(flac: Path, pcm: Path, check: Check = unchecked) -> None:
    """The very samples that were packed, as s16le. Raises MediaInvalid for a file that is damaged, and what `check`
    raises."""
    with flac.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise MediaInvalid(_DAMAGED)
    try:
        with av.open(str(flac), format="flac") as source, pcm.open("wb") as target:
            promised, found = source.streams.audio[0].duration or 0, 0
            for number, frame in enumerate(source.decode(audio=0)):
                if number % 256 == 0:
                    check()
                target.write(frame.to_ndarray().tobytes())
                found += frame.samples
    except (av.FFmpegError, IndexError) as error:
        raise MediaInvalid(_DAMAGED) from error
    if found != promised:
        raise MediaInvalid(_DAMAGED)
