"""Face model as served: crops → expression."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml.inference.api import EmotionOutputs, Predictor, Role
from ml.inference.runtime.batch_metrics import record_batch
from ml.inference.runtime.device import autocast, to_device
from ml.inference.runtime.fuse import fuse_batch_norm
from ml.inference.runtime.sessions import capture_graphs, open_network, open_session
from ml.networks.crops import normalize_landmarks
from ml.networks.face import FaceNet, predict_with_flip_tta
from ml.networks.face_landmarks import FaceLandmarkNet
from ml.networks.hub import HubFaceClassifier
from ml.registry import Manifest, ModelStore
from ml.vocabulary import EMOTIONS

FACE_BATCH_SIZE = 256
CPU_FACE_BATCH_SIZE = 4
"""Crops of one forward pass on a CPU. More crops take as long each, and more memory."""


@dataclass(frozen=True)
class FaceSample:
    """Face to read.

    `crop`: grey, uint8 [crop_size, crop_size]. `landmarks`: its mesh in pixels [468, 3], null if it has none; read by
    networks with a branch for it.
    """

    crop: NDArray[np.uint8]
    landmarks: NDArray[np.float32] | None = None


class _FlipAveraged(nn.Module):
    """Network from pixels to float32 outputs, averaged over the crop and its mirror image.

    Crops uint8 [N, size, size] and, for a network with a branch for them, points [N, 468, 3] → embeddings and logits.
    """

    def __init__(self, network: FaceNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops_NHW: Tensor, points_NP3: Tensor | None = None) -> tuple[Tensor, ...]:
        with autocast(crops_NHW.device):
            outputs = predict_with_flip_tta(self.network, crops_NHW.unsqueeze(1).float() / 255, points_NP3)
        return tuple(part.float() for part in outputs)


class FacePredictor(Predictor[FaceSample, EmotionOutputs]):
    """Face model: crops → expression, averaged over each crop and its mirror image."""

    def __init__(self, make_network: Callable[[], FaceNet], temperature: float, device: torch.device) -> None:
        """`make_network`: returns a new network at each call."""
        super().__init__()
        self._make_network, self._temperature, self.device = make_network, temperature, device
        network = self._new_network()
        self._config = network.config
        self.uses_landmarks = isinstance(network, FaceLandmarkNet)
        self.is_explainable = not isinstance(network, HubFaceClassifier)
        """Whether explanations know the shape of the network."""
        self._session = open_session(
            _FlipAveraged(network).eval(), device, self._session_examples(), exportable=self.is_explainable
        )

    @classmethod
    def _load(cls, store: ModelStore, manifest: Manifest, device: torch.device) -> Self:
        def make_network() -> FaceNet:
            network: FaceNet = open_network(store, manifest)
            if not isinstance(network, HubFaceClassifier):
                fuse_batch_norm(network)
            return network

        return cls(make_network, manifest.temperature, device)

    @cached_property
    def network(self) -> FaceNet:
        """Network for explanations, independent of the one that predicts."""
        return self._new_network()

    def _new_network(self) -> FaceNet:
        return self._make_network().to(self.device).eval()

    @property
    def embedding_size(self) -> int:
        return self._config.embedding

    @property
    def crop_size(self) -> int:
        """Side of the crops, in pixels."""
        return self._config.size

    @property
    def batch_size(self) -> int:
        return CPU_FACE_BATCH_SIZE if self.device.type == "cpu" else FACE_BATCH_SIZE

    @torch.inference_mode()
    def _predict(self, samples: Sequence[FaceSample]) -> EmotionOutputs:
        # Outputs are copied into arrays of the whole: the outputs of each forward pass, if kept, would lie scattered
        # among the memory that passes free, which then is not reused (gigabytes for some thousand crops).
        embeddings_NE = np.zeros((len(samples), self.embedding_size), np.float32)
        logs_NC = np.zeros((len(samples), len(EMOTIONS)), np.float32)
        for first in range(0, len(samples), self.batch_size):
            batch = samples[first : first + self.batch_size]
            record_batch("face", len(batch))
            crops_NHW = to_device(torch.from_numpy(np.stack([sample.crop for sample in batch])), self.device)
            embedding, logits = self._session(crops_NHW, *self._points([sample.landmarks for sample in batch]))
            rows = slice(first, first + len(batch))
            embeddings_NE[rows] = embedding.cpu().numpy()
            logs_NC[rows] = (logits / self._temperature).log_softmax(-1).cpu().numpy()
        return EmotionOutputs(embeddings_NE, logs_NC)

    def _warm_up(self, upstream: Mapping[Role, EmotionOutputs]) -> EmotionOutputs:
        capture_graphs(self._session, self._session_examples())
        return super()._warm_up(upstream)

    def _example(self, upstream: Mapping[Role, EmotionOutputs]) -> FaceSample:
        return FaceSample(np.zeros((self.crop_size, self.crop_size), np.uint8))

    def _points(self, landmarks: Sequence[NDArray[np.float32] | None]) -> tuple[Tensor, ...]:
        """Return the normalised points [N, 468, 3] for a network with a branch for them, else nothing."""
        if not self.uses_landmarks:
            return ()
        return (torch.from_numpy(np.stack([normalize_landmarks(mesh) for mesh in landmarks])).to(self.device),)

    def _session_examples(self) -> tuple[Tensor, ...]:
        """Return inputs of two rows."""
        crops_NHW = torch.zeros(2, self.crop_size, self.crop_size, dtype=torch.uint8, device=self.device)
        return crops_NHW, *self._points([None, None])
