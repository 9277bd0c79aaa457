"""Bytes → arrays, with limits: what a file is, its pictures and its sound. Everything here treats the file as hostile.

`probe` says what a file is by its content. `Decoder` streams the frames and the sound of audio and video; `load_image`
reads a picture. ffmpeg and ffprobe only ever run as bounded child processes (`ml.media.sandbox`).
"""

from ml.media.decoder import Decoder, Frame
from ml.media.extent import Reach
from ml.media.ffmpeg import SAMPLE_RATE
from ml.media.image import Picture, load_image
from ml.media.limits import MediaLimits
from ml.media.pcm import Pcm
from ml.media.probe import MediaInfo, probe

__all__ = [
    "SAMPLE_RATE",
    "Decoder",
    "Frame",
    "MediaInfo",
    "MediaLimits",
    "Pcm",
    "Picture",
    "Reach",
    "load_image",
    "probe",
]
