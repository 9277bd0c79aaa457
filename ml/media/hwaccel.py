"""Test whether an NVIDIA GPU can decode a video, by decoding its beginning.

ffmpeg decodes what a GPU does not support (codec, profile or size) in software, and reports that the same way as
damaged media. A trial keeps the two apart: unless it succeeds without a message, the file is decoded in software from
the start.
"""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from ml.errors import ProcessingTimeout
from ml.media.ffmpeg import DecodePlan, decode_command
from ml.media.limits import MediaLimits
from ml.media.probe import MediaInfo
from ml.media.sandbox import CancelCheck, ResourceLimits, SandboxedProcess

MIN_SECONDS = 30.0
"""Minimum seconds of video worth a trial: a shorter one is decoded sooner than the driver has started."""
_TRIAL_SECONDS = 1.0
_FILE_BYTES = 2**20
"""Bytes that a driver may write; the real decoding may write as much for half a minute of audio."""


def can_decode(
    path: Path, info: MediaInfo, plan: DecodePlan, limits: MediaLimits, cwd: Path, check: CancelCheck
) -> bool:
    """Return whether a GPU decodes the first frames without any message. Raises whatever `check` raises."""
    trial = replace(plan, frame_rate=Fraction(1), sounds="none", start=0.0, end=_TRIAL_SECONDS, use_gpu=True)
    with SandboxedProcess(
        decode_command(path, info, trial, audio_fd=-1, limits=limits),
        cwd=cwd,
        resources=ResourceLimits(limits.child_memory, limits.child_cpu_seconds, _FILE_BYTES, with_gpu=True),
        check=check,
        wait_limit=lambda: limits.probe_seconds,
    ) as child:
        try:
            return child.wait() == 0 and not child.errors.strip()
        except ProcessingTimeout:
            return False
