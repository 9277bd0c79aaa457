import numpy as np
import torch

from ml.inference.api import ModalityFeatures
from ml.inference.fusion.predictor import FusionPredictor, WindowFeatures
from ml.networks.fusion import Fusion, FusionConfig
from ml.vocabulary import EMOTIONS

CONFIG = FusionConfig(face_size=8, audio_size=6, text_size=5)
CPU = torch.device("cpu")


def evidence(size: int, emotion: str, seed: int = 0) -> ModalityFeatures:
    logits = np.full(len(EMOTIONS), -3.0, np.float32)
    logits[EMOTIONS.index(emotion)] = -0.2
    return ModalityFeatures(np.random.default_rng(seed).normal(size=size).astype(np.float32), logits)


def predictor() -> FusionPredictor:
    torch.manual_seed(0)
    network = Fusion(CONFIG)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return FusionPredictor(network, 1.3, CPU)


WHOLE = WindowFeatures(
    (evidence(8, "happy"), None, evidence(8, "happy", 1)), evidence(6, "happy"), evidence(5, "neutral")
)
VOICE_ALONE = WindowFeatures((None, None), evidence(6, "angry"), None)
NOTHING = WindowFeatures()


def test_a_window_alone_and_among_others_reads_the_same() -> None:
    fusion = predictor()
    together = fusion.predict([WHOLE, VOICE_ALONE, NOTHING])
    for row, window in enumerate([WHOLE, VOICE_ALONE, NOTHING]):
        np.testing.assert_allclose(fusion.predict([window])[0], together[row], atol=1e-5)


def test_log_probabilities_are_normalised() -> None:
    np.testing.assert_allclose(np.exp(predictor().predict([WHOLE, VOICE_ALONE])).sum(1), 1, atol=1e-5)


def test_nothing_is_uniform() -> None:
    np.testing.assert_allclose(predictor().predict([NOTHING])[0], -np.log(7), atol=1e-6)


def test_addition_of_one_modality_is_that_modality() -> None:
    fusion = FusionPredictor.addition(8, 6, 5, CPU)
    logits = torch.from_numpy(VOICE_ALONE.audio.log_probabilities)  # type: ignore[union-attr]
    np.testing.assert_allclose(fusion.predict([VOICE_ALONE])[0], logits.log_softmax(-1), atol=1e-6)


def test_agreement_makes_sure() -> None:
    fusion = FusionPredictor.addition(8, 6, 5, CPU)
    both, face = fusion.predict([WHOLE.without("text"), WHOLE.without("text").without("audio")])
    assert both[EMOTIONS.index("happy")] > face[EMOTIONS.index("happy")]


def test_what_is_taken_away_is_not_read() -> None:
    gone = WHOLE.without("audio")
    assert gone.present == {"face": True, "audio": False, "text": True}
    assert predictor().config == CONFIG
