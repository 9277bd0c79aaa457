"""Voice model as served: sound of speech → expression."""

from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor

from ml.inference.api import EmotionOutputs, FloatArray, Predictor, Role
from ml.inference.runtime.batch_metrics import record_batch
from ml.inference.runtime.device import autocast
from ml.inference.runtime.sessions import open_network
from ml.media import SAMPLE_RATE
from ml.networks.audio import AudioCnn, SpeechEncoder
from ml.networks.hub import HubAudioClassifier
from ml.networks.mel import log_mel
from ml.networks.speech_mixture import SpeechMixture
from ml.registry import Manifest, ModelStore
from ml.vocabulary import EMOTIONS

VoiceNetwork = SpeechMixture | SpeechEncoder | AudioCnn
VOICE_BATCH_SIZE = 32
CPU_VOICE_BATCH_SIZE = 2
"""Sounds of one forward pass on a CPU: 8 took a sixth less time, but 100 MB more memory."""


class VoicePredictor(Predictor[FloatArray, EmotionOutputs]):
    """Voice model: sounds → expression.

    A sample is float32 [samples], 16 kHz mono in −1..1; the model reads the first five seconds of it.
    """

    def __init__(self, network: VoiceNetwork | HubAudioClassifier, temperature: float, device: torch.device) -> None:
        super().__init__()
        self._network = network.to(device).eval()
        self._temperature = temperature
        self.device = device

    @classmethod
    def _load(cls, store: ModelStore, manifest: Manifest, device: torch.device) -> Self:
        return cls(open_network(store, manifest), manifest.temperature, device)

    @property
    def network(self) -> VoiceNetwork:
        """Network for explanations, if `is_explainable`."""
        return cast(VoiceNetwork, self._network)

    @property
    def is_explainable(self) -> bool:
        """Whether explanations know the shape of the network."""
        return not isinstance(self._network, HubAudioClassifier)

    @property
    def embedding_size(self) -> int:
        return self._network.config.embedding

    @property
    def batch_size(self) -> int:
        return CPU_VOICE_BATCH_SIZE if self.device.type == "cpu" else VOICE_BATCH_SIZE

    @torch.inference_mode()
    def _predict(self, samples: Sequence[FloatArray]) -> EmotionOutputs:
        """Batches hold sounds of about one length."""
        order = sorted(range(len(samples)), key=lambda index: (len(samples[index]), index))
        embeddings_NE = np.zeros((len(samples), self.embedding_size), np.float32)
        logs_NC = np.zeros((len(samples), len(EMOTIONS)), np.float32)
        for first in range(0, len(order), self.batch_size):
            rows = order[first : first + self.batch_size]
            record_batch("audio", len(rows))
            embedding, logits = self._forward([torch.from_numpy(samples[row]) for row in rows])
            embeddings_NE[rows] = embedding.cpu().numpy()
            logs_NC[rows] = (logits / self._temperature).log_softmax(-1).cpu().numpy()
        return EmotionOutputs(embeddings_NE, logs_NC)

    def _example(self, upstream: Mapping[Role, EmotionOutputs]) -> FloatArray:
        return np.zeros(SAMPLE_RATE, np.float32)

    def _forward(self, sounds: list[Tensor]) -> tuple[Tensor, Tensor]:
        if isinstance(self._network, HubAudioClassifier):
            inputs: tuple[Any, ...] = (sounds,)
        else:
            batch = log_mel(sounds, self._network.config.frames or None, self.device)
            inputs = (batch.maps_NMT, batch.mask_NT)
        with autocast(self.device):
            embeddings_NE, logits_NC = self._network(*inputs)
        return embeddings_NE.float(), logits_NC.float()
