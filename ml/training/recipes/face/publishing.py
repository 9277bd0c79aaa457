"""Model card and manifest of a face network: its data, its pretrained weights and the commands that made it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ml.registry import ModelDescription, ModelStore
from ml.training.loop import history, run_settings
from ml.training.metrics import measure, softmax
from ml.training.model_card import card
from ml.training.recipes.face.backbones import PRETRAINED, SUMMARIES, FaceNetwork
from ml.training.recipes.face.config import FaceTrainConfig
from ml.training.recipes.face.data import is_trained_on, list_examples
from ml.training.recipes.face.ensembling import parse_member, published_names
from ml.training.recipes.recipe import (
    LICENCE_OF_ITS_DATA,
    HeldOut,
    OutOfFold,
    licence_of,
    loop_options,
    metrics_with_folds,
    parts_of,
    restrictions,
    training_sets,
)
from ml.vocabulary import EMOTIONS

COMMAND_SEPARATOR = "; and "
"""Separator between the training commands of the members of an ensemble."""
DATA_RESTRICTIONS = "The data sets trained on are for research, some of them non-commercial."
LIMITS = (
    "Labels of the training sets are noisy: two annotations of FER2013 agree on 63 % of the pictures.",
    "Posed and web pictures prevail; film stills are read far worse (see the figure of SFEW).",
    "Profiles, covered faces and children are rare in the data; age and skin tone are not balanced.",
)
LISTED_LIMITS = ("It has learnt only what its data show: compare it on faces, light and cameras of your own.",)


def publish_network(
    config: FaceTrainConfig, network: FaceNetwork, outputs: HeldOut, temperature: float, folds: OutOfFold | None
) -> str:
    """Write the network into the store, with figures of its held-out outputs. Return its reference."""
    metrics = {}
    for name, rows in parts_of(outputs.examples).items():
        part = outputs.select(rows)
        metrics[name] = measure(softmax(part.logits_NC, temperature), part.labels_N.numpy(), EMOTIONS).json()
    store, size, members = ModelStore(config.store), network.config.size, (str(config.out), *config.ensemble_with)
    origins = [_origin(config, store, name) for name in members]
    description = ModelDescription(
        name=config.name,
        architecture="face_ensemble" if config.ensemble_with else run_settings(config.out)["architecture"],
        config=asdict(network.config),
        labels=EMOTIONS,
        preprocessing={"colour": "grey", "size": size, "crop": "square around the face, eyes level"},
        temperature=temperature,
        metrics=metrics_with_folds(metrics, folds),
        data=tuple(dict.fromkeys(name for origin in origins for name in origin.data)),
        starts=tuple(dict.fromkeys(name for origin in origins for name in origin.starts)),
        command=COMMAND_SEPARATOR.join(origin.command for origin in origins),
        licence=licence_of(
            config,
            LICENCE_OF_ITS_DATA if config.data.is_file() else DATA_RESTRICTIONS,
            restrictions(store, published_names(members)),
        ),
    )
    summary = SUMMARIES[description.architecture]
    text = card(
        description,
        title="Affect face",
        summary=f"{summary} that reads the expression of a grey {size}×{size} crop as one of seven emotions.",
        use="Expression as people would label it in a picture. It does not show what a person feels inside.",
        limits=LISTED_LIMITS if config.data.is_file() else LIMITS,
    )
    return store.publish(description, network.state_dict(), card=text)


@dataclass(frozen=True)
class _Origin:
    """Origin of a network: data sets trained on, pretrained weights, and the command."""

    data: tuple[str, ...]
    starts: tuple[str, ...]
    command: str


def _origin(config: FaceTrainConfig, store: ModelStore, reference: str) -> _Origin:
    """Return the origin of a run on the data of `config`, or of a published network."""
    run = Path(reference)
    if not run.is_dir():
        return _published_origin(store, reference)
    settings = run_settings(run)
    pretrained = [weights.title for name, weights in PRETRAINED.items() if name in settings]
    names = settings.get("sets") or [each.partition("=")[0] for each in settings.get("dataset_weights", [])]
    trained = replace(config, leave_out=tuple(settings.get("leave_out", ())))
    examples = [each for each in list_examples(trained) if is_trained_on(names, each)]
    own = _Origin(training_sets(examples), tuple(pretrained), _command(run))
    start = settings.get("start")
    if "tune" not in settings or start is None or Path(start).is_dir():
        return own
    earlier = _published_origin(store, start)
    known = {name.partition(":")[0] for name in own.data}
    others = [name for name in earlier.data if name.partition(":")[0] not in known]
    return _Origin(
        (*own.data, *others),
        tuple(dict.fromkeys((*earlier.starts, *own.starts))),
        f"{earlier.command}; then {own.command}",
    )


def _published_origin(store: ModelStore, reference: str) -> _Origin:
    published, member = parse_member(reference)
    manifest = store.manifest(published)
    commands: Sequence[str] = manifest.command.split(COMMAND_SEPARATOR)
    if member and len(commands) > 1:
        architectures = [each["architecture"] for each in manifest.config["members"]]
        commands = [command for own, command in zip(architectures, commands, strict=True) if own == member]
    return _Origin(manifest.data, manifest.starts, COMMAND_SEPARATOR.join(commands))


def _command(run: Path) -> str:
    """Return the command of the run, after the command of the run that it started from."""
    settings = run_settings(run)
    loop, done = settings["loop"], len(history(run))
    start = settings.get("start")
    options = {"epochs": loop["epochs"], "learning-rate": loop["learning_rate"], "warm-up": loop["warm_up"]}
    saved = {"strength": "augment-strength", "painted": "painted-prob", "mixup": "mixup", "votes": "votes-share"}
    options |= {flag: settings[name] for name, flag in saved.items() if name in settings}
    lists = {"sets": "datasets", "dataset_weights": "dataset-weights", "leave_out": "leave-out"}
    options |= {flag: " ".join(settings[name]) for name, flag in lists.items() if name in settings}
    options["size"] = settings["config"]["size"]
    crop = settings["config"].get("crop", {"architecture": settings["architecture"], "config": settings["config"]})
    if "widths" in crop["config"]:
        options["widths"] = " ".join(map(str, crop["config"]["widths"]))
    pretrained = {name: weights.file for name, weights in PRETRAINED.items() if name in settings}
    tuned = {"tune": settings["tune"], "batch-size": settings["batch"]} if "tune" in settings else {}
    options |= tuned or pretrained or {"backbone": crop["architecture"].removeprefix("face_")}
    teachers = ["RUN" if Path(name).is_dir() else name for name in settings.get("taught_by", [])]
    options |= {"teacher": " ".join(teachers)} if teachers else {}
    if settings["architecture"] == "face_landmarks":
        options["landmarks"] = "on"
    command = "python -m ml train face " + " ".join(f"--{name} {value}" for name, value in options.items())
    command += loop_options(loop) + (" --served" if settings.get("served") else "")
    stopped = f" (stopped after {done})" if done < loop["epochs"] else ""
    if start and Path(start).is_dir():
        return f"{_command(Path(start))}; then {command}{stopped}"
    return command + (f" --start {start}" if start else "") + stopped
