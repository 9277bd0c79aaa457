"""Recipe of the text network, from the MiniLM encoder: emotion and sentiment of what people write and say.

Written comments alone do not teach spoken language (MELD, XED), so the network is trained on all sets together. The
word embedding stays frozen: it has half of all parameters, and noise would move those of rare words.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

from ml.errors import InvalidManifest
from ml.inference.api import TextOutputs
from ml.inference.text.predictor import TOKENIZER_FILE, TextPredictor, TextSample, open_tokenizer
from ml.networks import config_to_dict
from ml.networks.text import DIMENSIONS, MultilingualTextNet, TextNet, load_pretrained_encoder
from ml.networks.tokens import TextTokenizer, pad_tokens
from ml.registry import ModelStore
from ml.registry.weights import from_stored, to_stored
from ml.training.datasets.example import Example, Split
from ml.training.loop import LoopConfig, Task, parameter_groups, run_settings
from ml.training.recipes.recipe import (
    CHOSEN_BY,
    HELD_OUT_SPLITS,
    HeldOut,
    OutOfFold,
    Plan,
    metrics_with_folds,
    selection_figure,
)
from ml.training.recipes.text.config import TextTrainConfig
from ml.training.recipes.text.data import Sentences, has_one_label, read_sides, take_each
from ml.training.recipes.text.figures import TextCalibration, figures_of
from ml.training.recipes.text.publishing import describe, text_card
from ml.training.recipes.text.soup import Ingredient, average_weights, load_ingredients, soup_shares
from ml.training.recipes.text.starts import DEFAULT_START, STARTS, encoder_groups, freeze_layers, start_of
from ml.vocabulary import EMOTIONS

config_type: type[TextTrainConfig] = TextTrainConfig

WARM_UP = 0.1
"""Share of the steps before the peak learning rate."""
SENTIMENT_WEIGHT = 0.5
"""Weight of the sentiment loss relative to the emotion loss."""
DIMENSION_WEIGHT = 10.0
"""Weight of the squared error of valence, arousal and dominance: EmoBank's have a variance of about .03."""
VALIDATED_OF_EACH = 60
"""Maximum sentences of a data set that are validated after each epoch of a run with tens of languages."""
HEAD_LR_SCALE = 5.0
"""Learning rate of the heads relative to the encoder."""
SHUFFLE_POOL_BATCHES = 50
"""Number of batches that are sorted by length together, to reduce padding."""


@dataclass(frozen=True)
class TextBatch:
    ids_NT: Tensor
    mask_NT: Tensor
    targets_NC: Tensor
    weights_N: Tensor
    sentiments_N: Tensor
    dimensions_N3: Tensor


