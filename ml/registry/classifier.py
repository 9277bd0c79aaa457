"""Classifiers of transformers' from a hub into the model store, as a version like any other.

Only safetensors and JSON are read, and no code of the repository runs.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from ml.errors import ArtifactError, FetchFailed
from ml.registry.fetch import Progress, bring, staging_of
from ml.registry.hub_download import HUB, Hub, RemoteFile, Snapshot
from ml.registry.licences import licence_of_tags
from ml.registry.manifest import Draft
from ml.registry.store import ModelStore
from ml.vocabulary import EMOTION_OF, EMOTIONS

Kind = Literal["face", "audio", "text"]
WEIGHTS, CONFIG, EXTRACTOR, TOKENIZER = "model.safetensors", "config.json", "preprocessor_config.json", "tokenizer.json"
NEEDED: dict[Kind, tuple[str, ...]] = {
    "face": (CONFIG, EXTRACTOR, WEIGHTS),
    "audio": (CONFIG, EXTRACTOR, WEIGHTS),
    "text": (CONFIG, TOKENIZER, WEIGHTS),
}
_RATE = 16_000


@dataclass(frozen=True)
class Asked:
    """`repository`: OWNER/REPO. `labels`: theirs → ours, or "" for one that means none of the seven. `licence` and
    `commercial`: where the repository does not tell."""

    kind: Kind
    repository: str
    name: str
    revision: str = "main"
    labels: Mapping[str, str] = field(default_factory=dict)
    licence: str | None = None
    commercial: bool = False


def fetch_classifier(asked: Asked, store: ModelStore, progress: Progress, endpoint: str = HUB) -> str:
    """Brings the classifier and publishes it; returns its reference. A model that has come before is a version more.

    What an interrupted call has brought is kept in a hidden folder for the next one to go on with. Raises FetchFailed:
    no such model, no safetensors, a label that is not mapped, or weights that do not fill the net.
    """
    try:
        with Hub(endpoint) as hub:
            found = hub.snapshot(asked.repository, asked.revision)
            files = _wanted(asked, found)
            with staging_of(store.root / asked.kind / asked.name) as staging:
                record = {"repository": asked.repository, "revision": found.revision}
                bring(hub, record, files, staging, progress)
                reference = _publish(asked, found, staging, store)
                shutil.rmtree(staging)
                return reference
    except OSError as error:
        raise FetchFailed(f"the model {asked.name} cannot be written: {error.strerror}") from error


def _wanted(asked: Asked, found: Snapshot) -> list[RemoteFile]:
    needed = NEEDED[asked.kind]
    wanted = [file for file in found.files if file.name in needed]
    missing = set(needed) - {file.name for file in wanted}
    if missing:
        told = "weights in one safetensors file" if WEIGHTS in missing else ", ".join(sorted(missing))
        raise FetchFailed(f"{asked.repository} has no {told}: it cannot be served as a {asked.kind} model")
    return sorted(wanted, key=lambda file: (file.size, file.name))


def _publish(asked: Asked, found: Snapshot, folder: Path, store: ModelStore) -> str:
    described = _json(folder / CONFIG)
    groups = groups_of(described, asked.labels)
    architecture, config, preprocessing = _shaped(asked, found, described, groups, folder)
    licence = licence_of_tags(found.tags, asked.repository, asked.licence, asked.commercial)
    draft = Draft(
        name=asked.name,
        architecture=architecture,
        config=config,
        labels=EMOTIONS,
        preprocessing=preprocessing,
        metrics={},
        data=(f"as {asked.repository} tells",),
        starts=(f"{asked.repository} at {found.revision}",),
        command=f"python -m ml fetch {asked.kind} {asked.repository} --revision {found.revision}",
        licence=licence,
    )
    weights = _weights(asked, architecture, config, folder)
    files = {TOKENIZER: (folder / TOKENIZER).read_bytes()} if asked.kind == "text" else {}
    return store.publish(draft, weights, _card(draft, described, groups), files, most_bytes=None)


def groups_of(described: Mapping[str, Any], told: Mapping[str, str]) -> tuple[tuple[int, ...], ...]:
    """Of each emotion, the indices of their labels that mean it. Raises FetchFailed for a label that nobody maps."""
    named = {label: index for index, label in labels_of(described).items()}
    ours = {label: told.get(label, EMOTION_OF.get(label.strip().casefold())) for label in named}
    strange = sorted(label for label, emotion in ours.items() if emotion not in (*EMOTIONS, ""))
    unheard = sorted(set(told) - set(named))
    if strange or unheard or not named:
        raise FetchFailed(
            f"which of {', '.join(EMOTIONS)} its labels mean is not known of {', '.join(strange or unheard) or 'any'}: "
            "tell it with --labels theirs=ours (theirs= for none), or a JSON file"
        )
    return tuple(tuple(named[label] for label in named if ours[label] == emotion) for emotion in EMOTIONS)


def labels_of(described: Mapping[str, Any]) -> dict[int, str]:
    """Their labels, by index. Raises FetchFailed where their configuration does not number them."""
    try:
        return {int(index): str(label) for index, label in dict(described.get("id2label") or {}).items()}
    except (ValueError, TypeError) as error:
        raise FetchFailed(f"the labels in {CONFIG} of the repository are not numbered") from error


def _shaped(
    asked: Asked, found: Snapshot, described: dict[str, Any], groups: tuple[tuple[int, ...], ...], folder: Path
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Architecture, its configuration, and what the manifest says of the input."""
    from ml.networks.hub import MOST_TOKENS, HubFaceConfig, HubVoiceConfig, HubWordsConfig

    common: dict[str, Any] = {
        "classifier": described,
        "groups": groups,
        "embedding": len(labels_of(described)),
        "several": described.get("problem_type") == "multi_label_classification",
    }
    if asked.kind == "text":
        places = int(described.get("max_position_embeddings") or MOST_TOKENS)
        words = HubWordsConfig(**common, positions=min(places - 2, MOST_TOKENS))
        return "hub_words", asdict(words), {"tokenizer": TOKENIZER, "languages": _languages(found)}
    extractor = _json(folder / EXTRACTOR)
    if asked.kind == "audio":
        if extractor.get("sampling_rate", _RATE) != _RATE:
            raise FetchFailed(f"{asked.repository} hears {extractor['sampling_rate']} Hz: only 16,000 can be served")
        return "hub_voice", asdict(HubVoiceConfig(**common, extractor=extractor)), {"sample_rate": _RATE}
    size = _side(extractor)
    plain = extractor.get("do_normalize") is False
    mean = (0.0,) if plain else tuple(extractor.get("image_mean") or (0.5,))
    deviation = (1.0,) if plain else tuple(extractor.get("image_std") or (0.5,))
    face = HubFaceConfig(**common, size=size, mean=mean, deviation=deviation)
    return "hub_face", asdict(face), {"colour": "grey", "size": size, "crop": "square around the face, eyes level"}


