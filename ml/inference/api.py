"""Values and interfaces that the packages of `ml.inference` share with each other and with their callers.

Imports neither torch nor any other package of `ml.inference`: a worker's parent process may load it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class TimeSpan:
    """Half-open interval [start, end) of media time, in seconds."""

    start: float
    end: float

    @property
    def length(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class ModalityFeatures:
    """Output of one modality's model: an embedding [E] and calibrated log-probabilities [C]."""

    embedding: FloatArray
    log_probabilities: FloatArray


@dataclass(frozen=True)
class TextReadingFeatures:
    """Output of the text model for the words of one window. `sentiment`: probabilities in the order of SENTIMENTS."""

    features: ModalityFeatures
    sentiment: FloatArray


@dataclass(frozen=True)
class EmotionOutputs:
    """Outputs of a model for a batch: embeddings [N, E] and calibrated log-probabilities [N, 7]."""

    embeddings_NE: FloatArray
    log_probabilities_NC: FloatArray