def epoch_rows(count: int, epoch: int, parts: int, seed: int) -> Tensor:
    """Return the rows of an epoch in random order; `parts` epochs together have each row once."""
    if parts == 1:
        return torch.randperm(count)
    generator = torch.Generator().manual_seed(seed + epoch // parts)
    size = count // parts
    return torch.randperm(count, generator=generator)[epoch % parts * size :][:size]


def batches(sentences: Sentences, size: int, rows: Tensor) -> Iterator[TextBatch]:
    """Yield full batches of the rows in random order; the sentences of a batch have similar lengths."""
    rows = rows[: len(rows) // size * size]
    row_groups: list[Tensor] = []
    for pool in rows.split(size * SHUFFLE_POOL_BATCHES):
        lengths = torch.tensor([len(sentences.tokens[row]) for row in pool])
        row_groups += pool[lengths.argsort(stable=True)].split(size)
    for place in torch.randperm(len(row_groups)):
        chosen = row_groups[place]
        batch = pad_tokens(sentences.tokens, chosen.tolist())
        yield TextBatch(
            ids_NT=torch.from_numpy(batch.ids_NT),
            mask_NT=torch.from_numpy(batch.mask_NT),
            targets_NC=sentences.targets[chosen],
            weights_N=sentences.weights[chosen],
            sentiments_N=sentences.sentiments[chosen],
            dimensions_N3=sentences.dimensions[chosen],
        )


def loss(model: nn.Module, batch: TextBatch, consistency: float = 0.0) -> Tensor:
    """Return the loss.

    With `consistency`, each sentence is read twice under different dropout, and the difference between both readings is
    added with that weight (R-Drop, Liang et al. 2021).
    """
    error, emotions_NC = _error(model, batch)
    if not consistency:
        return error
    second_error, others_NC = _error(model, batch)
    divergence_N = (_divergence(emotions_NC, others_NC) + _divergence(others_NC, emotions_NC)) / 2
    return (error + second_error) / 2 + consistency * (divergence_N * batch.weights_N).mean()


def _error(model: nn.Module, batch: TextBatch) -> tuple[Tensor, Tensor]:
    """Return the loss of one reading, and its log-probabilities [N, 7]."""
    embeddings_NH, emotions_NC, sentiments_N3 = model(batch.ids_NT, batch.mask_NT)
    emotion_N = cross_entropy(emotions_NC.float(), batch.targets_NC, reduction="none")
    sentiment_N = cross_entropy(sentiments_N3.float(), batch.sentiments_N, ignore_index=-1, reduction="none")
    error = (emotion_N * batch.weights_N + SENTIMENT_WEIGHT * sentiment_N).mean()
    if isinstance(model, MultilingualTextNet):
        error = error + DIMENSION_WEIGHT * _dimension_error(model.dimensions(embeddings_NH), batch.dimensions_N3)
    return error, emotions_NC.float().log_softmax(-1)


def _dimension_error(answers_N3: Tensor, truth_N3: Tensor) -> Tensor:
    """Return the squared error, summed over the sentences with known dimensions and divided by all sentences."""
    differences_N3 = torch.where(truth_N3.isnan(), 0.0, answers_N3.float() - truth_N3.nan_to_num())
    return differences_N3.square().sum() / len(truth_N3)


def _divergence(logs_NC: Tensor, others_NC: Tensor) -> Tensor:
    return kl_div(logs_NC, others_NC, log_target=True, reduction="none").sum(-1)


def predict_sentences(predictor: TextPredictor, examples: Sequence[Example]) -> TextOutputs:
    """Return the outputs of the sentences, read with the preceding ones if these are known."""
    return predictor.predict([TextSample(e.text or "", e.before or "", e.language) for e in examples])


def plans(config: TextTrainConfig) -> list[Plan]:
    """Return the run. Raises InvalidManifest if the data cannot be read or is too little."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    start = STARTS[config.start]
    shape = start.shape(before=config.context_tokens)
    network = start.network(shape)
    load_pretrained_encoder(network, start.weights())
    network.encoder.embeddings.word_embeddings.requires_grad_(False)
    freeze_layers(network, config.frozen_layers)
    tokenizer = open_tokenizer(shape, start.tokenizer())
    examples, held_out = read_sides(config, config.datasets)
    if config.context_tokens:  # sentences without context are kept too: a recording begins with one
        examples += [replace(example, before=None) for example in examples if example.before]
    if len(examples) < config.batch_size:
        raise InvalidManifest(f"{len(examples)} sentences to train on are less than a batch of {config.batch_size}")
    texts, contexts = [example.text or "" for example in examples], [example.before or "" for example in examples]
    training_shape = replace(shape, positions=config.max_tokens or shape.positions)
    training_tokenizer = open_tokenizer(training_shape, start.tokenizer())
    sentences = Sentences(training_tokenizer.encode(texts, contexts), examples).with_words()

    valid = [example for example in held_out if example.split == "valid"]
    if config.start != DEFAULT_START:
        valid = take_each(valid, VALIDATED_OF_EACH)

    def validate(model: nn.Module) -> dict[str, float]:
        predictor = TextPredictor(cast(TextNet, model), tokenizer, 1.0, torch.device("cpu"))
        parts = figures_of(predict_sentences(predictor, valid), valid, resamples=1)
        shown = ("accuracy", "macro_f1", *(f"{name}_r" for name in DIMENSIONS))
        figures = {f"{name}/{key}": part[key] for name, part in parts.items() for key in shown if key in part}
        return figures | selection_figure(
            [part["macro_f1"] for part in parts.values() if part.get("labels") == EMOTIONS]
        )

    parts, decay = config.checkpoints, LoopConfig.weight_decay
    heads = nn.ModuleList(module for name, module in network.named_children() if name != "encoder")
    task = Task(
        model=network,
        steps=len(sentences.tokens) // parts // config.batch_size,
        batches=lambda epoch: batches(
            sentences, config.batch_size, epoch_rows(len(sentences.tokens), epoch, parts, config.seed)
        ),
        loss=partial(loss, consistency=config.consistency),
        validate=validate,
        groups=[
            *encoder_groups(network.encoder, decay, config.layer_decay),
            *parameter_groups(heads, decay, HEAD_LR_SCALE),
        ],
        best_by=CHOSEN_BY if any(map(has_one_label, valid)) else None,
    )
    extra: dict[str, Any] = {"config": config_to_dict(shape), "batch": config.batch_size, "sets": list(config.datasets)}
    if config.start != DEFAULT_START:
        names = ("start", "limits", "max_tokens", "checkpoints", "frozen_layers", "layer_decay")
        extra |= {name: getattr(config, name) for name in names}
    if config.consistency:
        extra["consistency"] = config.consistency
    loop = config.loop(warm_up=WARM_UP)
    return [Plan(replace(loop, epochs=loop.epochs * parts), task, extra)]


def space(trial: Any, config: TextTrainConfig) -> dict[str, Any]:
    """Return learning rate, batch size and number of epochs of a trial."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 3e-5, 5e-4, log=True),
        "batch_size": trial.suggest_categorical("batch", [32, 64, 128]),
        "epochs": trial.suggest_int("epochs", 1, 3),
    }


def trained_network(ingredients: Sequence[Ingredient], shares: Sequence[float]) -> tuple[TextNet, TextTokenizer]:
    """Return the averaged network of the ingredients, with weights as the store keeps them, and its tokenizer."""
    shape = ingredients[0].config
    start = start_of(shape)
    network = start.network(shape).eval()
    network.load_state_dict(average_weights([each.weights for each in ingredients], shares))
    network.load_state_dict(from_stored(to_stored(network.state_dict(), int8=start.int8)))
    return network, open_tokenizer(shape, start.tokenizer())


def held_out(config: TextTrainConfig, splits: Sequence[Split] = HELD_OUT_SPLITS) -> HeldOut:
    """Return the outputs of the sentences with one label."""
    network, tokenizer = trained_network(load_ingredients(config), soup_shares(config))
    _, examples = read_sides(config, run_settings(config.out)["sets"])
    examples = [each for each in examples if has_one_label(each) and each.split in splits]
    if start_of(network.config).int8:  # tens of languages, which have their own temperatures
        examples = take_each(examples, VALIDATED_OF_EACH)
    outputs = predict_sentences(TextPredictor(network, tokenizer, 1.0, torch.device("cpu")), examples)
    return HeldOut(torch.from_numpy(outputs.log_probabilities_NC), examples)


def publish(config: TextTrainConfig, temperature: float, folds: OutOfFold | None = None) -> str:
    """Evaluate the run in `--out`, and write the next version into `--store`."""
    ingredients = load_ingredients(config)
    network, tokenizer = trained_network(ingredients, soup_shares(config))
    start = start_of(network.config)
    _, examples = read_sides(config, [*run_settings(config.out)["sets"], *config.unseen])
    outputs = predict_sentences(TextPredictor(network, tokenizer, 1.0, torch.device("cpu")), examples)
    seen = [row for row, example in enumerate(examples) if example.dataset not in config.unseen]
    calibration = TextCalibration.fit(outputs, examples, seen, temperature, by_language=start.by_language)
    metrics = figures_of(calibration.apply(outputs, examples), examples)
    calibration.scale_sentiment(network)
    description = describe(config, ingredients, calibration, metrics_with_folds(metrics, folds))
    files = {} if start.reads_package else {TOKENIZER_FILE: start.tokenizer().read_bytes()}
    store = ModelStore(config.store)
    card = text_card(description)
    return store.publish(description, network.state_dict(), card=card, files=files, int8=start.int8)
