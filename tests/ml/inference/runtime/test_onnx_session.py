import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from ml.inference.face.predictor import FacePredictor, FaceSample
from ml.inference.runtime.onnx_session import OnnxSession
from ml.networks import build
from ml.networks.face import predict_with_flip_tta
from ml.networks.face_ensemble import FaceEnsemble, build_ensemble
from ml.networks.face_landmarks import landmark_config

CPU = torch.device("cpu")
SENET = {"size": 48, "widths": [16, 16, 16, 16], "depths": [1, 1, 1, 1], "embedding": 8, "dropout": 0.2}
SEPARABLE = {"size": 64, "embedding": 8, "dropout": 0.3}
ARCHITECTURES = [("face_senet", SENET), ("face_mobilenet", SEPARABLE), ("face_efficientnet", SEPARABLE)]


def _net(architecture: str, config: dict[str, object]) -> torch.nn.Module:
    """Return a network with norms of its own, as if it had been trained."""
    torch.manual_seed(0)
    network = build(architecture, config)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 2.0)
    return network.eval()


def _ensemble(*views: str) -> FaceEnsemble:
    members = [(architecture, config, _net(architecture, config)) for architecture, config in ARCHITECTURES[:2]]
    return build_ensemble(members, views)  # type: ignore[arg-type]


NETS = {
    **{architecture: lambda a=architecture, c=config: _net(a, c) for architecture, config in ARCHITECTURES},
    "face_ensemble": _ensemble,
    "face_ensemble, views": lambda: _ensemble("both", "mirrored"),
    "face_ensemble, a closer look": lambda: _ensemble("closer", "closer"),
}


@pytest.mark.parametrize("name", NETS)
def test_onnx_session_gives_the_outputs_of_the_network(name: str) -> None:
    network = NETS[name]()
    predictor = FacePredictor(lambda: network, 1.0, CPU)
    random = np.random.default_rng(0)
    for count in (1, 2, 7):
        crops = random.integers(0, 256, (count, predictor.crop_size, predictor.crop_size), dtype=np.uint8)
        outputs = predictor.predict([FaceSample(crop) for crop in crops])
        with torch.inference_mode():
            embeddings, logits = predict_with_flip_tta(network, torch.from_numpy(crops).unsqueeze(1).float() / 255)
        assert outputs.embeddings_NE == pytest.approx(embeddings.numpy(), abs=1e-4)
        assert outputs.log_probabilities_NC == pytest.approx(logits.log_softmax(-1).numpy(), abs=1e-4)
    assert not network.training


def test_onnx_session_reads_landmarks() -> None:
    torch.manual_seed(0)
    network = build("face_landmarks", vars(landmark_config("face_senet", SENET))).eval()
    predictor = FacePredictor(lambda: network, 1.0, CPU)
    random = np.random.default_rng(0)
    crops = list(random.integers(0, 256, (3, 48, 48), dtype=np.uint8))
    mesh = random.uniform(0, 100, (468, 3)).astype(np.float32)
    samples = [FaceSample(crop) for crop in crops]
    without = predictor.predict(samples)
    samples[1] = FaceSample(crops[1], mesh)
    outputs = predictor.predict(samples)
    change = np.abs(outputs.log_probabilities_NC - without.log_probabilities_NC).max(1)
    assert change[1] > 1e-3 and change[0] == change[2] == 0, "a face without a mesh is read by its crop only"


def test_onnx_session_is_shared_by_threads_and_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    session = OnnxSession(
        torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), _Pair()).eval(), torch.zeros(2, 4)
    )
    assert not list(tmp_path.iterdir())
    rows = torch.rand(50, 4)
    expected = session(rows)[0]
    wrong: list[int] = []

    def read(first: int) -> None:
        for _ in range(20):
            if not torch.equal(session(rows[first : first + 1])[0], expected[first : first + 1]):
                wrong.append(first)

    threads = [threading.Thread(target=read, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


class _Pair(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x + 1
