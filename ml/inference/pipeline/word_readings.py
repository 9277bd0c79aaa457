"""Readings of the words of windows by the text models of a bundle."""

from collections.abc import Sequence
from dataclasses import replace

from ml.inference.fusion.timeline import WindowInputs
from ml.inference.speech.transcript_index import TranscriptIndex
from ml.inference.text.models import TextModels
from ml.inference.text.predictor import TextSample


def word_samples(inputs: Sequence[WindowInputs], index: TranscriptIndex) -> dict[int, TextSample]:
    """Return what is to be read of each window that has words, by its place. `index`: of all words, also of others."""
    return {
        place: TextSample(each.transcript, index.text_before(each.span), index.language_in(each.span))
        for place, each in enumerate(inputs)
        if each.transcript and each.words is None
    }


def with_word_readings(
    inputs: Sequence[WindowInputs], index: TranscriptIndex, models: TextModels
) -> list[WindowInputs]:
    """Return the windows with the readings of their words, where a model knows their language."""
    samples = word_samples(inputs, index)
    readings = dict(zip(samples, models.read(list(samples.values())), strict=True))
    return [replace(each, words=readings.get(place, each.words)) for place, each in enumerate(inputs)]
