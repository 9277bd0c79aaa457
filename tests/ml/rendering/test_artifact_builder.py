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
from ml.rendering.builder import ArtifactBuilder, ArtifactGroup
from ml.rendering.encoding import RenderedArtifact
from ml.results import Moment, Options, Person, Result
from tests import media_files
from tests.face_files import make_scenes, nobody, portrait, two_people
from tests.speech_files import melody

ALL = Options(annotate=True, thumbnails=True, heatmaps=True)
CAPTIONS = "00:00.000 --> 00:01.500\nThe museum was closed"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second without a face, then one second with a face."""
    path = tmp_path_factory.mktemp("video") / "video.mp4"
    return make_scenes(path, [(nobody(), 1.0), (portrait(), 1.0)], melody(2.0))


@pytest.fixture(scope="module")
def result(analyzer: Analyzer, video: Path) -> Result:
    read = analyzer.analyze(video, ALL, AnalysisContext(transcript=CAPTIONS))
    moment = Moment.model_validate(
        {"time": 0.9, "kind": "peak", "from": None, "to": "happy", "score": 0.9, "why": ["face"]}
    )
    people = (Person(person=1, tracks=(1,), overall=read.overall), Person(person=2, overall=read.overall))
    return read.model_copy(update={"moments": (moment,), "people": people})


@pytest.fixture
def builder(analyzer: Analyzer, video: Path, result: Result, tmp_path: Path) -> Iterator[ArtifactBuilder]:
    yield ArtifactBuilder(video, result, ALL, analyzer.models, tmp_path, MediaLimits(), name="video.mp4")
    assert list(tmp_path.iterdir()) == []


def made(builder: ArtifactBuilder, group: ArtifactGroup) -> dict[str, tuple[RenderedArtifact, bytes]]:
    return {artifact.name: (artifact, artifact.read()) for artifact in builder.make(group)}


def image(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def test_make_thumbnails_show_face_and_frame_of_moment(builder: ArtifactBuilder) -> None:
    assert builder.requested == ("summary", "annotate", "thumbnails", "heatmaps")
    found = made(builder, "thumbnails")
    assert set(found) == {"face-1.jpg", "person-1.jpg", "moment-1.jpg"}  # the second person is only heard
    assert found["person-1.jpg"][1] == found["face-1.jpg"][1]
    assert found["person-1.jpg"][0].entry["person"] == 1
    about, content = found["face-1.jpg"]
    x, y, side = 85 + 49, 73 + 49, 98 * 1.6  # of the portrait's face
    expected = Image.fromarray(portrait()).crop((x - side / 2, y - side / 2, x + side / 2, y + side / 2))
    assert np.abs(image(content) - np.asarray(expected.resize((192, 192)))).mean() < 40
    assert about.entry["track"] == 1 and about.entry["time"] >= 1.0
    assert np.abs(image(found["moment-1.jpg"][1]) - 120).mean() < 5  # at 0.9 s there is no face yet


def test_make_heatmaps_explain_faces_and_words(builder: ArtifactBuilder) -> None:
    found = made(builder, "heatmaps")
    kinds = [artifact.kind for artifact, _ in found.values()]
    assert kinds.count("heatmap") == kinds.count("features") >= 1 and kinds.count("words") == 1
    for artifact, content in found.values():
        assert image(content).std() > 10
        assert artifact.entry["emotion" if artifact.kind != "features" else "time"] is not None
    (words,) = (artifact for artifact, _ in found.values() if artifact.kind == "words")
    weights = {word["word"]: word["weight"] for word in words.entry["words"]}
    assert max(weights, key=weights.__getitem__) == "museum" and words.entry["emotion"] == "happy"


def test_make_heatmaps_with_other_models_raises(builder: ArtifactBuilder) -> None:
    other = builder.result.models.model_copy(update={"face": "face@99"})
    stale = ArtifactBuilder(
        builder.path, builder.result.model_copy(update={"models": other}), ALL, builder.models, builder.scratch,
        builder.limits,
    )  # fmt: skip
    with pytest.raises(ModelStoreError):
        list(stale.make("heatmaps"))


def test_make_of_photo_annotates_and_explains(analyzer: Analyzer, tmp_path: Path) -> None:
    path = tmp_path / "two.png"
    Image.fromarray(two_people()).save(path)
    result = analyzer.analyze(path, ALL)
    builder = ArtifactBuilder(path, result, ALL, analyzer.models, tmp_path, MediaLimits())
    (name,) = made(builder, "annotate")
    assert name == "annotated.png"
    assert set(made(builder, "thumbnails")) == {"face-1.jpg", "face-2.jpg"}
    assert len(made(builder, "heatmaps")) == 4
    assert builder.requested == ("annotate", "thumbnails", "heatmaps")  # it has no timeline


def test_make_of_audio_draws_nothing(analyzer: Analyzer, tmp_path: Path) -> None:
    path = media_files.make_audio(tmp_path / "a.wav", seconds=1.0)
    result = analyzer.analyze(path, ALL)
    assert [warning.code for warning in result.warnings] == ["artifact_unavailable"] * 2 + ["no_evidence"]
    builder = ArtifactBuilder(path, result, ALL, analyzer.models, tmp_path, MediaLimits())
    assert builder.requested == ("summary", "heatmaps") and made(builder, "heatmaps") == {}
