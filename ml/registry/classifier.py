"""transformers classifiers of a hub in the model store, each published as a version like any other model.

Only safetensors and JSON are read, and no code of the repository runs.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from ml.errors import FetchFailed, ModelStoreError
from ml.registry.fetch import Progress, download_files, staging_folder
from ml.registry.hub_download import HUB, Hub, RemoteFile, Snapshot
from ml.registry.licences import licence_from_tags
from ml.registry.manifest import ModelDescription
from ml.registry.store import ModelStore
from ml.vocabulary import EMOTION_SYNONYMS, EMOTIONS

Kind = Literal["face", "audio", "text"]
WEIGHTS, CONFIG, EXTRACTOR, TOKENIZER = "model.safetensors", "config.json", "preprocessor_config.json", "tokenizer.json"
REQUIRED_FILES: dict[Kind, tuple[str, ...]] = {
    "face": (CONFIG, EXTRACTOR, WEIGHTS),
    "audio": (CONFIG, EXTRACTOR, WEIGHTS),
    "text": (CONFIG, TOKENIZER, WEIGHTS),
}
SAMPLE_RATE = 16_000
DEFAULT_CROP_SIZE = 224

LabelGroups = tuple[tuple[int, ...], ...]
"""For each emotion, the indices of the classifier's labels that mean it."""


@dataclass(frozen=True)
class ClassifierRequest:
    """Classifier to fetch.

    `repository`: OWNER/REPO. `labels`: label of the classifier → emotion, or "" for a label that means none of the
    seven. `licence` and `commercial`: stated by the caller, for a repository that does not state its licence.
    """

    kind: Kind
    repository: str
    name: str
    revision: str = "main"
    labels: Mapping[str, str] = field(default_factory=dict)
    licence: str | None = None
    commercial: bool = False


@dataclass(frozen=True)
class _Serving:
    """Architecture and configuration of the network that wraps a classifier, and the manifest's `preprocessing`."""

    architecture: str
    config: dict[str, Any]
    preprocessing: dict[str, Any]


def fetch_classifier(request: ClassifierRequest, store: ModelStore, progress: Progress, endpoint: str = HUB) -> str:
    """Download a classifier, publish it and return its reference; a name that the store has gets one more version.

    The files of an interrupted call stay in a hidden folder, and the next call resumes them. Raises FetchFailed: no
    such model, no safetensors, a label without an emotion, or weights that do not fill the network.
    """
    try:
        hub = Hub(endpoint)
        snapshot = hub.snapshot(request.repository, request.revision)
        files = _select_files(request, snapshot)
        with staging_folder(store.root / request.kind / request.name) as staging:
            record = {"repository": request.repository, "revision": snapshot.revision}
            download_files(hub, record, files, staging, progress)
            reference = _publish(request, snapshot, staging, store)
            shutil.rmtree(staging)
            return reference
    except OSError as error:
        raise FetchFailed(f"the model {request.name} cannot be written: {error.strerror}") from error


def _select_files(request: ClassifierRequest, snapshot: Snapshot) -> list[RemoteFile]:
    required = REQUIRED_FILES[request.kind]
    wanted = [file for file in snapshot.files if file.name in required]
    missing = set(required) - {file.name for file in wanted}
    if missing:
        lacking = "weights in one safetensors file" if WEIGHTS in missing else ", ".join(sorted(missing))
        raise FetchFailed(f"{request.repository} has no {lacking}: it cannot be served as a {request.kind} model")
    return sorted(wanted, key=lambda file: (file.size, file.name))


def _publish(request: ClassifierRequest, snapshot: Snapshot, folder: Path, store: ModelStore) -> str:
    classifier_config = _read_json(folder / CONFIG)
    groups = group_labels(classifier_config, request.labels)
    serving = _describe_serving(request, snapshot, classifier_config, groups, folder)
    description = ModelDescription(
        name=request.name,
        architecture=serving.architecture,
        config=serving.config,
        labels=EMOTIONS,
        preprocessing=serving.preprocessing,
        metrics={},
        data=(f"as {request.repository} states",),
        starts=(f"{request.repository} at {snapshot.revision}",),
        command=f"python -m ml fetch {request.kind} {request.repository} --revision {snapshot.revision}",
        licence=licence_from_tags(snapshot.tags, request.repository, request.licence, request.commercial),
    )
    weights = _load_weights(request, serving, folder)
    files = {TOKENIZER: (folder / TOKENIZER).read_bytes()} if request.kind == "text" else {}
    return store.publish(description, weights, _card(description, classifier_config, groups), files, max_bytes=None)


def group_labels(classifier_config: Mapping[str, Any], stated: Mapping[str, str]) -> LabelGroups:
    """Return, for each emotion, the indices of the classifier's labels that mean it.

    `stated`: emotions of labels, stated by the caller. Raises FetchFailed for a label without a known emotion, and for
    a stated label that the classifier does not have.
    """
    index_of = {label: index for index, label in numbered_labels(classifier_config).items()}
    emotions = {label: stated.get(label, EMOTION_SYNONYMS.get(label.strip().casefold())) for label in index_of}
    unmapped = sorted(label for label, emotion in emotions.items() if emotion not in (*EMOTIONS, ""))
    unknown = sorted(set(stated) - set(index_of))
    if unmapped or unknown or not index_of:
        labels = ", ".join(unmapped or unknown) or "any"
        raise FetchFailed(
            f"no emotion is known for the labels {labels}: state it with --labels LABEL=EMOTION (LABEL= for none), "
            f"or in a JSON file; the emotions are {', '.join(EMOTIONS)}"
        )
    return tuple(tuple(index_of[label] for label in index_of if emotions[label] == emotion) for emotion in EMOTIONS)


