"""Nets that one is made of, begins with or is taught by: of runs, published, or one of several published together."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from torch import Tensor

from ml.errors import InvalidManifest
from ml.networks import build
from ml.networks.face import PLAIN, FaceNet
from ml.networks.face_efficientnet import FaceEfficientNet
from ml.networks.face_ensemble import CROP_VIEWS, FaceEnsemble, Member, View, ensemble_of
from ml.networks.face_landmarks import FaceLandmarkNet
from ml.networks.face_mobilenet import FaceMobileNet
from ml.registry import ModelStore
from ml.training.loop import averaged_weights, run_settings

CropNetwork = FaceNet | FaceMobileNet | FaceEfficientNet
Network = CropNetwork | FaceLandmarkNet
ONE_OF_SEVERAL = re.compile(r"(?P<published>[^/]+@[0-9]+)/(?P<architecture>\w+)")


def parse_member(reference: str) -> tuple[str, str | None]:
    """`face@5/face_mobilenet`, one of several averaged nets → what is published, and the architecture of the one. What
    names no one is all that it names, or a run's folder."""
    found = ONE_OF_SEVERAL.fullmatch(reference)
    return (found["published"], found["architecture"]) if found else (reference, None)


def members_of(store: ModelStore, reference: str) -> list[Member]:
    """The net of a run or a published one, or each of several that were averaged. Raises InvalidManifest where the one
    that is named is not among them."""
    if Path(reference).is_dir():
        settings = run_settings(Path(reference))
        network = build(settings["architecture"], settings["config"])
        network.load_state_dict(averaged_weights(Path(reference)))
        return [(settings["architecture"], settings["config"], network)]
    published, one = parse_member(reference)
    manifest, network = store.manifest(published), store.network(published)
    members = [(manifest.architecture, manifest.config, network)]
    if isinstance(network, FaceEnsemble):
        told = zip(network.config.members, network.members, strict=True)
        members = [(member["architecture"], member["config"], each) for member, each in told]
    return members if one is None else _of_architecture(members, one, published)


def start_weights(start: str, store: ModelStore, architecture: str) -> dict[str, Tensor]:
    """Of a run, of a published net, or of the one of several averaged ones that has the architecture. Raises
    InvalidManifest without such a one."""
    (_, _, network), *_ = _of_architecture(members_of(store, start), architecture, start)
    return network.state_dict()


def _of_architecture(members: list[Member], architecture: str, reference: str) -> list[Member]:
    wanted = [member for member in members if member[0] == architecture]
    if not wanted:
        raise InvalidManifest(f"{reference} has no {architecture}")
    return wanted


def network_of(members: list[Member], views: Sequence[View] = ()) -> Network | FaceEnsemble:
    """One net, or several as one, in half precision. Raises InvalidManifest when they cannot be averaged."""
    if views and len(views) != len(members):
        raise InvalidManifest(f"--views tells {len(views)} views of {len(members)} nets")
    if views and not any(PLAIN in CROP_VIEWS[view] for view in views):
        raise InvalidManifest("--views gives no net the face as it is, which explanations are of")
    if len(members) == 1:
        return cast(Network, members[0][2]).half().float()
    if any(architecture == "face_landmarks" for architecture, _, _ in members):
        raise InvalidManifest("nets of crops are averaged: one with a branch for landmarks stands alone")
    return ensemble_of(members, views).half().float()
