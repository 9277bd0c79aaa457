import copy

import pytest
import torch
from torch import nn

from ml.inference.runtime.fuse import fuse_batch_norm
from ml.networks import build
from ml.networks.face import predict_with_flip_tta

SENET = {"widths": [16, 32], "depths": [1, 2], "embedding": 16}
ENSEMBLE = {
    "members": [
        {"architecture": "face_senet", "config": {**SENET, "size": 48}},
        {"architecture": "face_mobilenet", "config": {"size": 64, "embedding": 16}},
    ],
    "size": 64,
    "embedding": 32,
}


def trained(network: nn.Module) -> nn.Module:
    """Return the network with norms that are far from the identity."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return network.eval()


@pytest.mark.parametrize(
    ("architecture", "config"),
    [
        ("face_senet", SENET),
        ("face_mobilenet", {"size": 64, "embedding": 16}),
        ("face_efficientnet", {"size": 64, "embedding": 16}),
        ("face_ensemble", ENSEMBLE),
    ],
)
def test_fused_network_gives_equal_outputs_without_norms(architecture: str, config: dict[str, object]) -> None:
    network = trained(build(architecture, config))
    fused = copy.deepcopy(network)
    fuse_batch_norm(fused)
    assert not any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in fused.modules())
    crops = torch.rand(3, 1, 64, 64)
    with torch.inference_mode():
        for before, after in zip(
            predict_with_flip_tta(network, crops), predict_with_flip_tta(fused, crops), strict=True
        ):
            torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