def numbered_labels(classifier_config: Mapping[str, Any]) -> dict[int, str]:
    """Return the classifier's labels by index. Raises FetchFailed if its configuration does not number them."""
    try:
        return {int(index): str(label) for index, label in dict(classifier_config.get("id2label") or {}).items()}
    except (ValueError, TypeError) as error:
        raise FetchFailed(f"the labels in {CONFIG} of the repository are not numbered") from error


def _describe_serving(
    request: ClassifierRequest,
    snapshot: Snapshot,
    classifier_config: dict[str, Any],
    groups: LabelGroups,
    folder: Path,
) -> _Serving:
    from ml.networks.hub import MAX_TOKENS, HubAudioConfig, HubFaceConfig, HubTextConfig

    common: dict[str, Any] = {
        "classifier": classifier_config,
        "groups": groups,
        "embedding": len(numbered_labels(classifier_config)),
        "several": classifier_config.get("problem_type") == "multi_label_classification",
    }
    if request.kind == "text":
        positions = int(classifier_config.get("max_position_embeddings") or MAX_TOKENS)
        text = HubTextConfig(**common, positions=min(positions - 2, MAX_TOKENS))
        languages = [tag for tag in snapshot.tags if len(tag) == 2 and tag.isalpha()] or ["en"]
        return _Serving("hub_words", asdict(text), {"tokenizer": TOKENIZER, "languages": languages})
    extractor = _read_json(folder / EXTRACTOR)
    if request.kind == "audio":
        if extractor.get("sampling_rate", SAMPLE_RATE) != SAMPLE_RATE:
            raise FetchFailed(f"{request.repository} hears {extractor['sampling_rate']} Hz: only 16,000 can be served")
        audio = HubAudioConfig(**common, extractor=extractor)
        return _Serving("hub_voice", asdict(audio), {"sample_rate": SAMPLE_RATE})
    size = _crop_size(extractor)
    unnormalized = extractor.get("do_normalize") is False
    mean = (0.0,) if unnormalized else tuple(extractor.get("image_mean") or (0.5,))
    deviation = (1.0,) if unnormalized else tuple(extractor.get("image_std") or (0.5,))
    face = HubFaceConfig(**common, size=size, mean=mean, deviation=deviation)
    crop = {"colour": "grey", "size": size, "crop": "square around the face, eyes level"}
    return _Serving("hub_face", asdict(face), crop)


def _crop_size(extractor: Mapping[str, Any]) -> int:
    """Return the side, in pixels, of the square that the classifier takes."""
    for size in (extractor.get("crop_size") if extractor.get("do_center_crop") else None, extractor.get("size")):
        if isinstance(size, int):
            return size
        if isinstance(size, Mapping):
            return int(size.get("height") or size.get("shortest_edge") or DEFAULT_CROP_SIZE)
    return DEFAULT_CROP_SIZE


def _load_weights(request: ClassifierRequest, serving: _Serving, folder: Path) -> dict[str, Any]:
    """Return the weights as transformers reads them: it renames those of older versions. Raises FetchFailed."""
    import torch
    import transformers
    from safetensors import SafetensorError

    from ml.networks import build

    try:
        network = cast(Any, build(serving.architecture, serving.config))
        classifier, loading = getattr(transformers, network.auto).from_pretrained(
            folder, use_safetensors=True, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
    except (ValueError, KeyError, ImportError, OSError, RuntimeError, SafetensorError, ModelStoreError) as error:
        raise FetchFailed(f"{request.repository} is no {request.kind} classifier that transformers knows") from error
    missing = [*loading["missing_keys"], *loading["mismatched_keys"]]
    if missing:
        raise FetchFailed(
            f"{request.repository} has no weights for {missing[0]}: it is no trained {request.kind} classifier"
        )
    network.classifier = classifier
    return dict(network.state_dict())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise FetchFailed(f"{path.name} of the repository cannot be read") from error


def _card(description: ModelDescription, classifier_config: Mapping[str, Any], groups: LabelGroups) -> str:
    labels = numbered_labels(classifier_config)
    rows = [
        f"| {emotion} | {', '.join(labels[index] for index in group) or 'never'} |"
        for emotion, group in zip(EMOTIONS, groups, strict=True)
    ]
    return "\n".join(
        [
            f"# {description.name}\n",
            f"Fetched: {description.starts[0]}. Not measured here: `python -m ml evaluate` does it on labelled data.\n",
            "| Ours | Theirs |\n|---|---|",
            *rows,
            f"\nCommand: `{description.command}`\n",
            f"## Licence\n\n{description.licence.name}. {description.licence.note}\n",
        ]
    )
