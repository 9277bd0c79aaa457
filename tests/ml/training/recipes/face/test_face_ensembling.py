import pytest

from ml.errors import InvalidManifest
from ml.networks import build
from ml.networks.face_ensemble import EnsembleMember, View
from ml.paths import MODEL_STORE
from ml.registry import ModelStore
from ml.training.recipes.face.ensembling import combine_members, load_members, parse_member


@pytest.mark.parametrize(
    ("views", "why"),
    [(["both"], "1 views of 2 nets"), (["mirrored", "mirrored"], "as it is, which explanations are of")],
)
def test_combine_members_wrong_views_are_refused(views: list[View], why: str) -> None:
    config = {"size": 16, "widths": (16, 16, 16, 16), "embedding": 8}
    members: list[EnsembleMember] = [("face_senet", config, build("face_senet", config))] * 2
    with pytest.raises(InvalidManifest, match=why):
        combine_members(members, views)


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("face@4/face_senet", ("face@4", "face_senet")),
        ("face@4", ("face@4", None)),
        ("runs/first", ("runs/first", None)),
    ],
)
def test_parse_member_splits_ensemble_and_architecture(reference: str, told: tuple[str, str | None]) -> None:
    assert parse_member(reference) == told


def test_load_members_unknown_architecture_is_refused() -> None:
    store = ModelStore(MODEL_STORE)
    face = store.bundle("default").face
    assert [architecture for architecture, _, _ in load_members(store, f"{face}/face_senet")] == ["face_senet"]
    with pytest.raises(InvalidManifest, match=f"{face} has no face_landmarks"):
        load_members(store, f"{face}/face_landmarks")
