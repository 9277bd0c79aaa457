"""The fusion, trained on clips composed of faces, voices and sentences (no labelled audio-visual corpus is at
hand).

The pieces are those that the single nets were not trained on; half of them, by who is seen, heard or quoted, compose
the clips that the fusion is measured on. Half of the clips have neutral words or none, a tenth disagree in one
modality, and some faces are neutral for a while. Two fusions are trained, the addition of log-odds and the same with
the LSTM's correction; the one that measures better is published.
"""

import argparse
import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ml.artifacts import Bundle, Draft, Licence, ModelStore
from ml.inference.audio import TonePredictor
from ml.inference.face import FacePredictor
from ml.inference.fusion import Evidence, FusionPredictor, WindowEvidence, collate
from ml.inference.text import TextPredictor
from ml.models import config_of
from ml.models.fusion import Fusion, FusionConfig, FusionInput
from ml.training.cards import card
from ml.training.datasets.example import Example
from ml.training.datasets.faces import read_faces
from ml.training.datasets.text import read_sentences
from ml.training.datasets.voices import read_voices
from ml.training.loop import LoopConfig, Task, averaged_weights, fit
from ml.training.metrics import fit_temperature, measure
from ml.training.recipes.audio import load_sounds
from ml.training.recipes.face import load_crop, moved
from ml.vocabulary import EMOTIONS, MODALITIES, Modality

SENTENCES = ("goemotions", "meld")
LOOKS = 4
"""How many frames are made of one picture: it moves, turns and changes its light a little."""
MOST_FRAMES = 16
SILENT, UNSEEN, DISAGREE, PARTLY_NEUTRAL = 0.15, 0.15, 0.1, 0.3
NO_WORDS, NEUTRAL_WORDS = 0.25, 0.25
DROPPED = 0.2
"""How often a modality is taken from a clip in training, beside what it lacks already."""
CLIPS_AN_EPOCH, CLIPS_MEASURED = 12_800, 6_000
Random = np.random.Generator


@dataclass(frozen=True)
class Pool:
    """Readings of pieces by label: `readings[label]` has one entry for each picture, utterance or sentence, which has
    one reading for each of its looks."""

    readings: tuple[tuple[tuple[Evidence, ...], ...], ...]

    @classmethod
    def of(cls, labels: Sequence[int], readings: Sequence[tuple[Evidence, ...]]) -> Self:
        """Raises ValueError when an emotion has no piece."""
        grouped = tuple(
            tuple(found for label, found in zip(labels, readings, strict=True) if label == own)
            for own in range(len(EMOTIONS))
        )
        empty = [name for name, found in zip(EMOTIONS, grouped, strict=True) if not found]
        if empty:
            raise ValueError(f"no piece to compose clips of is labelled {', '.join(empty)}")
        return cls(grouped)

    def draw(self, random: Random, label: int) -> tuple[Evidence, ...]:
        pieces = self.readings[label]
        return pieces[random.integers(len(pieces))]


@dataclass(frozen=True)
class Pools:
    face: Pool
    audio: Pool
    text: Pool


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


