"""A small bundle for tests of the pipeline: a face net of random weights, voices and words read by rules."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ml.inference.api import EmotionOutputs, OutputsT, Predictor, SampleT, TextOutputs
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.bundle import LoadedBundle
from ml.inference.text.predictor import TextSample
from ml.networks import config_to_dict
from ml.networks.face import FaceConfig, FaceNet
from ml.registry import Bundle, Licence, ModelDescription, ModelStore
from ml.vocabulary import EMOTIONS

SMALL = FaceConfig(widths=(8, 8), depths=(1, 1), embedding=8)


def publish_face(store: ModelStore, seed: int = 0, *, commercial: bool = False, scale: float = 1.0) -> str:
    """The next version of a face net of random weights, all times `scale`; its reference."""
    torch.manual_seed(seed)
    draft = ModelDescription(
        name="face",
        architecture="face_senet",
        config=config_to_dict(SMALL),
        labels=EMOTIONS,
        preprocessing={},
        metrics={},
        data=("none",),
        command="none",
        licence=Licence(name="none", commercial=commercial, note="random weights of a test"),
    )
    weights = {name: tensor * scale for name, tensor in FaceNet(SMALL).state_dict().items()}
    return store.publish(draft, weights, "")


def with_model(bundle: Bundle, role: str, reference: str | None) -> Bundle:
    """Return the bundle, under its name and with its fusion, with one model replaced."""
    return bundle.model_copy(update={role: reference})


def make_store(folder: Path) -> Path:
    """A model store with a face net and the bundle `default` of it alone."""
    store = ModelStore(folder)
    publish_face(store)
    store.write_bundle(Bundle(name="default", face="face@1", audio=None, text=None, fusion=None))
    return folder


def make_analyzer(folder: Path) -> Analyzer:
    """With a store in `folder`, a voice and a text model, and Whisper where its weights are at hand."""
    models = Analyzer.load(make_store(folder), device="cpu").models
    return Analyzer(with_predictors(models, audio=LoudIsAngry(), text=MuseumsAreHappy()))


def with_predictors(models: LoadedBundle, **predictors: Predictor[Any, Any]) -> LoadedBundle:
    """Return the bundle with the predictors of some roles replaced."""
    return replace(models, predictors={**models.predictors, **predictors})


def leaning(emotion: str) -> NDArray[np.float32]:
    """Log-probabilities: 0.7 for one emotion."""
    values = np.full(len(EMOTIONS), 0.05)
    values[EMOTIONS.index(emotion)] = 0.7
    return np.log(values).astype(np.float32)


class ToyPredictor(Predictor[SampleT, OutputsT]):
    """Predictor by rule, with embeddings of one value."""

    embedding_size, batch_size = 1, 32

    @classmethod
    def _load(cls, store: Any, manifest: Any, device: Any) -> Any:
        raise NotImplementedError

    def _example(self, upstream: Any) -> Any:
        raise NotImplementedError


class LoudIsAngry(ToyPredictor[NDArray[np.float32], EmotionOutputs]):
    """Voice model: loud sounds are angry, soft ones sad."""

    def _predict(self, samples: Sequence[NDArray[np.float32]]) -> EmotionOutputs:
        loud = [float(np.abs(sample).max()) > 0.25 for sample in samples]
        logs = [leaning("angry" if each else "sad") for each in loud]
        return EmotionOutputs(np.zeros((len(logs), 1), np.float32), np.stack(logs))


class MuseumsAreHappy(ToyPredictor[TextSample, TextOutputs]):
    """Text model: a museum is happy, all else is feared."""

    languages = ("en",)
    has_dimensions = False

    def _predict(self, samples: Sequence[TextSample]) -> TextOutputs:
        logs = [leaning("happy" if "museum" in sample.text else "fear") for sample in samples]
        sentiment = np.tile(np.array([0.2, 0.3, 0.5], np.float32), (len(logs), 1))
        return TextOutputs(np.zeros((len(logs), 1), np.float32), np.reshape(logs, (-1, len(EMOTIONS))), sentiment)
