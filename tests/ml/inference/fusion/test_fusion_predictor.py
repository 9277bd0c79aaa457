import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml.inference.api import ModalityFeatures
from ml.inference.fusion.calibration import FusionCalibration, ModelCalibration, PriorCalibration, by_emotion
from ml.inference.fusion.predictor import FusionPredictor, WindowFeatures
from ml.networks.fusion import Fusion, FusionConfig
from ml.networks.fusion_embeddings import EmbeddingFusion, EmbeddingFusionConfig
from ml.results import Prior
from ml.vocabulary import EMOTIONS, MODALITIES

CPU = torch.device("cpu")
NATURAL = np.array([0.1, 0.05, 0.05, 0.15, 0.1, 0.1, 0.45])
CALIBRATION = FusionCalibration(
    models={"text": ModelCalibration(temperature=1.4, prior=by_emotion(NATURAL))},
    natural_prior=by_emotion(NATURAL),
    priors={prior: PriorCalibration(sharpening=(0.0, 0.3, 0.8, 1.2)) for prior in ("natural", "uniform")},
)
PRIORS: tuple[Prior, ...] = ("natural", "uniform")


def features(size: int, emotion: str, seed: int = 0) -> ModalityFeatures:
    logits = np.full(len(EMOTIONS), -3.0, np.float32)
    logits[EMOTIONS.index(emotion)] = -0.2
    return ModalityFeatures(np.random.default_rng(seed).normal(size=size).astype(np.float32), logits)


def wild_network(seed: int) -> Fusion:
    """Return a gated fusion whose weights say nothing, so that only the rules keep its readings in bounds."""
    torch.manual_seed(seed)
    network = Fusion(FusionConfig())
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=1.5)
    return network


def predictor() -> FusionPredictor:
    return FusionPredictor(wild_network(0), 1.3, CPU, CALIBRATION)


def published_before() -> FusionPredictor:
    torch.manual_seed(0)
    network = EmbeddingFusion(EmbeddingFusionConfig(face_size=8, audio_size=6, text_size=5))
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


@pytest.mark.parametrize("fusion", [predictor(), published_before()], ids=["gated", "embeddings"])
def test_predict_window_alone_or_in_a_batch_gives_the_same(fusion: FusionPredictor) -> None:
    batch = log_probabilities(fusion, WHOLE, VOICE_ALONE, NOTHING)
    for row, window in enumerate([WHOLE, VOICE_ALONE, NOTHING]):
        np.testing.assert_allclose(log_probabilities(fusion, window)[0], batch[row], atol=1e-5, rtol=1e-5)


def test_predict_log_probabilities_are_normalized() -> None:
    np.testing.assert_allclose(np.exp(log_probabilities(predictor(), WHOLE, VOICE_ALONE)).sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("prior", PRIORS)
def test_read_empty_window_is_masked_and_predict_uniform(prior: Prior) -> None:
    np.testing.assert_allclose(log_probabilities(predictor(), NOTHING)[0], -np.log(7), atol=1e-6)
    readings = predictor().read([NOTHING], prior)
    assert all(readings.modality(0, modality) is None for modality in MODALITIES)
    assert len(predictor().read([], prior).combined_NC) == 0


def test_addition_of_agreeing_modalities_is_more_certain() -> None:
    fusion = FusionPredictor.addition(CPU)
    both, face = log_probabilities(fusion, WHOLE.without("text"), WHOLE.without("text").without("audio"))
    assert both[EMOTIONS.index("happy")] > face[EMOTIONS.index("happy")]


def test_without_removes_the_modality() -> None:
    gone = WHOLE.without("audio")
    assert gone.present == {"face": True, "audio": False, "text": True}


distributions = st.lists(st.floats(-6, 0), min_size=7, max_size=7).map(
    lambda logs: np.array(logs, np.float32) - np.log(np.exp(logs).sum(), dtype=np.float32)
)
modality_features = distributions.map(lambda logs: ModalityFeatures(np.zeros(8, np.float32), logs))
wild_windows = st.builds(
    WindowFeatures,
    st.lists(st.none() | modality_features, max_size=4).map(tuple),
    st.none() | modality_features,
    st.none() | modality_features,
    st.dictionaries(st.sampled_from(["speech", "level", "snr", "confidence", "words"]), st.floats(0, 1)),
)


@given(wild_windows, st.integers(0, 20), st.sampled_from(PRIORS))
def test_read_any_network_keeps_the_rules(window: WindowFeatures, seed: int, prior: Prior) -> None:
    readings = FusionPredictor(wild_network(seed), 0.7, CPU, CALIBRATION).read([window], prior)
    combined = np.exp(readings.combined_NC[0].astype(np.float64))
    present = [np.exp(logs) for name in MODALITIES if (logs := readings.modality(0, name)) is not None]
    assert combined.sum() == pytest.approx(1, abs=1e-5)
    if not present:
        return
    top = int(combined.argmax())
    assert any(own[top] >= 0.5 * own.max() - 1e-6 for own in present), "no modality supports the emotion"
    if len(present) == 1:
        np.testing.assert_allclose(combined, present[0], atol=1e-5)
        return
    agreeing = sum(int(own.argmax()) == top for own in present)
    sharpening = CALIBRATION.under(prior).sharpening[agreeing]
    own = max(float(own[top]) for own in present)
    limit = 1 / (1 + np.exp(-(np.log(own / (1 - min(own, 1 - 1e-9))) + sharpening)))
    assert combined[top] <= max(limit, 1 / 7 + 0.011) + 1e-3, "surer than clips support"


@given(wild_windows)
def test_read_prior_applies_alike_to_every_reading(window: WindowFeatures) -> None:
    fusion = FusionPredictor(wild_network(3), 1.0, CPU, CALIBRATION)
    uniform, natural = (fusion.read([window], prior) for prior in ("uniform", "natural"))
    for modality in MODALITIES:
        plain, moved = uniform.modality(0, modality), natural.modality(0, modality)
        if plain is not None and moved is not None:
            expected = np.exp(plain) * NATURAL
            np.testing.assert_allclose(np.exp(moved), expected / expected.sum(), atol=1e-4)


def test_read_takes_out_the_prior_of_a_model() -> None:
    text = ModalityFeatures(np.zeros(5, np.float32), np.log(NATURAL).astype(np.float32))
    readings = predictor().read([WindowFeatures(text=text)], "uniform")
    np.testing.assert_allclose(np.exp(readings.combined_NC[0]), 1 / 7, atol=1e-3)


def test_read_fusion_published_before_knows_one_prior() -> None:
    natural, uniform = (published_before().read([WHOLE], prior).combined_NC for prior in PRIORS)
    np.testing.assert_array_equal(natural, uniform)
    assert published_before().threshold("combined", "natural") is None
