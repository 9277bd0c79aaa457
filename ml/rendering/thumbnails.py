"""Small pictures: each person's face at its largest, and the frames of the moments."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml.results import Box, FaceFrame, Moment, Result

FACE_SIDE = 192
FRAME_SIDE = 320
MOST_FACES = 16
MOST_MOMENTS = 12
_AROUND = 1.6
"""Side of the square that is cut out, in sides of the box."""


@dataclass(frozen=True)
class Sighting:
    """A face of one track in one frame."""

    track: int
    frame: FaceFrame


def best_sightings(result: Result) -> list[Sighting]:
    """For each track the sighting with the largest sure face; the longest tracks, in order of their numbers."""

    def goodness(frame: FaceFrame) -> float:
        return frame.score * frame.box.width * frame.box.height

    tracks = sorted(result.faces, key=lambda track: (-len(track.frames), track.track))[:MOST_FACES]
    found = (Sighting(track.track, max(track.frames, key=goodness)) for track in tracks)
    return sorted(found, key=lambda sighting: sighting.track)


def strongest_moments(moments: Sequence[Moment], most: int = MOST_MOMENTS) -> list[Moment]:
    """In order of time."""
    return sorted(sorted(moments, key=lambda moment: -moment.score)[:most], key=lambda moment: moment.time)


def face_picture(image_HWC: NDArray[np.uint8], box: Box, scale: float) -> Image.Image:
    """A square around a face. `scale`: original pixels for one pixel of the image; black beyond its edge."""
    side = max(box.width, box.height) * _AROUND / scale
    left = (box.x + box.width / 2) / scale - side / 2
    top = (box.y + box.height / 2) / scale - side / 2
    square = (round(left), round(top), round(left + side), round(top + side))
    return Image.fromarray(image_HWC).crop(square).resize((FACE_SIDE, FACE_SIDE), Image.Resampling.BICUBIC)


def frame_picture(image_HWC: NDArray[np.uint8]) -> Image.Image:
    """The whole frame, its longer side at most `FRAME_SIDE`."""
    image = Image.fromarray(image_HWC)
    image.thumbnail((FRAME_SIDE, FRAME_SIDE))
    return image


def sampled_before(time: float, frame_rate: float, duration: float) -> float:
    """The time of the frame that was sampled last before, within the media."""
    return max(0.0, int(min(time, duration - 1e-3) * frame_rate + 1e-6) / frame_rate)
