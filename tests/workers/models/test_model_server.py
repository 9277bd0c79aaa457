"""A bundle is taken up while a worker works, or refused; the models are real, if small."""

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml.__main__ import main as ml
from ml.errors import ModelStoreError
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.context import DEFAULT_CONTEXT, AnalysisContext
from ml.inference.pipeline.decoded_audio import DecodedAudio
from ml.inference.pipeline.features_file import Survey
from ml.inference.runtime.progress import NullListener
from ml.registry import Bundle, ModelStore
from ml.results import Options
from ml.vocabulary import Stage
from tests.media_files import make_image, make_video
from tests.toy_models import publish_face, with_model
from workers.models import model_server as module
from workers.models.model_server import NotServing, Serving
from workers.protocol.records import ServedModel
from workers.settings import WorkerSettings

ONE = Bundle(name="default", face="face@1", audio=None, text=None, fusion=None, whisper=None)
TWO = with_model(ONE, "face", "face@2")


class Told:
    """In place of a heartbeat."""

    def __init__(self) -> None:
        self.digest: str | None = None
        self.refused: tuple[str | None, str] | None = None

    def serves(self, digest: str, models: tuple[ServedModel, ...]) -> None:
        self.digest, self.refused = digest, None

    def refuses(self, digest: str | None, reason: str) -> None:
        self.refused = digest, reason


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    store = ModelStore(tmp_path / "store")
    publish_face(store, seed=1)
    publish_face(store, seed=2)
    store.write_bundle(ONE)
    return store


@pytest.fixture
def told() -> Told:
    return Told()


OpenServing = Callable[..., Serving]


@pytest.fixture
def opened(store: ModelStore, told: Told) -> OpenServing:
    def opened(**settings: str) -> Serving:
        chosen = WorkerSettings(model_store=store.root, device="cpu", **settings)
        serving = Serving(chosen, told)  # type: ignore[arg-type]
        serving.look()
        return serving

    return opened


def serves(serving: Serving, path: Path) -> str | None:
    """The face model that reads a picture."""
    return serving.analyze(path).models.face


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return make_image(tmp_path / "a.png")


