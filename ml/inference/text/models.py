"""Text models of a bundle: each text is read by the first model that knows its language."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Self

import torch

from ml.inference.api import TextOutputs, TextReadingFeatures
from ml.inference.text.predictor import TextPredictor, TextSample
from ml.registry import Bundle, ModelStore


class TextModels:
    """Text models in the order in which they are chosen. The first also reads texts whose language is unknown."""

    def __init__(self, predictors: Sequence[TextPredictor]) -> None:
        self._predictors = tuple(predictors)

    @classmethod
    def load(cls, store: ModelStore, bundle: Bundle, device: torch.device) -> Self:
        """Return the text models of a bundle. Raises ModelStoreError if one is missing or damaged."""
        references = (*([bundle.text] if bundle.text else []), *bundle.further_text)
        return cls([TextPredictor.load(store, reference, device) for reference in references])

    def __bool__(self) -> bool:
        return bool(self._predictors)

    def for_language(self, language: str | None) -> TextPredictor | None:
        """Return the model that reads a language (ISO 639 code; null if unknown), if there is one."""
        if language is None:
            return next(iter(self._predictors), None)
        return next((predictor for predictor in self._predictors if language in predictor.languages), None)

    def read(self, samples: Sequence[TextSample]) -> list[TextReadingFeatures | None]:
        """Return the reading of each text; null if no model reads its language.

        Emotion, sentiment and embedding are of `for_language`, dimensions of `for_dimensions`: in the bundle `default`,
        text@N reads the emotion of an English sentence, and text-multilingual@N its valence, arousal and dominance.
        """
        readings: list[TextReadingFeatures | None] = [None] * len(samples)
        for row, outputs, place in self._outputs(samples, self.for_language):
            readings[row] = outputs.reading(place)
        without = [row for row, reading in enumerate(readings) if reading and reading.dimensions is None]
        for place_among, outputs, place in self._outputs([samples[row] for row in without], self.for_dimensions):
            row = without[place_among]
            if reading := readings[row]:
                readings[row] = replace(reading, dimensions=outputs.dimensions_of(place))
        return readings

    def for_dimensions(self, language: str | None) -> TextPredictor | None:
        """Return the first model that returns dimensions of texts in a language, if there is one.

        A text of unknown language is taken for one that the first model of all reads, as by `for_language`.
        """
        if language is None and self._predictors:
            language = self._predictors[0].languages[0]
        able = (predictor for predictor in self._predictors if predictor.has_dimensions)
        return next((predictor for predictor in able if language in predictor.languages), None)

    def _outputs(
        self, samples: Sequence[TextSample], choose: Callable[[str | None], TextPredictor | None]
    ) -> Iterator[tuple[int, TextOutputs, int]]:
        """Yield the row of each sample for which there is a model, the outputs of its batch, and its row in these."""
        rows_by_model: defaultdict[TextPredictor, list[int]] = defaultdict(list)
        for row, sample in enumerate(samples):
            if predictor := choose(sample.language):
                rows_by_model[predictor].append(row)
        for predictor, rows in rows_by_model.items():
            outputs = predictor.predict([samples[row] for row in rows])
            for place, row in enumerate(rows):
                yield row, outputs, place

    def by_language(self, languages: Iterable[str]) -> dict[str, str]:
        """Return the references of the published models that read these languages, without those that none reads."""
        chosen = ((language, self.for_language(language)) for language in sorted(languages))
        return {language: model.identity for language, model in chosen if model and model.identity}
