"""Networks for an ensemble, a start or a teacher: runs, published models, or members of published ensembles."""

import re
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ml.errors import InvalidManifest
from ml.networks import build
from ml.networks.face import PLAIN
from ml.networks.face_ensemble import CROP_VIEWS, EnsembleMember, FaceEnsemble, View, build_ensemble
from ml.registry import ModelStore
from ml.training.loop import averaged_weights, run_settings
from ml.training.recipes.face.backbones import FaceNetwork

MEMBER_REFERENCE = re.compile(r"(?P<published>[^/]+@[0-9]+)/(?P<architecture>\w+)")


def parse_member(reference: str) -> tuple[str, str | None]:
    """Split `face@6/face_mobilenet` into the published ensemble and the architecture of one member.

    Any other reference (a published model or a run's folder) is returned whole, with None.
    """
    match = MEMBER_REFERENCE.fullmatch(reference)
    return (match["published"], match["architecture"]) if match else (reference, None)


def published_names(references: Sequence[str]) -> list[str]:
    """Return the published models, or runs, that the references name or name members of."""
    return [parse_member(reference)[0] for reference in references]


def load_members(store: ModelStore, reference: str) -> list[EnsembleMember]:
    """Return the network of a run or of a published model, or each member of a published ensemble.

    Raises InvalidManifest if the reference names a member that the ensemble does not have.
    """
    if Path(reference).is_dir():
        settings = run_settings(Path(reference))
        network = build(settings["architecture"], settings["config"])
        network.load_state_dict(averaged_weights(Path(reference)))
        return [(settings["architecture"], settings["config"], network)]
    published, architecture = parse_member(reference)
    manifest, network = store.manifest(published), store.network(published)
    members = [(manifest.architecture, manifest.config, network)]
    if isinstance(network, FaceEnsemble):
        pairs = zip(network.config.members, network.members, strict=True)
        members = [(member["architecture"], member["config"], each) for member, each in pairs]
    return members if architecture is None else _with_architecture(members, architecture, published)


def start_weights(start: str, store: ModelStore, architecture: str) -> dict[str, Tensor]:
    """Return the weights of a run or a published network, or of the ensemble member of the architecture.

    Raises InvalidManifest if there is no network of the architecture.
    """
    (_, _, network), *_ = _with_architecture(load_members(store, start), architecture, start)
    return network.state_dict()


def _with_architecture(members: list[EnsembleMember], architecture: str, reference: str) -> list[EnsembleMember]:
    chosen = [member for member in members if member[0] == architecture]
    if not chosen:
        raise InvalidManifest(f"{reference} has no {architecture}")
    return chosen


def combine_members(members: list[EnsembleMember], views: Sequence[View] = ()) -> FaceNetwork:
    """Return one network, or the ensemble of several, in half precision.

    Raises InvalidManifest if the networks cannot be averaged, or the views do not fit them.
    """
    if views and len(views) != len(members):
        raise InvalidManifest(f"--tta has {len(views)} views of {len(members)} nets")
    if views and not any(PLAIN in CROP_VIEWS[view] for view in views):
        raise InvalidManifest("--tta gives no net the face as it is, which explanations are of")
    if len(members) == 1:
        return members[0][2].half().float()
    if any(architecture == "face_landmarks" for architecture, _, _ in members):
        raise InvalidManifest("only networks of crops can be averaged: one with a branch for landmarks stands alone")
    return build_ensemble(members, views).half().float()
