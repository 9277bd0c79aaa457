"""The other side of the comparison: how research code of this kind reads a clip.

The picture is decoded with OpenCV frame by frame, each frame is searched and read by itself, the sound is decoded by an
ffmpeg of its own, and the models are loaded for each call. Same detector, same nets, same four frames a second.
"""

import subprocess
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch

from ml.inference.face.detector import FaceDetector
from ml.inference.voice.predictor import VoicePredictor
from ml.media import SAMPLE_RATE
from ml.networks.face import FaceNet, predict_with_flip_tta
from ml.paths import MODEL_STORE
from ml.registry import ModelStore

WINDOW, HOP, FRAME_RATE = 4.0, 2.0, 4.0


def read(path: Path) -> int:
    """Reads faces and voice; how many readings there were."""
    return _faces(path) + _voices(path)


def _store_and_bundle() -> tuple[ModelStore, dict[str, str]]:
    store = ModelStore(MODEL_STORE)
    return store, store.bundle("default").models()


def _face_net(store: ModelStore, reference: str) -> FaceNet:
    """As torch runs it."""
    return cast(FaceNet, store.network(reference))


@torch.inference_mode()
def _faces(path: Path) -> int:
    store, models = _store_and_bundle()
    network = _face_net(store, models["face"])
    video, found, due = cv2.VideoCapture(str(path)), 0, 0.0
    rate = video.get(cv2.CAP_PROP_FPS)
    with FaceDetector(network.config.size) as detector:
        number = 0
        while True:
            whole, image = video.read()
            if not whole:
                return found
            if number / rate >= due:
                due += 1 / FRAME_RATE
                for face in detector.detect_batch([cv2.cvtColor(image, cv2.COLOR_BGR2RGB)], 8)[0]:
                    predict_with_flip_tta(network, torch.from_numpy(face.crop)[None, None].float() / 255)
                    found += 1
            number += 1


def _voices(path: Path) -> int:
    store, models = _store_and_bundle()
    predictor = VoicePredictor.load(store, models["audio"], torch.device("cpu"))
    command = ["ffmpeg", "-v", "error", "-i", path, "-vn", "-ac", "1", "-ar", str(SAMPLE_RATE), "-f", "s16le", "-"]
    sound = np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.int16)
    windows = np.arange(0, len(sound) / SAMPLE_RATE, HOP)
    for start in windows:
        part = sound[round(start * SAMPLE_RATE) : round((start + WINDOW) * SAMPLE_RATE)]
        predictor.predict([part.astype(np.float32) / 32768])
    return len(windows)
