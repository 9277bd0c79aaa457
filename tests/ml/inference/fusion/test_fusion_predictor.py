import numpy as np
import torch
from numpy.typing import NDArray

from ml.inference.api import ModalityFeatures
from ml.inference.fusion.predictor import FusionPredictor, WindowFeatures
from ml.networks.fusion import Fusion, FusionConfig
from ml.vocabulary import EMOTIONS

CONFIG = FusionConfig(face_size=8, audio_size=6, text_size=5)
CPU = torch.device("cpu")


def features(size: int, emotion: str, seed: int = 0) -> ModalityFeatures:
    logits = np.full(len(EMOTIONS), -3.0, np.float32)
    logits[EMOTIONS.index(emotion)] = -0.2
    return ModalityFeatures(np.random.default_rng(seed).normal(size=size).astype(np.float32), logits)


def predictor() -> FusionPredictor:
    torch.manual_seed(0)
    network = Fusion(CONFIG)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return FusionPredictor(network, 1.3, CPU)


def log_probabilities(fusion: FusionPredictor, *windows: WindowFeatures) -> NDArray[np.float32]:
    return fusion.predict(windows).log_probabilities_NC


WHOLE = WindowFeatures(
    (features(8, "happy"), None, features(8, "happy", 1)), features(6, "happy"), features(5, "neutral")
)
VOICE_ALONE = WindowFeatures((None, None), features(6, "angry"), None)
NOTHING = WindowFeatures()


def test_predict_window_alone_or_in_a_batch_gives_the_same() -> None:
    fusion = predictor()
    batch = log_probabilities(fusion, WHOLE, VOICE_ALONE, NOTHING)
    for row, window in enumerate([WHOLE, VOICE_ALONE, NOTHING]):
        np.testing.assert_allclose(log_probabilities(fusion, window)[0], batch[row], atol=1e-5)


def test_predict_log_probabilities_are_normalized() -> None:
    np.testing.assert_allclose(np.exp(log_probabilities(predictor(), WHOLE, VOICE_ALONE)).sum(1), 1, atol=1e-5)


def test_predict_empty_window_is_uniform() -> None:
    np.testing.assert_allclose(log_probabilities(predictor(), NOTHING)[0], -np.log(7), atol=1e-6)


def test_addition_of_one_modality_equals_that_modality() -> None:
    fusion = FusionPredictor.addition(8, 6, 5, CPU)
    logits = torch.from_numpy(VOICE_ALONE.audio.log_probabilities)  # type: ignore[union-attr]
    np.testing.assert_allclose(log_probabilities(fusion, VOICE_ALONE)[0], logits.log_softmax(-1), atol=1e-6)


def test_addition_of_agreeing_modalities_is_more_certain() -> None:
    fusion = FusionPredictor.addition(8, 6, 5, CPU)
    both, face = log_probabilities(fusion, WHOLE.without("text"), WHOLE.without("text").without("audio"))
    assert both[EMOTIONS.index("happy")] > face[EMOTIONS.index("happy")]


def test_without_removes_the_modality() -> None:
    gone = WHOLE.without("audio")
    assert gone.present == {"face": True, "audio": False, "text": True}
    assert predictor().config == CONFIG