def test_what_is_published_takes_the_place_and_a_rollback_takes_it_back(
    opened: OpenServing, store: ModelStore, told: Told, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serving = opened()
    assert serving.is_ready and told.digest == ONE.digest and serves(serving, picture) == "face@1"
    store.write_bundle(TWO)
    assert serves(serving, picture) == "face@1"
    serving.look()
    assert told.digest == TWO.digest and serves(serving, picture) == "face@2"
    assert ml(["rollback", "default", "--store", str(store.root)]) == 0 and "face@1" in capsys.readouterr().out
    serving.look()
    assert told.digest == ONE.digest and serves(serving, picture) == "face@1"


def test_a_look_at_what_has_not_changed_reads_nothing(opened: OpenServing, monkeypatch: pytest.MonkeyPatch) -> None:
    serving = opened()
    monkeypatch.setattr(module, "published", lambda *_: pytest.fail("the bundle was read"))
    serving.look()


def test_an_analysis_ends_with_the_models_that_it_began_with(
    opened: OpenServing, store: ModelStore, picture: Path
) -> None:
    serving = opened()

    class SwapsInside(NullListener):
        def stage(self, stage: Stage) -> None:
            if stage == "decode":
                store.write_bundle(TWO)
                serving.look()

    assert serving.analyze(picture, work=AnalysisContext(listener=SwapsInside())).models.face == "face@1"
    assert serves(serving, picture) == "face@2"


def test_a_part_is_read_by_the_models_that_its_job_began_with(
    opened: OpenServing, store: ModelStore, tmp_path: Path
) -> None:
    """By the worker that has taken up others since, and by one that never had them; both go on with the new ones."""
    film, surveys = make_video(tmp_path / "film.mp4", 2.0), []
    options, soundtrack = Options(modalities=("face",)), DecodedAudio.in_folder(tmp_path)

    def surveyed(survey: Survey, _: DecodedAudio) -> None:
        surveys.append(survey.json())

    first = opened()
    whole = first.analyze(film, options, AnalysisContext(surveyed=surveyed))
    store.write_bundle(TWO)
    first.look()
    for name, serving in (("first", first), ("second", opened())):
        part = tmp_path / name
        serving.observe(film, options, surveys[0], 0, part, soundtrack, DEFAULT_CONTEXT)
        joined = serving.join(film, options, surveys[0], [part], soundtrack, DEFAULT_CONTEXT)
        assert joined.models.face == "face@1" and joined.faces == whole.faces
        assert serves(serving, film) == "face@2"
    (store.root / "face" / "1" / "manifest.json").unlink()
    with pytest.raises(ModelStoreError, match="face@1"):
        opened().observe(film, options, surveys[0], 0, tmp_path / "none", soundtrack, DEFAULT_CONTEXT)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """One time, that of now."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def kept_from_collecting() -> Iterator[None]:
    """What goes is gone because it was freed."""
    gc.disable()
    yield
    gc.enable()


def publish(store: ModelStore, serving: Serving, bundle: Bundle) -> None:
    store.write_bundle(bundle)
    serving.look()


def network_of(serving: Serving) -> Callable[[], object]:
    """Gives the net of faces that is served, as long as there is one."""
    face = serving.models().face
    assert face is not None
    return weakref.ref(face.network)


def test_models_that_were_replaced_are_there_for_the_jobs_that_began_with_them(
    opened: OpenServing, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are loaded neither for these nor for a rollback."""
    film, surveys = make_video(tmp_path / "film.mp4", 1.0), []
    options, soundtrack = Options(modalities=("face",)), DecodedAudio.in_folder(tmp_path)
    serving = opened()
    serving.analyze(film, options, AnalysisContext(surveyed=lambda survey, _: surveys.append(survey.json())))
    publish(store, serving, TWO)
    monkeypatch.setattr(Analyzer, "load", lambda *_, **__: pytest.fail("models were loaded"))
    serving.observe(film, options, surveys[0], 0, tmp_path / "part", soundtrack, DEFAULT_CONTEXT)
    joined = serving.join(film, options, surveys[0], [tmp_path / "part"], soundtrack, DEFAULT_CONTEXT)
    assert joined.models.face == "face@1" and serves(serving, film) == "face@2"
    publish(store, serving, ONE)
    assert serves(serving, film) == "face@1"


@pytest.mark.usefixtures("kept_from_collecting")
def test_models_that_were_replaced_are_freed_when_none_has_used_them_for_a_while(
    opened: OpenServing, store: ModelStore, tmp_path: Path, clock: list[float]
) -> None:
    film, surveys = make_video(tmp_path / "film.mp4", 1.0), []
    options = Options(modalities=("face",))
    serving = opened()
    serving.analyze(film, options, AnalysisContext(surveyed=lambda survey, _: surveys.append(survey.json())))
    former = network_of(serving)
    publish(store, serving, TWO)
    clock[0] += module.FORMER_SECONDS - 1
    serving.observe(film, options, surveys[0], 0, tmp_path / "part", DecodedAudio.in_folder(tmp_path), DEFAULT_CONTEXT)
    clock[0] += module.FORMER_SECONDS - 1
    serving.look()
    assert former() is not None
    clock[0] += 1
    serving.look()
    assert former() is None and serves(serving, film) == "face@2"


@pytest.mark.usefixtures("kept_from_collecting")
def test_there_are_never_models_of_three_bundles(
    opened: OpenServing, store: ModelStore, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = opened()
    first = network_of(serving)
    publish(store, serving, TWO)
    load, third = Analyzer.load, publish_face(store, seed=3)

    def loads(*args: object, **options: object) -> Analyzer:
        assert first() is None
        return load(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Analyzer, "load", loads)
    publish(store, serving, with_model(ONE, "face", third))
    assert serves(serving, picture) == third


def test_the_files_of_a_result_are_made_by_the_models_that_made_it(
    opened: OpenServing, store: ModelStore, picture: Path, tmp_path: Path, clock: list[float]
) -> None:
    """However long it took, and whatever was published meanwhile."""
    serving = opened()

    class SwapsInside(NullListener):
        def stage(self, stage: Stage) -> None:
            if stage == "decode":
                publish(store, serving, TWO)
                clock[0] += module.FORMER_SECONDS
                serving.look()

    options = Options(heatmaps=True)
    old = serving.analyze(picture, options, AnalysisContext(listener=SwapsInside()))
    new = serving.analyze(picture, options)
    for result, face in ((old, "face@1"), (new, "face@2")):
        studio = serving.studio(picture, result, options, tmp_path, lambda: None, "a.png")
        assert studio.models.versions == result.models and result.models.face == face
        list(studio.make("heatmaps"))


def damage(store: ModelStore) -> None:
    path = store.root / "face" / "2" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def cut(store: ModelStore) -> None:
    path = store.root / "face" / "2" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:100])


