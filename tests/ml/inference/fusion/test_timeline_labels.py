import numpy as np
import torch

from ml.inference.api import ModalityFeatures, TimeSpan
from ml.inference.fusion.calibration import FusionCalibration, PriorCalibration
from ml.inference.fusion.predictor import FusionPredictor
from ml.inference.fusion.timeline import WindowFaces, WindowInputs, fuse_windows, overall_reading
from ml.inference.voice.segments import WindowVoice
from ml.networks.fusion import Fusion, FusionConfig
from ml.results import Options
from ml.vocabulary import EMOTIONS

THRESHOLDS = PriorCalibration(label_sums={"face": 0.7, "combined": 0.5})
FUSION = FusionPredictor(
    Fusion(FusionConfig(gated=False)), 1.0, torch.device("cpu"), FusionCalibration(priors={"natural": THRESHOLDS})
)


def _features(emotion: str) -> ModalityFeatures:
    probabilities = np.full(len(EMOTIONS), 0.04, np.float32)
    probabilities[EMOTIONS.index(emotion)], probabilities[EMOTIONS.index("sad")] = 0.6, 0.2
    return ModalityFeatures(np.zeros(1, np.float32), np.log(probabilities / probabilities.sum()))


def test_fuse_windows_with_one_modality_have_its_labels() -> None:
    face, voice = _features("happy"), _features("happy")
    inputs = [
        WindowInputs(TimeSpan(0, 4), WindowVoice(0.0, None), ""),
        WindowInputs(TimeSpan(4, 8), WindowVoice(0.9, voice), ""),
    ]
    alone, both = fuse_windows([WindowFaces((face,))] * 2, inputs, FUSION, Options())
    assert alone.labels_90 == ("happy", "sad") and alone.uncertain is False
    assert alone.modalities.face and alone.modalities.face.labels_90 == alone.labels_90
    assert both.labels_90 == ("happy",)
    assert both.modalities.audio and both.modalities.audio.labels_90 is None
    assert overall_reading([alone], FUSION, Options()).labels_90 == ("happy", "sad")
