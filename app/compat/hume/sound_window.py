"""Sliding window over the sound of a stream: what came shortly before is heard again with each payload."""

import io
import wave
from typing import NamedTuple


class _Format(NamedTuple):
    channels: int
    sample_bytes: int
    rate: int

    @property
    def frame_bytes(self) -> int:
        return self.channels * self.sample_bytes


class SoundWindow:
    """The sound before the current payload. Only uncompressed WAV of one format can be joined; anything else is left as
    it is, and ends the window."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what came before."""
        self._format: _Format | None = None
        self._before = b""

    def extend(self, payload: bytes, milliseconds: float) -> tuple[bytes, float]:
        """Return the payload with as much sound before it as fits the window, and how many seconds that is."""
        read = _read_wav(payload)
        if read is None:
            self.reset()
            return payload, 0.0
        format, frames = read
        before = self._before if format == self._format else b""
        size = int(milliseconds / 1000 * format.rate) * format.frame_bytes
        joined = (before + frames)[-max(size, len(frames)) :]
        self._format, self._before = format, joined[-size:] if size else b""
        seconds = (len(joined) - len(frames)) / format.frame_bytes / format.rate
        return (_write_wav(format, joined), seconds) if seconds else (payload, 0.0)


def _read_wav(payload: bytes) -> tuple[_Format, bytes] | None:
    """Return the format and the samples of uncompressed WAV; None for anything else."""
    try:
        with wave.open(io.BytesIO(payload)) as reader:
            format = _Format(reader.getnchannels(), reader.getsampwidth(), reader.getframerate())
            frames = reader.readframes(reader.getnframes())
    except (wave.Error, EOFError, RuntimeError):
        return None
    whole = len(frames) - len(frames) % format.frame_bytes if format.frame_bytes else 0
    return (format, frames[:whole]) if whole and format.rate else None


def _write_wav(format: _Format, frames: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((*format, 0, "NONE", ""))
        writer.writeframes(frames)
    return file.getvalue()
