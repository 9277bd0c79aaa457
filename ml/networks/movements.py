"""Face movements from the points of a mesh and the look of the eyes."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml.movements import MOVEMENTS, mirrored
from ml.networks.crops import LANDMARKS, LEFT_EYE, RIGHT_EYE, points_in_crop
from ml.networks.registry import register

GAZE = 2
"""Values of a gaze: radians to the person's left and up, seen from the camera, the face level."""
EYE_HEIGHT, EYE_WIDTH = 20, 32
"""Pixels of the picture of an eye."""
_EYE_SCALE = 1.6
"""Width of the picture of an eye, in widths of the eye."""
_MIRRORED = [MOVEMENTS.index(mirrored(name)) for name in MOVEMENTS]


@dataclass(frozen=True)
class MovementConfig:
    """Sizes of a MovementNet. `rigid`: mesh points that expressions hardly move, from which the head pose is found."""

    hidden: int = 192
    eye: int = 24
    rigid: tuple[int, ...] = ()


class MovementNet(nn.Module):
    """Normalised points [N, 468, 3] and eyes [N, 2, 20, 32] in 0..1 → movements [N, 52] and gaze [N, 2].

    The eyes are the person's right one, then the left one mirrored. What the mirror image of a face shows is the mirror
    image of what the face shows: it is read too, and averaged. The weights include `twins_P`, the mesh point that each
    one becomes in a mirror, `scale_PD`, mean and spread of the points, and `reference_RD`, where the rigid points of a
    face are that looks straight ahead.
    """

    mirrored_M: Tensor
    twins_P: Tensor
    scale_2PD: Tensor
    reference_RD: Tensor

    def __init__(self, config: MovementConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("twins_P", torch.arange(LANDMARKS))
        self.register_buffer("scale_2PD", torch.stack([torch.zeros(LANDMARKS, 3), torch.ones(LANDMARKS, 3)]))
        self.register_buffer("reference_RD", torch.zeros(len(config.rigid), 3))
        self.register_buffer("mirrored_M", torch.tensor(_MIRRORED), persistent=False)
        self.points = nn.Sequential(nn.Linear(3 * LANDMARKS, config.hidden), nn.GELU())
        self.eyes = nn.Sequential(
            nn.Conv2d(1, 12, 3, 2, 1), nn.GELU(), nn.Conv2d(12, 24, 3, 2, 1), nn.GELU(), nn.Flatten()
        )
        self.eye = nn.Sequential(nn.Linear(24 * 5 * 8, config.eye), nn.GELU())
        self.mix = nn.Sequential(nn.Linear(config.hidden + 2 * config.eye, config.hidden), nn.GELU())
        self.movements = nn.Linear(config.hidden, len(MOVEMENTS))
        self.gaze = nn.Linear(config.hidden, GAZE)

    def forward(self, points_NPD: Tensor, eyes_N2HW: Tensor) -> tuple[Tensor, Tensor]:
        movements_NM, gaze_NG = self._read(points_NPD, eyes_N2HW)
        sign = points_NPD.new_tensor([-1.0, 1.0, 1.0])
        other_NM, other_NG = self._read(points_NPD[:, self.twins_P] * sign, eyes_N2HW.flip(1))
        gaze_sign = points_NPD.new_tensor([-1.0, 1.0])
        mean_NM = (movements_NM + other_NM[:, self.mirrored_M]) / 2
        return mean_NM.sigmoid(), (gaze_NG + other_NG * gaze_sign) / 2

    def _read(self, points_NPD: Tensor, eyes_N2HW: Tensor) -> tuple[Tensor, Tensor]:
        mean_PD, spread_PD = self.scale_2PD
        points_NH = self.points(((points_NPD - mean_PD) / spread_PD).flatten(1))
        eyes_NE = self.eye(self.eyes(_standardized(eyes_N2HW).flatten(0, 1).unsqueeze(1))).unflatten(0, (-1, 2))
        mixed_NH = self.mix(torch.cat([points_NH, eyes_NE.flatten(1)], 1))
        return self.movements(mixed_NH), self.gaze(mixed_NH)


def _standardized(eyes_N2HW: Tensor) -> Tensor:
    """Return eyes of mean 0 and deviation 1: light and contrast say nothing of a movement."""
    centred = eyes_N2HW - eyes_N2HW.mean((2, 3), keepdim=True)
    return centred / centred.square().mean((2, 3), keepdim=True).sqrt().clamp_min(0.02)


def eye_pictures(crop_HW: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the eyes [2, 20, 32] of a face as the network takes them.

    `crop_HW`: the square that `align_crop` cuts; `landmarks`: mesh [468, 3] in pixels of the picture.
    """
    points = points_in_crop(landmarks, len(crop_HW))
    right, left = (_eye_picture(crop_HW, points[list(corners)]) for corners in (RIGHT_EYE, LEFT_EYE))
    return np.stack([right, left[:, ::-1]])


def _eye_picture(crop_HW: NDArray[np.uint8], corners: NDArray[np.float64]) -> NDArray[np.uint8]:
    width = max(float(np.hypot(*(corners[1] - corners[0]))) * _EYE_SCALE, 1.0)
    scale, (x, y) = EYE_WIDTH / width, corners.mean(0)
    matrix = np.array([[scale, 0, EYE_WIDTH / 2 - scale * x], [0, scale, EYE_HEIGHT / 2 - scale * y]])
    size, border = (EYE_WIDTH, EYE_HEIGHT), cv2.BORDER_REPLICATE
    return np.asarray(cv2.warpAffine(crop_HW, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border), np.uint8)


register("face_movements", MovementConfig, MovementNet)
