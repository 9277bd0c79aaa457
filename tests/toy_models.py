"""A small bundle for tests of the pipeline: a face net of random weights, voices and words read by rules."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ml.inference.api import ModalityFeatures, TextReadingFeatures
from ml.inference.pipeline.analyzer import Analyzer
from ml.networks import config_of
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
        config=config_of(SMALL),
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
    return Analyzer(replace(models, audio=LoudIsAngry(), text=MuseumsAreHappy()))


def leaning(emotion: str) -> NDArray[np.float32]:
    """Log-probabilities: 0.7 for one emotion."""
    values = np.full(len(EMOTIONS), 0.05)
    values[EMOTIONS.index(emotion)] = 0.7
    return np.log(values).astype(np.float32)


@dataclass(frozen=True)
class Tones:
    embeddings_NE: NDArray[np.float32]
    log_probabilities_NC: NDArray[np.float32]


class LoudIsAngry:
    """Tone of voice: loud sounds are angry, soft ones sad."""

    def predict(self, waveforms: Sequence[NDArray[np.float32]]) -> Tones:
        loud = [float(np.abs(waveform).max()) > 0.25 for waveform in waveforms]
        logs = [leaning("angry" if one else "sad") for one in loud]
        return Tones(np.zeros((len(logs), 1), np.float32), np.stack(logs))


class MuseumsAreHappy:
    """Words: a museum is happy, all else is feared."""

    languages = ("en",)

    def read(self, sentences: Sequence[str], before: Sequence[str] = ()) -> list[TextReadingFeatures]:
        logs = [leaning("happy" if "museum" in sentence else "fear") for sentence in sentences]
        return [
            TextReadingFeatures(ModalityFeatures(np.zeros(1, np.float32), log), np.array([0.2, 0.3, 0.5], np.float32))
            for log in logs
        ]
