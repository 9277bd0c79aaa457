"""The fusion, trained on recordings that are seen and heard (a list), or, where there is no such corpus, on clips
composed of faces, voices and sentences (a folder of collected data).

Composed clips are made of pieces that the single nets were not trained on; by who is seen, heard or quoted, half of
these are for the clips that are measured on, a quarter for those that choose and calibrate. Half of the clips have
neutral words or none, a tenth disagree in one modality, and some faces are neutral for a while. Two fusions are
trained, the addition of log-odds and the same with the LSTM's correction; the one that does better on the clips that
are chosen on is published.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ml.artifacts import Bundle, Draft, ModelStore
from ml.errors import InvalidManifest
from ml.inference.fusion import Evidence, FusionPredictor, WindowEvidence, collate
from ml.inference.sound import tones_of
from ml.models import config_of
from ml.models.fusion import Fusion, FusionConfig, FusionInput
from ml.training.cards import card
from ml.training.datasets.example import Example, Split
from ml.training.datasets.manifest import read_examples
from ml.training.loop import LoopConfig, Task, averaged_weights, history, run_settings
from ml.training.metrics import Ablation, Metrics, fit_temperature, measure
from ml.training.preprocess import Prepared, Preprocessing, preprocess
from ml.training.recipes.face_views import moved
from ml.training.recipes.fusion_pieces import Pool, Pools, Random, Readers, evidence_from, read_pools
from ml.training.recipes.recipe import (
    AS_ITS_DATA,
    CHOSEN_BY,
    HELD_OUT_SPLITS,
    PRECISION,
    HeldOut,
    Plan,
    add_common,
    licence_of,
    loop_options,
    restrictions,
    sets_of,
)
from ml.vocabulary import EMOTIONS, MODALITIES, Modality

MOST_FRAMES = 16
SILENT, UNSEEN, DISAGREE, PARTLY_NEUTRAL = 0.15, 0.15, 0.1, 0.3
NO_WORDS, NEUTRAL_WORDS = 0.25, 0.25
DROPPED = 0.2
"""How often a modality is taken from a clip in training, beside what it lacks already."""
VIEWS, VIEW_STRENGTH = 2, 0.6
"""How many other views of a recording are trained on, and how far they differ."""
CLIPS_AN_EPOCH, CLIPS_MEASURED = 12_800, 6_000
LIMITS_OF_CLIPS = (
    "Trained and measured on clips composed of faces, voices and sentences that were never recorded together: these "
    "figures compare ways to fuse, and say little about real people who speak.",
    "The clips that are measured on are of other people and sentences than those trained on, and than those that "
    "choose and calibrate.",
)


@dataclass(frozen=True)
class Clip:
    evidence: WindowEvidence
    label: int


def compose(random: Random, pools: Pools) -> Clip:
    """One window of somebody who comes across as one emotion."""
    label = int(random.integers(len(EMOTIONS)))
    labels = dict.fromkeys(MODALITIES, label)
    if random.random() < DISAGREE:
        labels[MODALITIES[random.integers(len(MODALITIES))]] = int(random.integers(len(EMOTIONS)))
    lacking, words = random.random(), random.random()
    if words < NO_WORDS + NEUTRAL_WORDS:
        labels["text"] = EMOTIONS.index("neutral")
    evidence = WindowEvidence(
        face=() if lacking < UNSEEN else _frames(random, pools.face, labels["face"]),
        audio=None if UNSEEN <= lacking < UNSEEN + SILENT else pools.audio.draw(random, labels["audio"])[0],
        text=None if words < NO_WORDS else pools.text.draw(random, labels["text"])[0],
    )
    return Clip(evidence, label)


def _frames(random: Random, faces: Pool, label: int) -> tuple[Evidence | None, ...]:
    """Stretches of one to three pictures, some frames unseen, now and then a neutral face at the start or end."""
    count = int(random.integers(2, MOST_FRAMES + 1))
    labels = [label] * int(random.integers(1, 4))
    if random.random() < PARTLY_NEUTRAL:
        labels.insert(int(random.choice([0, len(labels)])), EMOTIONS.index("neutral"))
    looks = [faces.draw(random, own) for own in labels]
    frames: list[Evidence | None] = []
    for step in range(count):
        shown = looks[step * len(looks) // count]
        frames.append(None if random.random() < 0.1 else shown[random.integers(len(shown))])
    return tuple(frames) if any(frames) else (looks[0][0],)


def thinned(random: Random, clip: Clip) -> Clip:
    """The clip with modalities taken away at random, never all."""
    evidence = clip.evidence
    for modality in MODALITIES:
        left = evidence.without(modality)
        if random.random() < DROPPED and any(left.present.values()):
            evidence = left
    return replace(clip, evidence=evidence)


@dataclass(frozen=True)
class Material:
    """`draw` gives a clip to train on; `fitting` are clips of others, to choose and calibrate on; `measured` are
    of others again. `steps`: batches an epoch, of a given size."""

    draw: Callable[[Random], Clip]
    fitting: list[Clip]
    measured: list[Clip]
    clips_an_epoch: int = CLIPS_AN_EPOCH

    @property
    def sizes(self) -> dict[str, int]:
        """Embedding sizes of face, audio and text; 1 where no clip has the modality."""
        found = {f"{name}_size": 1 for name in MODALITIES}
        for clip in self.fitting:
            evidence = clip.evidence
            faces = [frame for frame in evidence.face if frame]
            pieces = {"face": faces[0] if faces else None, "audio": evidence.audio, "text": evidence.text}
            found |= {f"{name}_size": piece.embedding.size for name, piece in pieces.items() if piece}
        return found


def batches(
    random: Random, material: Material, config: FusionConfig, size: int
) -> Iterator[tuple[FusionInput, Tensor]]:
    for _ in range(material.clips_an_epoch // size):
        clips = [thinned(random, material.draw(random)) for _ in range(size)]
        yield collate([clip.evidence for clip in clips], config), torch.tensor([clip.label for clip in clips])


def loss(model: nn.Module, batch: tuple[FusionInput, Tensor]) -> Tensor:
    windows, labels = batch
    return cross_entropy(model(windows).float(), labels, label_smoothing=0.05)


def evaluate(predictor: FusionPredictor, clips: Sequence[Clip]) -> tuple[Metrics, Ablation | None]:
    """Figures of the fusion on all clips, and on those with all modalities: there with each taken away and each alone
    (the single modality's own probabilities)."""
    full = [clip for clip in clips if all(clip.evidence.present.values())]
    figures = _figures(predictor, clips)
    if not full:
        return figures, None
    without: dict[str, Metrics] = {}
    alone: dict[str, Metrics] = {}
    for modality in MODALITIES:
        left = [replace(clip, evidence=clip.evidence.without(modality)) for clip in full]
        without[modality] = _figures(predictor, left)
        logs = np.stack([single(clip.evidence, modality) for clip in full])
        alone[modality] = measure(np.exp(logs), _labels(full), EMOTIONS)
    return figures, Ablation(_figures(predictor, full), without, alone)


def figures_by_name(clips: Metrics, ablation: Ablation | None) -> dict[str, Any]:
    """As a manifest holds them."""
    named = {"clips": clips}
    if ablation:
        named["with all three"] = ablation.whole
        named |= {f"without {name}": metrics for name, metrics in ablation.without.items()}
        named |= {f"{name} alone": metrics for name, metrics in ablation.alone.items()}
    return {name: metrics.json() for name, metrics in named.items()}


def measure_published(data: Path, store: ModelStore, bundle: Bundle, cache: Path) -> tuple[Metrics, Ablation | None]:
    """Of the fusion of a bundle that names all models, on the clips composed of `data` that `publish` measures on."""
    assert bundle.fusion
    predictor = FusionPredictor.load(store, bundle.fusion, torch.device("cpu"))
    return evaluate(predictor, composed(data, store, bundle, cache).measured)


def single(evidence: WindowEvidence, modality: Modality) -> NDArray[np.float32]:
    """What one modality says by itself: log-probabilities [7], of the face the log of its frames' mean."""
    if modality == "face":
        seen = [np.exp(frame.log_probabilities) for frame in evidence.face if frame]
        return np.asarray(np.log(np.mean(seen, axis=0)), np.float32)
    found = evidence.audio if modality == "audio" else evidence.text
    assert found is not None
    return found.log_probabilities


def _figures(predictor: FusionPredictor, clips: Sequence[Clip]) -> Metrics:
    logs = predictor.predict([clip.evidence for clip in clips])
    return measure(np.exp(logs), _labels(clips), EMOTIONS)


def _labels(clips: Sequence[Clip]) -> NDArray[np.int64]:
    return np.array([clip.label for clip in clips])


def material_of(args: argparse.Namespace) -> Material:
    """Readings of the models that the fusion is for. Raises InvalidManifest when the data is too little."""
    face, audio, text = args.models
    bundle = Bundle.of(name=args.bundle, face=face, audio=audio, text=text, fusion=None)
    if args.data.is_file():
        return recorded(args, bundle)
    return composed(args.data, ModelStore(args.store), bundle, args.cache)


def composed(data: Path, store: ModelStore, bundle: Bundle, cache: Path) -> Material:
    """Clips of pieces that the bundle's nets were not trained on. Raises InvalidManifest when that is not known of
    voices, or the folder is not there."""
    assert bundle.audio
    if store.manifest(bundle.audio).preprocessing.get("held_out_fold") is None:
        raise InvalidManifest(
            f"{bundle.audio} does not tell which fold of the collected speakers it left out: clips are composed of "
            "voices that a net did not hear"
        )
    if not data.is_dir():
        raise InvalidManifest(f"{data} is no folder of collected data")
    pools = read_pools(argparse.Namespace(data=data, store=store.root, cache=cache), bundle)
    random = np.random.default_rng(1)
    return Material(
        draw=lambda random: compose(random, pools["training"]),
        fitting=[compose(random, pools["fitting"]) for _ in range(CLIPS_MEASURED)],
        measured=[compose(random, pools["measuring"]) for _ in range(CLIPS_MEASURED)],
    )


def recorded(args: argparse.Namespace, bundle: Bundle) -> Material:
    """Recordings of a list, one clip each: chosen and calibrated on its validation part, measured on its test part, or
    on the validation part where it has no other."""
    torch.manual_seed(args.seed)
    models = Readers.of(bundle, ModelStore(args.store))
    config = Preprocessing(models.face.crop_size, landmarks=models.face.takes_landmarks, whisper=args.whisper)
    cache = preprocess(args.data, args.cache / "prepared", config, args.store, workers=args.workers)
    sides: dict[Split, list[Clip]] = {"train": [], "valid": [], "test": []}
    for one in cache:
        evidence = evidence_of(models, one)
        if one.example.label and any(evidence.present.values()):
            varied = other_views(models, one, evidence) if one.example.split == "train" else []
            sides[one.example.split] += [Clip(view, one.example.index) for view in (evidence, *varied)]
    training, fitting = sides["train"], sides["valid"]
    if len(training) < args.batch or not fitting:
        raise InvalidManifest(
            f"{len(training)} views of recordings to train on and {len(fitting)} to validate on are too few"
        )
    return Material(
        draw=lambda random: training[random.integers(len(training))],
        fitting=fitting,
        measured=sides["test"] or fitting,
        clips_an_epoch=max(len(training), args.batch),
    )


def other_views(models: Readers, prepared: Prepared, evidence: WindowEvidence) -> list[WindowEvidence]:
    """The same recording as other cameras might have seen it: one change of place and light for all of its frames."""
    if not evidence.face:
        return []
    crops = torch.from_numpy(prepared.crops)
    changed = [moved(crops, VIEW_STRENGTH, together=True).squeeze(1) * 255 for _ in range(VIEWS)]
    views = [replace(prepared, crops=view.round().to(torch.uint8).numpy()) for view in changed]
    return [replace(evidence, face=_read_faces(models, view)) for view in views]


def _read_faces(models: Readers, prepared: Prepared) -> tuple[Evidence, ...]:
    if not len(prepared.crops):
        return ()
    return tuple(evidence_from(models.face.predict(list(prepared.crops), list(prepared.landmarks))))


def evidence_of(models: Readers, prepared: Prepared) -> WindowEvidence:
    """A recording as one window."""
    (audio,) = tones_of(models.audio, [prepared.samples])
    text = None
    if prepared.transcript:
        (text,) = evidence_from(models.text.predict([prepared.transcript], [prepared.example.before or ""]))
    return WindowEvidence(face=_read_faces(models, prepared), audio=audio, text=text)


def plans(args: argparse.Namespace) -> list[Plan]:
    """The addition of log-odds, and the same with the LSTM's correction."""
    torch.set_num_threads(args.threads)
    material = material_of(args)
    addition = FusionConfig(**material.sizes, residual=False)
    shaped = replace(addition, residual=True, lstm=args.lstm, dense=args.dense, projection=args.projection)
    return [_plan(args, config, material) for config in (addition, shaped)]


def _plan(args: argparse.Namespace, config: FusionConfig, material: Material) -> Plan:
    torch.manual_seed(args.seed)
    targets = _labels(material.fitting)

    def validate(model: nn.Module) -> dict[str, float]:
        predictor = FusionPredictor(cast(Fusion, model), 1.0, torch.device("cpu"))
        logs = predictor.predict([clip.evidence for clip in material.fitting])
        accuracy = float((logs.argmax(1) == targets).mean())
        return {"accuracy": accuracy, CHOSEN_BY: accuracy}

    task = Task(
        model=Fusion(config),
        steps=material.clips_an_epoch // args.batch,
        batches=lambda epoch: batches(np.random.default_rng([args.seed, epoch]), material, config, args.batch),
        loss=loss,
        validate=validate,
    )
    settings = LoopConfig(
        epochs=args.epochs,
        learning_rate=args.learning_rate,
        optimizer=args.optimizer,
        warm_up=0.2,
        weight_decay=0.02,
        bf16=PRECISION[args.precision],
        seed=args.seed,
    )
    extra = {"config": config_of(config), "bundle": args.models, "batch": args.batch}
    return Plan(settings, task, extra, _folder(residual=config.residual))


def _folder(*, residual: bool) -> str:
    return "lstm" if residual else "addition"


def space(trial: Any, args: argparse.Namespace) -> dict[str, Any]:
    """LSTM and dense sizes, and the rate."""
    return {
        "lstm": trial.suggest_categorical("lstm", [16, 32, 48, 96]),
        "dense": trial.suggest_categorical("dense", [32, 64, 128]),
        "projection": trial.suggest_categorical("projection", [16, 32, 64]),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
    }


def trained(run: Path, *, residual: bool) -> Fusion:
    """The net of a run, as the store keeps it: in half precision."""
    folder = run / _folder(residual=residual)
    network = Fusion(FusionConfig(**run_settings(folder)["config"]))
    network.load_state_dict(averaged_weights(folder))
    return network.half().float().eval()


def held_out(args: argparse.Namespace, splits: Sequence[Split] = HELD_OUT_SPLITS) -> HeldOut:
    """What the better fusion says of the clips that are chosen and calibrated on, all of them for validation."""
    material = material_of(args)
    network = trained(args.out, residual=_better(args.out))
    logs = _logs(network, 1.0, material.fitting)
    examples = [Example(EMOTIONS[clip.label], "clips", "valid") for clip in material.fitting]
    return HeldOut(torch.from_numpy(logs), examples)


def _better(run: Path) -> bool:
    """Whether the LSTM's correction helps, on the clips that are chosen on."""
    last = {residual: history(run / _folder(residual=residual))[-1]["accuracy"] for residual in (False, True)}
    return last[True] > last[False]


def _logs(network: Fusion, temperature: float, clips: Sequence[Clip]) -> NDArray[np.float32]:
    return FusionPredictor(network, temperature, torch.device("cpu")).predict([clip.evidence for clip in clips])


def publish(args: argparse.Namespace, temperature: float) -> str:
    """Measures both fusions, and writes the better one as the next version into `--store`, and the bundle."""
    material, store = material_of(args), ModelStore(args.store)
    best = _better(args.out)
    network, other = (trained(args.out, residual=residual) for residual in (best, not best))
    own_temperature = fit_temperature(
        torch.from_numpy(_logs(other, 1.0, material.fitting)), torch.from_numpy(_labels(material.fitting))
    )
    figures, compared = (
        figures_by_name(*evaluate(FusionPredictor(model, divisor, torch.device("cpu")), material.measured))
        for model, divisor in ((network, temperature), (other, own_temperature))
    )
    told = "without" if best else "with"
    figures |= {f"{told} the LSTM: {name}": value for name, value in compared.items()}
    draft = _draft(args, network.config, temperature, figures)
    limits = _limits_of_recordings(material) if args.data.is_file() else LIMITS_OF_CLIPS
    reference = store.publish(draft, network.state_dict(), card=_card(draft, limits, lstm=best))
    face, audio, text = args.models
    store.write_bundle(Bundle.of(name=args.bundle, face=face, audio=audio, text=text, fusion=reference))
    return reference


def _draft(args: argparse.Namespace, config: FusionConfig, temperature: float, metrics: dict[str, Any]) -> Draft:
    return Draft(
        name=args.name,
        architecture="fusion",
        config=config_of(config),
        labels=EMOTIONS,
        preprocessing={"models": args.models},
        temperature=temperature,
        metrics=metrics,
        data=sets_of(list(read_examples(args.data)))
        if args.data.is_file()
        else (
            "Composed clips of held-out pieces: FER2013 public test, AffectNet tenth, SFEW, CK+, JAFFE and others",
            "RAVDESS and nEMO speakers held out, TESS, Urdu talk shows",
            "GoEmotions dev, MELD dev",
        ),
        command=_command(args.out, args.bundle),
        licence=licence_of(
            args,
            AS_ITS_DATA if args.data.is_file() else "Trained on readings of data sets for research.",
            restrictions(ModelStore(args.store), args.models) if args.commercial else [],
        ),
    )


def _command(run: Path, bundle: str) -> str:
    """What made both fusions of a run: the sizes are those of the LSTM's."""
    settings = run_settings(run / _folder(residual=True))
    loop, config = settings["loop"], settings["config"]
    told = f"python -m ml train fusion --models {' '.join(settings['bundle'])} --bundle {bundle}"
    told += f" --lstm {config['lstm']} --dense {config['dense']} --projection {config['projection']}"
    told += f" --epochs {loop['epochs']} --batch {settings['batch']} --learning-rate {loop['learning_rate']}"
    return told + (" --precision bf16" if loop["bf16"] else "") + loop_options(loop)


def _limits_of_recordings(material: Material) -> tuple[str, ...]:
    own_test = material.measured is not material.fitting
    return (
        "Trained and measured on the recordings of one list, each read as one window: other people, places and ways to "
        "record were not seen.",
        "Where its models were trained on the same recordings, it trusts them too much.",
        "The recordings that are measured on are neither those trained on nor those that choose and calibrate."
        if own_test
        else "The recordings that are measured on also chose and calibrated it: the figures are too good.",
    )


def _card(draft: Draft, limits: Sequence[str], *, lstm: bool) -> str:
    shape = "log-odds added, and corrected by an LSTM over the face's frames" if lstm else "log-odds added by weight"
    return card(
        draft,
        title="Affect fusion",
        summary=f"Joins face, voice and words of one window: {shape}. What is absent is masked.",
        use="Together with the models that it was trained on: " + ", ".join(draft.preprocessing["models"]) + ".",
        limits=limits,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser, "fusion")
    parser.set_defaults(precision="fp32")
    parser.add_argument("--models", nargs=3, metavar=("FACE", "AUDIO", "TEXT"), required=True)
    parser.add_argument("--bundle", default="default", help="publish: the bundle that is written")
    parser.add_argument(
        "--whisper", metavar="NAME", default="tiny.en", help="writes down what recordings of a list say"
    )
    parser.add_argument("--lstm", type=int, default=FusionConfig.lstm, help="size of the LSTM over the frames")
    parser.add_argument("--dense", type=int, default=FusionConfig.dense)
    parser.add_argument("--projection", type=int, default=FusionConfig.projection)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