def lose(store: ModelStore) -> None:
    (store.root / "face" / "2" / "manifest.json").unlink()


def change_the_architecture(store: ModelStore) -> None:
    path = store.root / "face" / "2" / "manifest.json"
    path.write_text(path.read_text().replace('"embedding": 8', '"embedding": 9'))


def ask_for_what_is_not_known(store: ModelStore) -> None:
    path = store.root / "face" / "2" / "manifest.json"
    path.write_text(path.read_text().replace('"embedding": 8', '"wings": 2'))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (damage, "damaged"),
        (cut, "damaged"),
        (lose, "face@2 cannot be read"),
        (change_the_architecture, "the weights of face@2 do not fit"),
        (ask_for_what_is_not_known, "the worker's log says why"),
    ],
)
def test_a_bad_bundle_is_refused_and_the_old_one_kept(
    opened: OpenServing,
    store: ModelStore,
    told: Told,
    picture: Path,
    spoil: Callable[[ModelStore], None],
    reason: str,
) -> None:
    serving = opened()
    spoil(store)
    store.write_bundle(TWO)
    serving.look()
    assert told.refused is not None and told.refused[0] == TWO.digest and reason in told.refused[1]
    assert told.digest == ONE.digest and serves(serving, picture) == "face@1"
    store.rollback("default")
    serving.look()
    assert told.refused is None


def test_weights_that_are_no_numbers_are_refused(opened: OpenServing, store: ModelStore, told: Told) -> None:
    serving = opened()
    reference = publish_face(store, seed=3, scale=float("nan"))
    store.write_bundle(with_model(ONE, "face", reference))
    serving.look()
    assert told.refused is not None and "no probabilities" in told.refused[1] and told.digest == ONE.digest


def test_a_licence_that_is_not_wanted_is_refused(opened: OpenServing, store: ModelStore, told: Told) -> None:
    free = publish_face(store, commercial=True)
    store.write_bundle(with_model(ONE, "face", free))
    serving = opened(licences="commercial")
    assert serving.is_ready
    store.write_bundle(TWO)
    serving.look()
    assert told.refused is not None and "AFFECT_LICENCES" in told.refused[1] and "face@2" in told.refused[1]


def test_a_file_that_is_no_bundle_is_refused(opened: OpenServing, store: ModelStore, told: Told) -> None:
    serving = opened()
    for content in ("{", "null", ""):
        store.bundle_path("default").write_text(content)
        serving.look()
        assert told.refused == (None, "the bundle 'default' cannot be read") and serving.is_ready


def test_a_worker_without_models_waits_for_them(
    opened: OpenServing, store: ModelStore, told: Told, picture: Path
) -> None:
    store.bundle_path("default").unlink()
    serving = opened()
    assert not serving.is_ready and told.refused is not None
    with pytest.raises(NotServing):
        serving.analyze(picture)
    store.write_bundle(ONE)
    serving.look()
    assert serving.is_ready and told.refused is None


def test_what_was_refused_is_tried_again(
    opened: OpenServing, store: ModelStore, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundle was there before its models were."""
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    serving = opened()
    away = store.root / "face" / "2"
    away.rename(store.root / "elsewhere")
    store.write_bundle(TWO)
    serving.look()
    assert told.refused is not None
    (store.root / "elsewhere").rename(away)
    serving.look()
    assert told.refused is not None
    now += module.RETRY_SECONDS
    serving.look()
    assert told.refused is None and told.digest == TWO.digest
