"""Small images: each face and each person at their largest, and the frames of moments."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml.results import Box, FaceFrame, FaceTrack, Moment, Result

FACE_SIDE = 192
"""Pixels; side of a face's thumbnail."""
FRAME_SIDE = 320
"""Pixels; maximum longer side of a moment's thumbnail."""
MAX_FACES = 16
MAX_MOMENTS = 12
_CROP_SCALE = 1.6
"""Side of the square around a face, relative to the longer side of its box."""


@dataclass(frozen=True)
class FaceSighting:
    """A face of one track in one frame."""

    track: int
    frame: FaceFrame


def best_sightings_by_track(result: Result) -> list[FaceSighting]:
    """Return the sighting with the largest, surest face of each of the longest tracks, in order of track numbers."""
    tracks = sorted(result.faces, key=lambda track: (-len(track.frames), track.track))[:MAX_FACES]
    best = (FaceSighting(track.track, _best_frame(track)) for track in tracks)
    return sorted(best, key=lambda sighting: sighting.track)


def best_sightings_by_person(result: Result) -> dict[int, FaceSighting]:
    """Return the sighting with the largest, surest face of each person who is seen, by number; at most `MAX_FACES`."""
    tracks = {track.track: track for track in result.faces if track.frames}
    best: dict[int, FaceSighting] = {}
    for person in result.people:
        seen = [FaceSighting(number, _best_frame(tracks[number])) for number in person.tracks if number in tracks]
        if seen and len(best) < MAX_FACES:
            best[person.person] = max(seen, key=lambda sighting: _quality(sighting.frame))
    return best


def _best_frame(track: FaceTrack) -> FaceFrame:
    return max(track.frames, key=_quality)


def _quality(frame: FaceFrame) -> float:
    return frame.score * frame.box.width * frame.box.height


def strongest_moments(moments: Sequence[Moment], count: int = MAX_MOMENTS) -> list[Moment]:
    """Return the strongest moments, in order of time."""
    return sorted(sorted(moments, key=lambda moment: -moment.score)[:count], key=lambda moment: moment.time)


def crop_face(image_HWC: NDArray[np.uint8], box: Box, scale: float) -> Image.Image:
    """Return a square around a face, black beyond the edges. `scale`: original pixels per pixel of the image."""
    side = max(box.width, box.height) * _CROP_SCALE / scale
    left = (box.x + box.width / 2) / scale - side / 2
    top = (box.y + box.height / 2) / scale - side / 2
    square = (round(left), round(top), round(left + side), round(top + side))
    return Image.fromarray(image_HWC).crop(square).resize((FACE_SIDE, FACE_SIDE), Image.Resampling.BICUBIC)


def shrink_frame(image_HWC: NDArray[np.uint8]) -> Image.Image:
    """Return the whole frame, its longer side at most `FRAME_SIDE`."""
    image = Image.fromarray(image_HWC)
    image.thumbnail((FRAME_SIDE, FRAME_SIDE))
    return image


def sampled_time_before(time: float, frame_rate: float, duration: float) -> float:
    """Return the time of the last frame sampled at or before `time`, within the media."""
    return max(0.0, int(min(time, duration - 1e-3) * frame_rate + 1e-6) / frame_rate)
