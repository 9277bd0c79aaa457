"""The files of a result, from real media: portrait, real detector; a face net of random weights, words by rule."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.errors import ModelStoreError
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.context import AnalysisContext
from ml.media import MediaLimits
from ml.rendering.builder import Studio, Wish
from ml.rendering.encoding import Artifact
from ml.results import Moment, Options, Result
from tests import media_files
from tests.face_files import make_scenes, nobody, portrait, two_people
from tests.speech_files import melody
from tests.toy_models import make_analyzer

ALL = Options(annotate=True, thumbnails=True, heatmaps=True)
CAPTIONS = "00:00.000 --> 00:01.500\nThe museum was closed"


@pytest.fixture(scope="module")
def analyzer(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    return make_analyzer(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nobody, then somebody, for a second each."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return make_scenes(path, [(nobody(), 1.0), (portrait(), 1.0)], melody(2.0))


@pytest.fixture(scope="module")
def result(analyzer: Analyzer, film: Path) -> Result:
    read = analyzer.analyze(film, ALL, AnalysisContext(transcript=CAPTIONS))
    moment = Moment.model_validate(
        {"time": 0.9, "kind": "peak", "from": None, "to": "happy", "score": 0.9, "why": ["face"]}
    )
    return read.model_copy(update={"moments": (moment,)})


@pytest.fixture
def studio(analyzer: Analyzer, film: Path, result: Result, tmp_path: Path) -> Iterator[Studio]:
    yield Studio(film, result, ALL, analyzer.models, tmp_path, MediaLimits(), name="film.mp4")
    assert list(tmp_path.iterdir()) == []


def made(studio: Studio, wish: Wish) -> dict[str, tuple[Artifact, bytes]]:
    return {artifact.name: (artifact, artifact.read()) for artifact in studio.make(wish)}


def image(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def test_thumbnails_show_the_face_and_the_frame_of_the_moment(studio: Studio) -> None:
    assert studio.wishes == ("summary", "annotate", "thumbnails", "heatmaps")
    found = made(studio, "thumbnails")
    assert set(found) == {"face-1.jpg", "moment-1.jpg"}
    about, content = found["face-1.jpg"]
    x, y, side = 85 + 49, 73 + 49, 98 * 1.6  # of the portrait's face
    expected = Image.fromarray(portrait()).crop((x - side / 2, y - side / 2, x + side / 2, y + side / 2))
    assert np.abs(image(content) - np.asarray(expected.resize((192, 192)))).mean() < 40
    assert about.entry["track"] == 1 and about.entry["time"] >= 1.0
    assert np.abs(image(found["moment-1.jpg"][1]) - 120).mean() < 5  # at 0.9 s nobody is there yet


def test_heatmaps_explain_faces_and_words(studio: Studio) -> None:
    found = made(studio, "heatmaps")
    kinds = [artifact.kind for artifact, _ in found.values()]
    assert kinds.count("heatmap") == kinds.count("features") >= 1 and kinds.count("words") == 1
    for artifact, content in found.values():
        assert image(content).std() > 10
        assert artifact.entry["emotion" if artifact.kind != "features" else "time"] is not None
    (words,) = (artifact for artifact, _ in found.values() if artifact.kind == "words")
    weights = {word["word"]: word["weight"] for word in words.entry["words"]}
    assert max(weights, key=weights.__getitem__) == "museum" and words.entry["emotion"] == "happy"


def test_models_that_did_not_read_it_explain_nothing(studio: Studio) -> None:
    other = studio.result.models.model_copy(update={"face": "face@99"})
    stale = Studio(
        studio.path, studio.result.model_copy(update={"models": other}), ALL, studio.models, studio.scratch,
        studio.limits,
    )  # fmt: skip
    with pytest.raises(ModelStoreError):
        list(stale.make("heatmaps"))


def test_a_photo_is_annotated_as_a_picture_and_explained(analyzer: Analyzer, tmp_path: Path) -> None:
    path = tmp_path / "two.png"
    Image.fromarray(two_people()).save(path)
    result = analyzer.analyze(path, ALL)
    studio = Studio(path, result, ALL, analyzer.models, tmp_path, MediaLimits())
    (name,) = made(studio, "annotate")
    assert name == "annotated.png"
    assert set(made(studio, "thumbnails")) == {"face-1.jpg", "face-2.jpg"}
    assert len(made(studio, "heatmaps")) == 4
    assert studio.wishes == ("annotate", "thumbnails", "heatmaps")  # it has no timeline


def test_sound_alone_has_no_picture_to_draw_on(analyzer: Analyzer, tmp_path: Path) -> None:
    path = media_files.make_audio(tmp_path / "a.wav", seconds=1.0)
    result = analyzer.analyze(path, ALL)
    assert [warning.code for warning in result.warnings] == ["artifact_unavailable"] * 2 + ["no_evidence"]
    studio = Studio(path, result, ALL, analyzer.models, tmp_path, MediaLimits())
    assert studio.wishes == ("summary", "heatmaps") and made(studio, "heatmaps") == {}
