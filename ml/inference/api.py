"""Values and interfaces that the packages of `ml.inference` share with each other and with their callers.

Imports neither torch nor any other package of `ml.inference`: a worker's parent process may load it.
"""

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ml.results import Options, Result
from ml.vocabulary import Modality

if TYPE_CHECKING:  # these import torch, or this module
    import torch

    from ml.inference.pipeline.context import AnalysisContext
    from ml.inference.pipeline.features import Features
    from ml.inference.pipeline.plan import AnalysisPlan
    from ml.registry import Manifest, ModelStore

FloatArray = NDArray[np.float32]

Role = Modality | Literal["fusion"]
"""Task of a model in a bundle: the field of `ml.registry.Bundle` that names the model."""


@dataclass(frozen=True)
class TimeSpan:
    """Half-open interval [start, end) of media time, in seconds."""

    start: float
    end: float

    @property
    def length(self) -> float:
        return self.end - self.start


WHOLE_MEDIA = TimeSpan(0.0, math.inf)
"""Span from the start of the media to its end."""


@dataclass(frozen=True)
class ModalityFeatures:
    """Output of one modality's model: an embedding [E] and calibrated log-probabilities [C].

    `quality`: what was measured of the face (`face.quality.QUALITIES`) or voice (`voice.quality.QUALITIES`), NaN for a
    value that is unknown; null if nothing was measured.
    """

    embedding: FloatArray
    log_probabilities: FloatArray
    quality: FloatArray | None = None


@dataclass(frozen=True)
class TextReadingFeatures:
    """Output of the text models for the words of one window. `sentiment`: probabilities in the order of SENTIMENTS.

    `dimensions`: valence, arousal and dominance, each −1 … 1; null if no model knows them in the language.
    """

    features: ModalityFeatures
    sentiment: FloatArray
    dimensions: FloatArray | None = None


@dataclass(frozen=True)
class EmotionOutputs:
    """Outputs of a model for a batch: embeddings [N, E] and calibrated log-probabilities [N, 7]."""

    embeddings_NE: FloatArray
    log_probabilities_NC: FloatArray

    def features(self, row: int) -> ModalityFeatures:
        """Return the outputs for one sample of the batch."""
        return ModalityFeatures(self.embeddings_NE[row], self.log_probabilities_NC[row])


@dataclass(frozen=True)
class TextOutputs(EmotionOutputs):
    """Outputs of a text model for a batch, with the probabilities of the three sentiments [N, 3]."""

    sentiment_N3: FloatArray
    dimensions_N3: FloatArray | None = None
    """Valence, arousal and dominance, each −1 … 1, if the model was trained on them."""

    def reading(self, row: int) -> TextReadingFeatures:
        """Return the outputs for one sample of the batch, with its sentiment and dimensions."""
        return TextReadingFeatures(self.features(row), self.sentiment_N3[row], self.dimensions_of(row))

    def dimensions_of(self, row: int) -> FloatArray | None:
        """Return valence, arousal and dominance [3] of one sample, if the model was trained on them."""
        return None if self.dimensions_N3 is None else self.dimensions_N3[row]


SampleT = TypeVar("SampleT")
SampleT_contra = TypeVar("SampleT_contra", contravariant=True)
OutputsT = TypeVar("OutputsT", bound=EmotionOutputs)


class BatchPredictor(Protocol[SampleT_contra]):
    """Model that reads batches of samples: a `Predictor`, or several callers' access to one."""

    @property
    def embedding_size(self) -> int:
        """Number of values of an embedding."""

    @property
    def batch_size(self) -> int:
        """Maximum number of samples that the network reads in one forward pass."""

    def predict(self, samples: Sequence[SampleT_contra], /) -> EmotionOutputs:
        """Return one row of outputs for each sample."""


class Predictor(ABC, Generic[SampleT, OutputsT]):
    """Trained model of a role: samples → outputs, calibrated by the manifest's temperature. Deterministic.

    Callers use `load`, `predict` and `warm_up`; the last two are locked, so that threads may share a predictor.
    Subclasses implement `_load`, `_predict`, `_example`, `embedding_size` and `batch_size`. `identity` is the reference
    of the model in the store, or null for a network that is not published.
    """

    depends: ClassVar[tuple[Role, ...]] = ()
    """Roles whose outputs this model reads: they are loaded and warmed up before it."""

    identity: str | None = None

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @classmethod
    def load(cls, store: "ModelStore", reference: str, device: "torch.device") -> Self:
        """Return the published model, ready to predict.

        Raises ModelStoreError if the store does not have it, it is damaged, or its weights do not fit.
        """
        predictor = cls._load(store, store.manifest(reference), device)
        predictor.identity = reference
        return predictor

    @classmethod
    def fallback(cls, upstream: "Mapping[Role, Predictor[Any, Any]]", device: "torch.device") -> "Self | None":
        """Return the predictor for a bundle that names no model of the role, or None if the role is then left out.

        `upstream`: the predictors that it `depends` on, as far as the bundle has them.
        """
        return None

    def predict(self, samples: Sequence[SampleT]) -> OutputsT:
        """Return one row of outputs for each sample; apart from last digits, no row depends on the other samples."""
        with self._lock:
            return self._predict(samples)

    def warm_up(self, upstream: Mapping[Role, EmotionOutputs]) -> OutputsT:
        """Run the network once, so that no job waits for what a first call builds.

        `upstream`: the warm-up outputs of the roles that this model `depends` on.
        """
        with self._lock:
            return self._warm_up(upstream)

    @property
    @abstractmethod
    def embedding_size(self) -> int:
        """Number of values of an embedding."""

    @property
    @abstractmethod
    def batch_size(self) -> int:
        """Maximum number of samples that the network reads in one forward pass."""

    @classmethod
    @abstractmethod
    def _load(cls, store: "ModelStore", manifest: "Manifest", device: "torch.device") -> Self: ...

    @abstractmethod
    def _predict(self, samples: Sequence[SampleT]) -> OutputsT: ...

    @abstractmethod
    def _example(self, upstream: Mapping[Role, EmotionOutputs]) -> SampleT:
        """Return a sample for the warm-up."""

    def _warm_up(self, upstream: Mapping[Role, EmotionOutputs]) -> OutputsT:
        return self._predict([self._example(upstream)])


class MediaAnalyzer(Protocol):
    """Analysis of a media file in three steps, as an `Analyzer` offers it, and a worker's model server over several."""

    def plan(self, media: Path, options: Options, context: "AnalysisContext") -> "AnalysisPlan":
        """Return what is decided about the file before features are extracted."""

    def extract(self, plan: "AnalysisPlan", part: TimeSpan = WHOLE_MEDIA, *, context: "AnalysisContext") -> "Features":
        """Return the features of the media, or of one part of it."""

    def assemble(self, plan: "AnalysisPlan", features: "Features", context: "AnalysisContext") -> Result:
        """Return the result of the features of the whole media."""
