"""Limits on hostile media, and the errors for exceeding them."""

from dataclasses import dataclass
from typing import Literal

from ml.errors import FrameTooLarge, MediaTooLong


@dataclass(frozen=True)
class MediaLimits:
    """Bounds on media and on the child processes that read it. The worker's settings fill it in."""

    max_seconds: float = 4 * 3600.0
    """Maximum seconds of media, as declared and as decoded."""
    max_pixels: int = 33_177_600
    """Maximum pixels of an image or frame (7680×4320)."""
    max_bytes: int = 2 * 2**30
    """Maximum bytes of a file."""
    max_channels: int = 8
    """Maximum number of audio channels that are kept separate (`channels="separate"`); eight at most."""
    probe_seconds: float = 30.0
    """Seconds to wait for ffprobe, or for the decoding of one image."""
    measure_seconds: float = 120.0
    """Seconds to wait for ffprobe if it has to read a whole file because its header states no duration."""
    decode_grace_seconds: float = 60.0
    """Seconds to wait for a decoder before its pace counts."""
    decode_pace: float = 0.05
    """Minimum seconds of media decoded per second of waiting. Time that the decoder waits for its caller is free."""
    child_memory: int = 4 * 2**30
    """Bytes of address space of a child process; for one that decodes on a GPU, bytes of its data."""
    child_cpu_seconds: int = 12 * 3600
    """Seconds of CPU time of a child process: the outermost bound."""
    decoder_threads: int = 2
    """Number of decoder threads: more of them decode one file faster and need more memory."""
    video_decoder: Literal["software", "cuda"] = "software"
    """`cuda`: an NVIDIA GPU decodes long videos if it can (`ml.media.hwaccel`)."""


def too_long(limits: MediaLimits) -> MediaTooLong:
    return MediaTooLong(f"The file is longer than the {limits.max_seconds:g} seconds allowed.")


def too_many_pixels(limits: MediaLimits) -> FrameTooLarge:
    return FrameTooLarge(f"The image or video frame has more than the {limits.max_pixels} pixels allowed.")
