"""Movements of a face, where it turns and looks, and how far eyes and mouth are open."""

import threading
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ml.inference.api import FloatArray
from ml.inference.face.predictor import FaceSample
from ml.inference.runtime.sessions import open_network_of
from ml.movements import MOVEMENTS, EyesOpen, Gaze, HeadPose, MovementValues
from ml.networks.crops import normalize_landmarks
from ml.networks.movements import MovementNet, eye_pictures
from ml.registry import ModelStore

VALUES = (*MOVEMENTS, "yaw", "pitch", "roll", "gaze_yaw", "gaze_pitch", "mouth_open")
"""Names of the values of a face, in the order of the columns of `movements_NV`; angles are degrees."""
INNER_LIPS, MOUTH_CORNERS = (13, 14), (78, 308)
"""Mesh points in the middle of the upper and lower lip, and at the corners of the mouth, on its inner edge."""
BATCH_SIZE = 64


class MovementPredictor:
    """Model of the movements: faces with a mesh → rows of VALUES. Threads may share it."""

    def __init__(self, network: MovementNet, device: torch.device) -> None:
        self.network, self.device = network.to(device).eval(), device
        self._reference_RD = network.reference_RD.cpu().double().numpy()
        self._lock = threading.Lock()

    @classmethod
    def load(cls, store: ModelStore, reference: str, device: torch.device) -> Self:
        """Return the published model. Raises ModelStoreError if it is missing, damaged or of another kind."""
        return cls(open_network_of(MovementNet, "face movements", store, reference), device)

    def read(self, samples: Sequence[FaceSample]) -> FloatArray:
        """Return VALUES of each face [N, V], NaN for a face without a mesh."""
        values_NV = np.full((len(samples), len(VALUES)), np.nan, np.float32)
        seen = [(row, sample) for row, sample in enumerate(samples) if sample.landmarks is not None]
        with self._lock:
            for first in range(0, len(seen), BATCH_SIZE):
                batch = seen[first : first + BATCH_SIZE]
                values_NV[[row for row, _ in batch]] = self._read([sample for _, sample in batch])
        return values_NV

    @torch.inference_mode()
    def mirrored_difference(self, samples: Sequence[FaceSample]) -> float:
        """Return the mean absolute difference between the movements of mirrored meshes and the mirrored movements."""
        meshes = [sample.landmarks for sample in samples if sample.landmarks is not None]
        points_NPD = torch.from_numpy(np.stack([normalize_landmarks(mesh) for mesh in meshes]))
        eyes = [eye_pictures(each.crop, mesh) for each, mesh in zip(samples, meshes, strict=True)]
        eyes_N2HW = torch.from_numpy(np.stack(eyes)).float() / 255
        network, sign = self.network, torch.tensor([-1.0, 1.0, 1.0])
        movements_NM, _ = network(points_NPD, eyes_N2HW)
        mirrored_NM, _ = network(points_NPD[:, network.twins_P] * sign, eyes_N2HW.flip(1))
        return float((movements_NM - mirrored_NM[:, network.mirrored_M]).abs().mean())

    @torch.inference_mode()
    def _read(self, samples: Sequence[FaceSample]) -> FloatArray:
        meshes = [sample.landmarks for sample in samples if sample.landmarks is not None]
        points_NPD = np.stack([normalize_landmarks(mesh) for mesh in meshes])
        eyes_N2HW = np.stack([eye_pictures(each.crop, mesh) for each, mesh in zip(samples, meshes, strict=True)])
        movements_NM, gaze_NG = self.network(
            torch.from_numpy(points_NPD).to(self.device), torch.from_numpy(eyes_N2HW).to(self.device).float() / 255
        )
        rigid = list(self.network.config.rigid)
        poses_N3 = np.array([head_pose(mesh[rigid], self._reference_RD) for mesh in meshes])
        gazes_N2 = [_turned(gaze, pose[2]) for gaze, pose in zip(gaze_NG.cpu().numpy(), poses_N3, strict=True)]
        openings_N1 = [[mouth_opening(points)] for points in points_NPD]
        return np.hstack([movements_NM.cpu().numpy(), poses_N3, gazes_N2, openings_N1]).astype(np.float32)


def head_pose(points_RD: NDArray[np.float32], reference_RD: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return yaw, pitch and roll in degrees of rigid mesh points, of which `reference_RD` look straight ahead.

    Yaw: the nose points to the person's left, the right of the picture; pitch: upwards; roll: the head leans clockwise
    as seen. The rotation between the two sets of points is the one of Kabsch (1976).
    """
    centred = points_RD.astype(np.float64) - points_RD.mean(0)
    left, _, right = np.linalg.svd((reference_RD - reference_RD.mean(0)).T @ centred)
    keeps_hand = np.diag([1, 1, np.sign(np.linalg.det(left @ right))])
    rotation = (left @ keeps_hand @ right).T  # of a column: reference → face
    nose, across = -rotation[:, 2], rotation[:, 0]
    yaw, pitch = np.arctan2(nose[0], -nose[2]), np.arcsin(np.clip(-nose[1], -1, 1))
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(np.arctan2(across[1], across[0])))


def mouth_opening(points_PD: NDArray[np.float32]) -> float:
    """Return the gap between the lips, in widths of the mouth."""
    gap, width = (float(np.linalg.norm(points_PD[b] - points_PD[a])) for a, b in (INNER_LIPS, MOUTH_CORNERS))
    return gap / max(width, 1e-6)


def _turned(gaze_G: FloatArray, roll: float) -> tuple[float, float]:
    """Return the degrees of a gaze that is given in radians for a face with its eyes level, in the picture's frame."""
    right, up = np.degrees(gaze_G.astype(np.float64))
    sine, cosine = np.sin(np.radians(roll)), np.cos(np.radians(roll))
    return float(right * cosine + up * sine), float(up * cosine - right * sine)


def frame_fields(values_V: FloatArray | None) -> dict[str, Any]:
    """Return the fields of a `FaceFrame` that a row of VALUES fills; none for a face without a mesh."""
    if values_V is None or np.isnan(values_V[0]):
        return {}
    known = dict(zip(VALUES, values_V.tolist(), strict=True))
    yaw, pitch, roll, gaze_yaw, gaze_pitch, mouth_open = (round(known[name], 2) for name in VALUES[len(MOVEMENTS) :])
    left, right = (round(1 - known[f"eye_blink_{side}"], 3) for side in ("left", "right"))
    return {
        "movements": MovementValues.from_values(round(known[name], 3) for name in MOVEMENTS),
        "pose": HeadPose(yaw=yaw, pitch=pitch, roll=roll),
        "gaze": Gaze(yaw=gaze_yaw, pitch=gaze_pitch),
        "eyes_open": EyesOpen(left=left, right=right),
        "mouth_open": mouth_open,
    }
