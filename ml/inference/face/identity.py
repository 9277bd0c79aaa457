"""Identity of faces: unit vectors, alike for the same person."""

import threading
from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ml.inference.api import FloatArray
from ml.inference.face.predictor import FaceSample
from ml.inference.runtime.sessions import open_network_of, open_session
from ml.networks.crops import Image
from ml.networks.face_identity import IDENTITY_SIZE, IdentityNet, chip_around, identity_chip
from ml.registry import ModelStore

BATCH_SIZE = 16


class IdentityReader(Protocol):
    """Turns faces into identities."""

    def embed(self, samples: Sequence[FaceSample]) -> FloatArray:
        """Return a unit vector for each face [N, IDENTITY_SIZE]."""


class IdentityPredictor:
    """Model of the identity. Threads may share it."""

    def __init__(self, network: IdentityNet, device: torch.device) -> None:
        self._size, self._device = network.config.size, device
        example = torch.zeros(2, 1, self._size, self._size, device=device)
        self._session = open_session(network.to(device).eval(), device, (example,), exportable=True)
        self._lock = threading.Lock()

    @classmethod
    def load(cls, store: ModelStore, reference: str, device: torch.device) -> Self:
        """Return the published model. Raises ModelStoreError if it is missing, damaged or of another kind."""
        return cls(open_network_of(IdentityNet, "face identity", store, reference), device)

    def embed(self, samples: Sequence[FaceSample]) -> FloatArray:
        """Return a unit vector for each face [N, IDENTITY_SIZE]."""
        return self._read([identity_chip(each.crop, each.landmarks, self._size) for each in samples])

    def embed_at(self, crops: Sequence[Image], anchors: Sequence[NDArray[np.float64]]) -> FloatArray:
        """Return a unit vector for each face [N, IDENTITY_SIZE] whose anchors are at these pixels of its crop."""
        return self._read([chip_around(*each, self._size) for each in zip(crops, anchors, strict=True)])

    @torch.inference_mode()
    def _read(self, chips: Sequence[Image]) -> FloatArray:
        vectors = [np.zeros((0, IDENTITY_SIZE), np.float32)]
        with self._lock:
            for first in range(0, len(chips), BATCH_SIZE):
                chips_NHW = np.stack(chips[first : first + BATCH_SIZE])
                chips_N1HW = torch.from_numpy(chips_NHW).to(self._device).unsqueeze(1).float() / 255
                vectors.append(self._session(chips_N1HW)[0].float().cpu().numpy())
        return np.concatenate(vectors)
