"""How much of a hostile file we are ready to read."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MediaLimits:
    """Bounds on media and on the child processes that read it. Settings of the rooms above fill it in."""

    max_seconds: float = 4 * 3600.0
    """Longest media, as declared and as decoded."""
    max_pixels: int = 33_177_600
    """Largest picture or frame (7680×4320)."""
    max_bytes: int = 2 * 2**30
    """Largest file."""
    max_channels: int = 8
    """Most audio channels that are kept apart (`channels="separate"`); eight at most."""
    probe_seconds: float = 30.0
    """How long ffprobe, or ffmpeg with one picture, may keep us waiting."""
    measure_seconds: float = 120.0
    """How long ffprobe may keep us waiting where it reads a whole file, because its header tells no duration."""
    decode_grace_seconds: float = 60.0
    """How long a decoder may keep us waiting before its pace counts."""
    decode_pace: float = 0.05
    """Slowest decoding, in seconds of media per second that we wait. Time in which the decoder waits for us is free."""
    child_memory: int = 4 * 2**30
    """Address space of a child process, bytes; of one that decodes on a GPU, the data in it."""
    child_cpu_seconds: int = 12 * 3600
    """CPU time of a child process: the outermost bound."""
    decoder_threads: int = 2
    """Threads of the decoder: more of them make one file faster and need more memory."""
    video_decoder: Literal["software", "cuda"] = "software"
    """`cuda`: long videos are decoded by an NVIDIA GPU where it can (`ml.media.hwaccel`)."""
