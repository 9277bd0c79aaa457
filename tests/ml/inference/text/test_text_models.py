"""Which model of a bundle reads a text, and that a language without a model is left alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.inference.api import TextOutputs
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.context import AnalysisContext
from ml.inference.text.models import TextModels
from ml.inference.text.predictor import TextSample
from ml.results import Options, Result
from tests import media_files
from tests.toy_models import MuseumsAreHappy, make_analyzer


class GermanMuseums(MuseumsAreHappy):
    """Text model of German and English, with dimensions; English is left to the one before it."""

    languages = ("de", "en")
    has_dimensions = True

    def _predict(self, samples: Sequence[TextSample]) -> TextOutputs:
        valence_N1 = np.array([[0.5 if "museum" in sample.text else -0.5] for sample in samples], np.float32)
        return replace(super()._predict(samples), dimensions_N3=valence_N1 * np.array([1, 0, -1], np.float32))


def named(predictor: MuseumsAreHappy, identity: str) -> MuseumsAreHappy:
    predictor.identity = identity
    return predictor


@pytest.fixture
def models() -> TextModels:
    return TextModels([named(MuseumsAreHappy(), "text@1"), named(GermanMuseums(), "text-multilingual@1")])


def test_for_language_takes_the_first_that_knows_it(models: TextModels) -> None:
    assert models.by_language(["en", "de", "fi"]) == {"en": "text@1", "de": "text-multilingual@1"}
    assert models.for_language("fi") is None
    unknown = models.for_language(None)
    assert unknown is not None and unknown.identity == "text@1"


def test_read_has_a_reading_where_a_model_knows_the_language(models: TextModels) -> None:
    samples = [TextSample("the museum", "", language) for language in ("de", "fi", "en", None)]
    assert [reading is not None for reading in models.read(samples)] == [True, False, True, True]
    assert TextModels([]).read(samples) == [None] * 4 and not TextModels([])


def test_dimensions_are_of_the_first_model_that_returns_them(models: TextModels) -> None:
    """Emotion labels of English stay those of the English model."""
    texts = [("the museum", "en"), ("das museum", "de"), ("kauhea", "fi"), ("dreadful", None)]
    readings = models.read([TextSample(text, "", language) for text, language in texts])
    dimensions = [reading and reading.dimensions is not None and reading.dimensions.tolist() for reading in readings]
    assert dimensions == [[0.5, 0, -0.5], [0.5, 0, -0.5], None, [-0.5, 0, 0.5]]
    assert models.for_dimensions("fi") is None


def test_no_dimensions_without_a_model_that_returns_them() -> None:
    (reading,) = TextModels([named(MuseumsAreHappy(), "text@1")]).read([TextSample("the museum", "", "en")])
    assert reading is not None and reading.dimensions is None
    assert TextModels([]).for_dimensions(None) is None


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    """Analyzer without Whisper, whose bundle has a second text model."""
    models = make_analyzer(tmp_path_factory.mktemp("store")).models
    predictors = {**models.predictors, "text": named(MuseumsAreHappy(), "text@1")}
    further = (models.manifests["face"], named(GermanMuseums(), "text-multilingual@1"))
    return Analyzer(replace(models, predictors=predictors, whisper=None, further_text=(further,)))  # type: ignore[arg-type]


def analyzed(analyzer: Analyzer, folder: Path, language: str | None, words: str = "the museum") -> Result:
    media_files.make_audio(folder / "tone.wav", seconds=2.0, channels=1)
    context = AnalysisContext(transcript=f"00:00.000 --> 00:02.000\n{words}\n")
    return analyzer.analyze(folder / "tone.wav", Options(language=language, modalities=("text",)), context)


def test_supplied_transcript_is_read_by_the_model_of_its_language(multilingual: Analyzer, tmp_path: Path) -> None:
    result = analyzed(multilingual, tmp_path, "de")
    assert result.transcript.language == "de"
    assert result.models.text == "text@1" or result.models.text is None
    assert result.models.text_by_language == {"de": "text-multilingual@1"}
    assert result.windows[0].modalities.text is not None and not result.warnings


def test_language_that_no_model_reads_is_masked_with_a_warning(multilingual: Analyzer, tmp_path: Path) -> None:
    result = analyzed(multilingual, tmp_path, "fi")
    assert all(window.modalities.text is None and "text" in window.missing for window in result.windows)
    assert result.transcript.text == "the museum" and result.models.text_by_language == {}
    warning = next(each for each in result.warnings if each.code == "language_not_read")
    assert "Finnish" in warning.message


def test_transcript_without_language_is_not_read_by_a_model_that_does_not_know_its_script(
    multilingual: Analyzer, tmp_path: Path
) -> None:
    result = analyzed(multilingual, tmp_path, None, "Σήμερα έχει ήλιο")
    assert result.transcript.language == "el"
    assert all(window.modalities.text is None for window in result.windows)
    assert any(each.code == "language_not_read" and "Greek" in each.message for each in result.warnings)


def test_transcript_of_unknown_language_is_read_by_the_first_model(multilingual: Analyzer, tmp_path: Path) -> None:
    result = analyzed(multilingual, tmp_path, None)
    assert result.windows[0].modalities.text is not None
    assert result.models.text_by_language == {}
