"""Model card and manifest of a text network."""

from collections.abc import Mapping, Sequence
from typing import Any

from ml.inference.text.predictor import TOKENIZER_FILE
from ml.languages import language_name
from ml.networks import config_to_dict
from ml.registry import ModelDescription
from ml.training.model_card import card
from ml.training.recipes.text.config import TextTrainConfig
from ml.training.recipes.text.data import set_of
from ml.training.recipes.text.figures import TextCalibration
from ml.training.recipes.text.soup import Ingredient, soup_shares
from ml.training.recipes.text.starts import Start, start_of
from ml.vocabulary import EMOTIONS

NO_CONTEXT = "Each sentence is read alone: irony and preceding sentences are not seen."
CONTEXT = "Of the preceding sentences, the last {} tokens are read, no matter who said them; irony is not seen."
MIN_MACRO_F1, MIN_MACRO_F1_OF_PROJECTIONS = 0.25, 0.2
"""Minimum macro-F1 of a language that a model is said to read; a guess among seven emotions has about .12.

The labels of XED's projections are noisy: languages with .35 to .7 on BRIGHTER have .19 to .32 on them.
"""
MIN_MEASURED = 40
"""Minimum number of held-out sentences of a language that a model is said to read."""


def describe(
    config: TextTrainConfig,
    ingredients: Sequence[Ingredient],
    calibration: TextCalibration,
    metrics: dict[str, Any],
) -> ModelDescription:
    start, shape = start_of(ingredients[0].config), config_to_dict(ingredients[0].config)
    return ModelDescription(
        name=config.name,
        architecture=start.architecture,
        config=shape,
        labels=EMOTIONS,
        preprocessing=_preprocessing(start, shape, calibration, metrics),
        temperature=calibration.temperature,
        metrics=metrics,
        data=tuple(dict.fromkeys(name for each in ingredients for name in each.data)),
        starts=(start.description,),
        command="; and ".join(each.command for each in ingredients) + _shares_suffix(config),
        licence=next((each.licence for each in ingredients if not each.licence.commercial), ingredients[0].licence),
    )


def _preprocessing(
    start: Start, shape: Mapping[str, Any], calibration: TextCalibration, metrics: Mapping[str, Any]
) -> dict[str, Any]:
    if not start.reads_package:
        return {"tokenizer": TOKENIZER_FILE, "max_tokens": shape["positions"], "languages": ["en"]}
    languages = languages_read(metrics)
    temperatures = {name: round(value, 4) for name, value in calibration.by_language.items() if name in languages}
    return {"max_tokens": shape["positions"], "languages": languages, "temperatures": temperatures}


def languages_read(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the languages that a model reads well enough, by its figures.

    A language with several data sets has to be read on one of them.
    """
    return sorted(
        {
            figures["language"]
            for name, figures in metrics.items()
            if figures.get("language") and figures["n"] >= MIN_MEASURED and figures["macro_f1"] >= _bound(name)
        }
    )


def _bound(dataset: str) -> float:
    return MIN_MACRO_F1_OF_PROJECTIONS if set_of(dataset) == "xed-projections" else MIN_MACRO_F1


def _shares_suffix(config: TextTrainConfig) -> str:
    shares = " : ".join(f"{share:g}" for share in soup_shares(config))
    return "" if config.soup_share is None else f"; weights averaged, {shares}"


def text_card(description: ModelDescription) -> str:
    """Return the card of a text network."""
    languages = description.preprocessing["languages"]
    context = description.config["before"]
    common = [
        CONTEXT.format(context) if context else NO_CONTEXT,
        "Labels of the data are noisy: people agree on a comment's emotion about two times in three.",
        "Figures of emotions are on sentences with one label. Comments and sitcom dialogue are not every speech.",
    ]
    use = "How people who read a sentence would label it. It does not show what a person feels inside."
    if languages == ["en"]:
        return card(
            description,
            title="Affect text",
            summary="A MiniLM encoder of six layers that reads an English sentence as one of seven emotions, and as "
            "negative, neutral or positive.",
            use=use,
            limits=[
                "English only. Answers for other languages mean nothing: the caller has to know the language.",
                *common,
            ],
        )
    names = ", ".join(f"{language_name(code) or code} ({code})" for code in languages)
    return card(
        description,
        title="Affect text in many languages",
        summary="A multilingual-e5-small encoder of twelve layers that reads a sentence as one of seven emotions, as "
        "negative, neutral or positive, and its valence, arousal and dominance. The store holds what was trained here, "
        "matrices in 8 bits; word table and tokenizer are read from a package.",
        use=f"{use} It reads {names}. A fusion may take its probabilities as those of another text model: they are "
        "calibrated for each language.",
        limits=[
            f"Sentences in other languages are not read. A language counts as read with a macro-F1 of {MIN_MACRO_F1} "
            f"or more on BRIGHTER, or {MIN_MACRO_F1_OF_PROJECTIONS} on the lines of XED's projections, whose labels "
            "are noisy. Those of a low figure are read badly.",
            "Temperatures were fitted on the sentences that the figures are of; valence, arousal and dominance were "
            "learnt from English alone.",
            *common,
        ],
    )
