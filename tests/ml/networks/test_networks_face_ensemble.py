"""Several face nets as one: both views for each, or one for each in turn."""

import pytest
import torch
from torch.nn.functional import interpolate

from ml.explanation.face_attribution import grad_cam
from ml.inference.face.predictor import FacePredictor
from ml.networks import build
from ml.networks.face import predict_with_flip_tta
from ml.networks.face_ensemble import FaceEnsemble, View, build_ensemble

COARSE = {"size": 32, "widths": (16, 16, 16, 16), "embedding": 8}
FINE = {"size": 64, "widths": (16, 16, 16, 16), "embedding": 8}


def ensemble(*views: View) -> FaceEnsemble:
    torch.manual_seed(0)
    members = [("face_senet", config, build("face_senet", config).eval()) for config in (COARSE, FINE)]
    return build_ensemble(members, views)


@torch.inference_mode()
def test_face_ensemble_gives_each_view_the_same_weight() -> None:
    crops = torch.rand(3, 1, 64, 64)
    small = interpolate(crops, (32, 32), mode="bilinear", antialias=True)
    network = ensemble("both", "mirrored")
    first, second = network.members
    answers = [first(small), first(small.flip(-1)), second(crops.flip(-1))]
    embeddings, logits = predict_with_flip_tta(network, crops)
    assert torch.allclose(logits, torch.stack([answer[1] for answer in answers]).mean(0), atol=1e-6)
    assert torch.allclose(embeddings[:, :8], (answers[0][0] + answers[1][0]) / 2, atol=1e-6)
    assert torch.allclose(embeddings[:, 8:], answers[2][0], atol=1e-6)


@torch.inference_mode()
def test_face_ensemble_without_views_gets_both_views() -> None:
    crops = torch.rand(3, 1, 64, 64)
    untold, told = ensemble(), ensemble("both", "both")
    for one, other in zip(predict_with_flip_tta(untold, crops), predict_with_flip_tta(told, crops), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@torch.inference_mode()
def test_face_ensemble_closer_view_is_the_middle_of_the_mirror_image() -> None:
    crops = torch.rand(3, 1, 80, 80)
    network = ensemble("mirrored", "closer")
    plain, middle = (
        interpolate(part, (64, 64), mode="bilinear", antialias=True) for part in (crops, crops[..., 4:76, 4:76])
    )
    answers = [network.members[1](seen)[1] for seen in (plain, middle.flip(-1))]
    small = interpolate(crops, (32, 32), mode="bilinear", antialias=True).flip(-1)
    found = predict_with_flip_tta(network, crops)[1]
    assert torch.allclose(found, torch.stack([network.members[0](small)[1], *answers]).mean(0), atol=2e-3)


@pytest.mark.parametrize(
    ("views", "explained"),
    [((), 1), (("plain", "mirrored"), 0), (("plain", "both"), 1), (("mirrored", "closer"), 1)],
)
def test_face_ensemble_explained_member_has_a_plain_view(views: tuple[View, ...], explained: int) -> None:
    network = ensemble(*views)
    assert network.backbone is network.members[explained].backbone
    predictor = FacePredictor(lambda: network, 1.0, torch.device("cpu"))  # type: ignore[arg-type]
    crops = [torch.randint(0, 256, (64, 64), dtype=torch.uint8).numpy()] * 2
    maps = grad_cam(predictor, crops).maps_NHW
    assert maps.shape == (2, 64, 64) and (maps[0] == maps[1]).all()
