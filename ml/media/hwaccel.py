"""Whether the video decoder of an NVIDIA GPU reads a file: tried on its beginning.

ffmpeg decodes what a GPU does not know (its codec, profile or size) in software and says so as it says that media are
damaged. A trial keeps the two apart; where it does not go smoothly, the file is decoded in software from the start.
"""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from ml.errors import ProcessingTimeout
from ml.media.ffmpeg import Plan, decode_command
from ml.media.limits import MediaLimits
from ml.media.probe import MediaInfo
from ml.media.sandbox import Allowance, Check, Child

LEAST_SECONDS = 30.0
"""Less video is decoded sooner than the driver is up."""
_TRIED_SECONDS = 1.0
_FILE_BYTES = 2**20
"""For a driver; the decoding proper may write as much for half a minute of sound."""


def decodes(path: Path, info: MediaInfo, plan: Plan, limits: MediaLimits, cwd: Path, check: Check) -> bool:
    """Whether a GPU decodes the first frames of a video without a word. Raises whatever `check` raises."""
    trial = replace(plan, frame_rate=Fraction(1), channels=0, start=0.0, end=_TRIED_SECONDS, accelerated=True)
    with Child(
        decode_command(path, info, trial, sound=-1, limits=limits),
        cwd=cwd,
        allowance=Allowance(limits.child_memory, limits.child_cpu_seconds, _FILE_BYTES, with_gpu=True),
        check=check,
        patience=lambda: limits.probe_seconds,
    ) as child:
        try:
            return child.wait() == 0 and not child.errors.strip()
        except ProcessingTimeout:
            return False