def _side(extractor: Mapping[str, Any]) -> int:
    """Of the square that the classifier is given."""
    for size in (extractor.get("crop_size") if extractor.get("do_center_crop") else None, extractor.get("size")):
        if isinstance(size, int):
            return size
        if isinstance(size, Mapping):
            return int(size.get("height") or size.get("shortest_edge") or 224)
    return 224


def _languages(found: Snapshot) -> list[str]:
    return [tag for tag in found.tags if len(tag) == 2 and tag.isalpha()] or ["en"]


def _weights(asked: Asked, architecture: str, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """As transformers reads them: names of older versions are brought up to date. Raises FetchFailed."""
    import torch
    import transformers
    from safetensors import SafetensorError

    from ml.networks import build

    try:
        network = cast(Any, build(architecture, config))
        loaded, told = getattr(transformers, network.auto).from_pretrained(
            folder, use_safetensors=True, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
    except (ValueError, KeyError, ImportError, OSError, RuntimeError, SafetensorError, ArtifactError) as error:
        raise FetchFailed(f"{asked.repository} is no {asked.kind} classifier that transformers knows") from error
    lacking = [*told["missing_keys"], *told["mismatched_keys"]]
    if lacking:
        raise FetchFailed(
            f"{asked.repository} has no weights for {lacking[0]}: it is no trained {asked.kind} classifier"
        )
    network.classifier = loaded
    return dict(network.state_dict())


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise FetchFailed(f"{path.name} of the repository cannot be read") from error


def _card(draft: Draft, described: Mapping[str, Any], groups: tuple[tuple[int, ...], ...]) -> str:
    labels = labels_of(described)
    rows = [
        f"| {emotion} | {', '.join(labels[index] for index in group) or 'never'} |"
        for emotion, group in zip(EMOTIONS, groups, strict=True)
    ]
    return "\n".join(
        [
            f"# {draft.name}\n",
            f"Fetched: {draft.starts[0]}. Not measured here: `python -m ml evaluate` does it on labelled data.\n",
            "| Ours | Theirs |\n|---|---|",
            *rows,
            f"\nCommand: `{draft.command}`\n",
            f"## Licence\n\n{draft.licence.name}. {draft.licence.note}\n",
        ]
    )
