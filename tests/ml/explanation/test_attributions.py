"""Explanations of the published models: they depend on the weights, and point at what is there."""

import copy

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from ml.explanation.face_attribution import feature_maps, grad_cam
from ml.explanation.text_attribution import attribute_words
from ml.explanation.voice_attribution import voice_relevance
from ml.inference.face.detector import FaceDetector
from ml.inference.face.predictor import FacePredictor, FaceSample
from ml.inference.text.predictor import TextSample
from ml.networks import build
from ml.vocabulary import EMOTIONS
from tests.face_files import portrait
from tests.published_models import published_analyzer
from tests.speech_files import melody, noise, silence

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def face() -> FacePredictor:
    return of_bundle("default")


def of_bundle(name: str) -> FacePredictor:
    predictor = published_analyzer(name).models.face
    assert predictor is not None
    return predictor


@pytest.fixture(scope="module")
def crop(face: FacePredictor) -> NDArray[np.uint8]:
    with FaceDetector(face.crop_size) as detector:
        (found,) = detector.detect(portrait(), 1)
    return found.crop


@pytest.fixture(scope="module")
def inside(crop: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels of the crop are face, by the mesh laid over the enlarged crop."""
    large = cv2.cvtColor(cv2.resize(crop, (240, 240), interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2RGB)
    with FaceDetector(len(crop)) as detector:
        (found,) = detector.detect(large, 1)
    assert found.landmarks is not None
    hull = cv2.convexHull(np.rint(found.landmarks[:, :2] / 240 * len(crop)).astype(np.int32))
    return cv2.fillConvexPoly(np.zeros(crop.shape, np.uint8), hull, 1).astype(bool)


def alike(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Rank correlation of two maps; 0 where one of them is flat."""
    if np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first.ravel(), second.ravel()).statistic)


def randomised(predictor: FacePredictor, seed: int) -> FacePredictor:
    torch.manual_seed(seed)
    network = copy.deepcopy(predictor.network)
    for module in network.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    twin = copy.copy(predictor)  # shares all but the network that is explained
    vars(twin)["network"] = network
    return twin


def test_grad_cam_depends_on_weights(face: FacePredictor, crop: NDArray[np.uint8]) -> None:
    """The sanity check of Adebayo et al., "Sanity Checks for Saliency Maps" (2018): model parameter randomisation."""
    found = grad_cam(face, [crop])
    target = found.targets_N.tolist()
    trembling = np.clip(crop + np.random.default_rng(0).normal(0, 2, crop.shape), 0, 255).astype(np.uint8)
    assert alike(found.maps_NHW[0], grad_cam(face, [trembling], target).maps_NHW[0]) > 0.9
    others = [grad_cam(randomised(face, seed), [crop], target).maps_NHW[0] for seed in range(8)]
    assert np.mean([abs(alike(found.maps_NHW[0], other)) for other in others]) < 0.5


def test_grad_cam_evidence_is_inside_face(
    face: FacePredictor, crop: NDArray[np.uint8], inside: NDArray[np.bool_]
) -> None:
    found = grad_cam(face, [crop] * len(EMOTIONS), range(len(EMOTIONS)))
    shares = [heat[inside].sum() / heat.sum() for heat in found.maps_NHW if heat.any()]
    assert np.mean(shares) > inside.mean() + 0.1 and min(shares) > inside.mean()


@pytest.mark.parametrize("bundle", ["default", "light"])
def test_grad_cam_batch_equals_single_and_mirrored_crop_is_mirrored(bundle: str, crop: NDArray[np.uint8]) -> None:
    face = of_bundle(bundle)
    own = cv2.resize(crop, (face.crop_size, face.crop_size), interpolation=cv2.INTER_AREA)
    both = grad_cam(face, [own, np.ascontiguousarray(own[:, ::-1])])
    assert both.targets_N[0] == face.predict([FaceSample(own)]).log_probabilities_NC[0].argmax()
    np.testing.assert_allclose(both.maps_NHW[0], grad_cam(face, [own]).maps_NHW[0], atol=1e-3)
    if not getattr(face.network, "chooses_views", False):
        assert both.targets_N[1] == both.targets_N[0]
        np.testing.assert_allclose(both.maps_NHW[1], both.maps_NHW[0][:, ::-1], atol=1e-3)
    assert both.maps_NHW[0].max() == pytest.approx(1) and both.maps_NHW.min() >= 0


@pytest.mark.parametrize("architecture", ["face_senet", "face_mobilenet"])
def test_grad_cam_and_feature_maps_leave_no_hook_and_no_gradient(architecture: str) -> None:
    network = build(architecture, {})
    predictor = FacePredictor(lambda: network, 1.0, CPU)  # type: ignore[arg-type]
    crop = np.random.default_rng(0).integers(0, 255, (predictor.crop_size,) * 2).astype(np.uint8)
    assert grad_cam(predictor, [crop]).maps_NHW.shape == (1, *crop.shape)
    sides = [maps.shape[-1] for maps in feature_maps(predictor, crop)]
    assert sides == sorted(sides, reverse=True) and len(sides) >= 3
    with pytest.raises(RuntimeError):
        grad_cam(predictor, [crop], [99])
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("bundle", ["default", "light"])
def test_voice_relevance_is_at_sound_and_sums_to_change(bundle: str) -> None:
    predictor = published_analyzer(bundle).models.audio
    assert predictor is not None
    sound = np.concatenate([melody(0.5), silence(1.0), melody(0.5, seed=1)]) + noise(2.0, 1e-4)
    (found,) = voice_relevance(predictor, [sound.astype(np.float32) / 32768])
    assert found.map_MT.shape == found.relevance_MT.shape == (80, 200)
    by_time = np.abs(found.relevance_MT).sum(0)
    assert by_time[60:140].sum() < 0.1 * by_time.sum()
    assert found.relevance_MT.sum() == pytest.approx(found.change, abs=0.35 * abs(found.change) + 0.1)
    assert all(parameter.grad is None for parameter in predictor.network.parameters())


def test_attribute_words_heaviest_word_changes_reading_most() -> None:
    predictor = published_analyzer().models.text
    assert predictor is not None
    found = attribute_words(predictor, "I am so happy  today, although the bus was late.")
    weights = [word.weight for word in found.words]
    assert found.emotion == "happy" and [word.word for word in found.words][3:5] == ["happy", "today,"]
    assert max(weights) == weights[3] and None not in weights
    without = predictor.predict([TextSample("I am so today, although the bus was late.")]).log_probabilities_NC[0]
    assert np.exp(without[EMOTIONS.index("happy")]) < found.probability - 0.3
    assert attribute_words(predictor, " ".join(["word"] * 130)).words[-1].weight is None
