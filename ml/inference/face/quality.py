"""Quality of a face in a frame: what says how far its reading can be trusted.

Each face has one row of `QUALITIES`. A value that is unknown is NaN: pose and mouth of a face without a mesh.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Points = NDArray[np.float32]

QUALITIES: Final = ("size", "sharpness", "yaw", "pitch", "roll", "mouth", "score")
"""Columns of a quality array.

- `size`: geometric mean of the sides of the detector's box, in pixels of the original frame
- `sharpness`: share of the crop's contrast that is finer than about three pixels of it, as a ratio of deviations; about
  0.02 for a face enlarged from ten pixels or out of focus, 0.1 to 0.2 for a sharp one, more for a noisy one
- `yaw`, `pitch`, `roll`: pose in degrees, from the mesh; positive when the face turns to the right of the image, looks
  up, and leans clockwise in the image
- `mouth`: height of the gap between the lips, in heights of the face; 0 when closed
- `score`: confidence of the detector, 0 to 1
"""
SIZE, SHARPNESS, YAW, PITCH, ROLL, MOUTH, SCORE = range(len(QUALITIES))

_FOREHEAD, _CHIN, _RIGHT_CHEEK, _LEFT_CHEEK = 10, 152, 234, 454
_RIGHT_EYE, _LEFT_EYE = 33, 263
_UPPER_LIP, _LOWER_LIP = 13, 14
"""Mesh points; right and left as the person sees them. The lips are those of the inner edge."""
_COARSE_SIGMA = 1.0
"""Deviation (pixels of a crop of 96) of the blur that leaves the coarse contrast."""
_REFERENCE_SIDE = 96


def face_quality(
    crop_HW: Image,
    box: tuple[float, float, float, float],
    score: float,
    landmarks: Points | None = None,
    scale: float = 1.0,
) -> NDArray[np.float32]:
    """Return the qualities of a face.

    `crop_HW`: grey crop as the face network takes it; `box` (x, y, width, height) and `landmarks` [468, 3]: pixels of
    the frame that was searched; `scale`: original pixels per pixel of it.
    """
    values = np.full(len(QUALITIES), np.nan, np.float32)
    values[SIZE], values[SCORE] = scale * np.sqrt(max(box[2], 0.0) * max(box[3], 0.0)), score
    values[SHARPNESS] = sharpness(crop_HW)
    if landmarks is not None:
        values[YAW : ROLL + 1], values[MOUTH] = pose(landmarks), mouth_opening(landmarks)
    return values


def sharpness(crop_HW: Image) -> float:
    """Return the share of the contrast that is fine, as a ratio of standard deviations; 0 for a flat crop."""
    pixels = crop_HW.astype(np.float32)
    whole = float(pixels.std())
    if whole < 1:
        return 0.0
    coarse = cv2.GaussianBlur(pixels, (0, 0), _COARSE_SIGMA * max(crop_HW.shape) / _REFERENCE_SIDE)
    return float((pixels - coarse).std()) / whole


def pose(landmarks: Points) -> tuple[float, float, float]:
    """Return yaw, pitch and roll in degrees of a mesh [468, 3] in pixels, z growing away from the camera."""
    points = landmarks.astype(np.float64)
    across, down = points[_LEFT_CHEEK] - points[_RIGHT_CHEEK], points[_CHIN] - points[_FOREHEAD]
    eyes = points[_LEFT_EYE] - points[_RIGHT_EYE]
    yaw = np.arctan2(across[2], np.hypot(across[0], across[1]))
    pitch = np.arctan2(-down[2], np.hypot(down[0], down[1]))
    roll = np.arctan2(eyes[1], eyes[0])
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))


def mouth_opening(landmarks: Points) -> float:
    """Return the gap between the inner lips, in heights of the face, of a mesh [468, 3] in pixels."""
    points = landmarks.astype(np.float64)
    height = float(np.linalg.norm(points[_CHIN] - points[_FOREHEAD]))
    return float(np.linalg.norm(points[_LOWER_LIP] - points[_UPPER_LIP])) / max(height, 1e-6)