def batches(random: Random, pools: Pools, config: FusionConfig, size: int) -> Iterator[tuple[FusionInput, Tensor]]:
    for _ in range(CLIPS_AN_EPOCH // size):
        clips = [thinned(random, compose(random, pools)) for _ in range(size)]
        yield collate([clip.evidence for clip in clips], config), torch.tensor([clip.label for clip in clips])


def loss(model: nn.Module, batch: tuple[FusionInput, Tensor]) -> Tensor:
    windows, labels = batch
    return cross_entropy(model(windows).float(), labels, label_smoothing=0.05)


def evaluate(predictor: FusionPredictor, clips: Sequence[Clip]) -> dict[str, dict[str, Any]]:
    """Figures of the fusion on all clips, on those with all modalities, and there with each taken away and each alone
    (the single modality's own probabilities)."""
    full = [clip for clip in clips if all(clip.evidence.present.values())]
    figures = {"composed clips": _figures(predictor, clips), "with all three": _figures(predictor, full)}
    for modality in MODALITIES:
        left = [replace(clip, evidence=clip.evidence.without(modality)) for clip in full]
        figures[f"without {modality}"] = _figures(predictor, left)
    for modality in MODALITIES:
        logs = np.stack([single(clip.evidence, modality) for clip in full])
        figures[f"{modality} alone"] = measure(np.exp(logs), _labels(full), EMOTIONS).json()
    return figures


def single(evidence: WindowEvidence, modality: Modality) -> NDArray[np.float32]:
    """What one modality says by itself: log-probabilities [7], of the face the log of its frames' mean."""
    if modality == "face":
        seen = [np.exp(frame.log_probabilities) for frame in evidence.face if frame]
        return np.asarray(np.log(np.mean(seen, axis=0)), np.float32)
    found = evidence.audio if modality == "audio" else evidence.text
    assert found is not None
    return found.log_probabilities


def _figures(predictor: FusionPredictor, clips: Sequence[Clip]) -> dict[str, Any]:
    logs = predictor.predict([clip.evidence for clip in clips])
    return measure(np.exp(logs), _labels(clips), EMOTIONS).json()


def _labels(clips: Sequence[Clip]) -> NDArray[np.int64]:
    return np.array([clip.label for clip in clips])


def for_measuring(source: str) -> bool:
    """Whether the pieces of a person or source are for the clips that are measured on."""
    return hashlib.sha256(source.encode()).digest()[0] % 2 == 0


def read_pools(args: argparse.Namespace, bundle: Bundle) -> tuple[Pools, Pools]:
    """Pieces to train on, and pieces to measure on."""
    assert bundle.face and bundle.audio and bundle.text
    store, device = ModelStore(args.store), torch.device("cpu")
    faces = _face_pieces(FacePredictor.load(store, bundle.face, device), args.data / "faces")
    fold = store.manifest(bundle.audio).preprocessing["held_out_fold"]
    voices = _voice_pieces(TonePredictor.load(store, bundle.audio, device), args.data / "audio", fold, args.cache)
    sentences = _sentence_pieces(TextPredictor.load(store, bundle.text, device), args.data / "text")
    sides = [[_pool(pieces, side) for pieces in (faces, voices, sentences)] for side in (False, True)]
    training, measured = (Pools(*side) for side in sides)
    return training, measured


@dataclass(frozen=True)
class Pieces:
    examples: list[Example]
    readings: list[tuple[Evidence, ...]]
    source: Callable[[Example], str]


def _pool(pieces: Pieces, measuring: bool) -> Pool:
    rows = [row for row, e in enumerate(pieces.examples) if for_measuring(pieces.source(e)) == measuring]
    return Pool.of([pieces.examples[row].index for row in rows], [pieces.readings[row] for row in rows])


def _face_pieces(predictor: FacePredictor, data: Path) -> Pieces:
    examples = [example for example in read_faces(data) if example.split != "train"]
    crops = np.stack([load_crop(cast(Path, example.path), predictor.crop_size) for example in examples])
    torch.manual_seed(0)
    looks = [crops]
    for _ in range(LOOKS - 1):
        images = moved(torch.from_numpy(crops), strength=0.4)
        looks.append((images.squeeze(1) * 255).round().to(torch.uint8).numpy())
    found = [_evidence(predictor.predict(list(look))) for look in looks]
    return Pieces(examples, list(zip(*found, strict=True)), _depicted)


def _depicted(example: Example) -> str:
    """The person of a posed picture (CK+, JAFFE), elsewhere the picture."""
    stem = cast(Path, example.path).stem
    if example.dataset == "ckplus48":
        return stem.split("_")[0]
    return stem[:2] if example.dataset == "jaffe" else stem


def _voice_pieces(predictor: TonePredictor, data: Path, fold: int, cache: Path) -> Pieces:
    examples = [example for example in read_voices(data, fold) if example.split != "train"]
    sounds = load_sounds(examples, cache / "voices.npz")
    outputs = predictor.predict([sounds.waveform(row) for row in range(len(examples))])
    return Pieces(examples, [(reading,) for reading in _evidence(outputs)], lambda example: example.speaker or "")


def _sentence_pieces(predictor: TextPredictor, data: Path) -> Pieces:
    every = [example for example in read_sentences(data, SENTENCES) if example.split != "train"]
    examples = [example for example in every if example.target is not None and max(example.target) == 1.0]
    outputs = predictor.predict([example.text or "" for example in examples])
    return Pieces(examples, [(reading,) for reading in _evidence(outputs)], lambda example: example.text or "")


def _evidence(outputs: Any) -> list[Evidence]:
    rows = zip(outputs.embeddings_NE, outputs.log_probabilities_NC, strict=True)
    return [Evidence(embedding, logs) for embedding, logs in rows]


def train_one(args: argparse.Namespace, config: FusionConfig, pools: Pools, held_out: list[Clip]) -> Fusion:
    """The trained fusion; the run is kept in a folder of its own."""
    torch.manual_seed(0)
    network = Fusion(config)

    def validate(model: nn.Module) -> dict[str, float]:
        predictor = FusionPredictor(cast(Fusion, model), 1.0, torch.device("cpu"))
        logs = predictor.predict([clip.evidence for clip in held_out])
        return {"accuracy": float((logs.argmax(1) == _labels(held_out)).mean())}

    task = Task(
        model=network,
        steps=CLIPS_AN_EPOCH // args.batch,
        batches=lambda epoch: batches(np.random.default_rng([0, epoch]), pools, config, args.batch),
        loss=loss,
        validate=validate,
    )
    folder = args.out / ("lstm" if config.residual else "addition")
    settings = LoopConfig(epochs=args.epochs, learning_rate=args.learning_rate, warm_up=0.2, weight_decay=0.02)
    fit(settings, task, folder, {"config": config_of(config), "bundle": args.models, "batch": args.batch})
    network.load_state_dict(averaged_weights(folder))
    return network.half().float().eval()


def train(args: argparse.Namespace) -> None:
    """Trains both fusions on the bundle's models, publishes the better one, and writes the bundle."""
    torch.set_num_threads(args.threads)
    face, audio, text = args.models
    bundle = Bundle(name=args.bundle, face=face, audio=audio, text=text, fusion=None)
    store = ModelStore(args.store)
    training, measured = read_pools(args, bundle)
    random = np.random.default_rng(1)
    fitting = [compose(random, training) for _ in range(CLIPS_MEASURED)]
    clips = [compose(random, measured) for _ in range(CLIPS_MEASURED)]
    face_size, audio_size, text_size = (
        pool.readings[0][0][0].embedding.size for pool in (training.face, training.audio, training.text)
    )
    addition = FusionConfig(face_size, audio_size, text_size, residual=False)
    found = {}
    for residual in (False, True):
        network = train_one(args, replace(addition, residual=residual), training, fitting)
        temperature = _temperature(network, fitting)
        predictor = FusionPredictor(network, temperature, torch.device("cpu"))
        found[residual] = (network, temperature, evaluate(predictor, clips))
    best = max(found, key=lambda residual: found[residual][2]["composed clips"]["accuracy"])
    network, temperature, figures = found[best]
    others = {
        f"{'with' if not best else 'without'} the LSTM: {name}": value for name, value in found[not best][2].items()
    }
    draft = _draft(args, bundle, network.config, temperature, {**figures, **others})
    reference = store.publish(draft, network.state_dict(), card=_card(draft, lstm=best))
    store.write_bundle(bundle.model_copy(update={"fusion": reference}))
    print(reference)


def _temperature(network: Fusion, clips: Sequence[Clip]) -> float:
    logs = FusionPredictor(network, 1.0, torch.device("cpu")).predict([clip.evidence for clip in clips])
    return fit_temperature(torch.from_numpy(logs), torch.from_numpy(_labels(clips)))


def _draft(
    args: argparse.Namespace, bundle: Bundle, config: FusionConfig, temperature: float, metrics: dict[str, Any]
) -> Draft:
    return Draft(
        name=args.name,
        architecture="fusion",
        config=config_of(config),
        labels=EMOTIONS,
        preprocessing={"models": args.models},
        temperature=temperature,
        metrics=metrics,
        data=(
            "Composed clips of held-out pieces: FER2013 public test, AffectNet tenth, SFEW, CK+, JAFFE and others",
            "RAVDESS and nEMO speakers held out, TESS, Urdu talk shows",
            "GoEmotions dev, MELD dev",
        ),
        command=f"python -m ml.training.recipes.fusion --models {' '.join(args.models)} --epochs {args.epochs}"
        f" --learning-rate {args.learning_rate} --bundle {args.bundle}",
        licence=Licence(
            name="research and non-commercial use",
            commercial=False,
            note="Trained on readings of data sets for research.",
        ),
    )


def _card(draft: Draft, *, lstm: bool) -> str:
    shape = "log-odds added, and corrected by an LSTM over the face's frames" if lstm else "log-odds added by weight"
    return card(
        draft,
        title="Affect fusion",
        summary=f"Joins face, voice and words of one window: {shape}. What is absent is masked.",
        use="Together with the models that it was trained on: " + ", ".join(draft.preprocessing["models"]) + ".",
        limits=[
            "Trained and measured on clips composed of faces, voices and sentences that were never recorded together: "
            "these figures compare ways to fuse, and say little about real people who speak.",
            "The clips that are measured on are of other people and sentences than those trained on; the temperature "
            "and the averaged weights come from the training side.",
        ],
    )


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(prog="python -m ml.training.recipes.fusion", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the folders faces, audio and text")
    parser.add_argument("--models", nargs=3, metavar=("FACE", "AUDIO", "TEXT"), required=True)
    parser.add_argument("--bundle", default="default", help="the bundle that is written")
    parser.add_argument("--name", default="fusion", help="the name that it is published under")
    parser.add_argument("--out", type=Path, default=Path("runs/fusion"))
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--store", type=Path, default=Path("model_store"))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=1)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
