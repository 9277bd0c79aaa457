"""Bytes → arrays, under limits: properties of a file, its frames and its audio. Every file is treated as hostile.

`probe` determines what a file is from its content. `Decoder` streams the frames and audio of audio and video files;
`load_image` decodes an image. ffmpeg and ffprobe run only as child processes under limits (`ml.media.sandbox`).
"""

from ml.media.decoder import Decoder, DecodeRequest, Frame
from ml.media.extent import DecodedExtent
from ml.media.ffmpeg import SAMPLE_RATE
from ml.media.image import DecodedImage, load_image
from ml.media.limits import MediaLimits
from ml.media.pcm import PcmReader
from ml.media.probe import MediaInfo, probe

__all__ = [
    "SAMPLE_RATE",
    "DecodeRequest",
    "DecodedExtent",
    "DecodedImage",
    "Decoder",
    "Frame",
    "MediaInfo",
    "MediaLimits",
    "PcmReader",
    "load_image",
    "probe",
]
