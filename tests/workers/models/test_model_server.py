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
from ml.inference.pipeline.plan import AnalysisPlan
from ml.inference.runtime.progress import NullListener
from ml.registry import Bundle, ModelStore
from ml.results import Options, Result
from ml.vocabulary import Stage
from tests.media_files import make_image, make_video
from tests.toy_models import publish_face, with_model
from workers.models import model_server as module
from workers.models.model_server import ModelServer, NoModelLoaded
from workers.protocol.records import ServedModel
from workers.settings import WorkerSettings

ONE = Bundle(name="default", face="face@1", audio=None, text=None, fusion=None, whisper=None)
TWO = with_model(ONE, "face", "face@2")


class FakeHeartbeat:
    """A heartbeat sender that records what is reported."""

    def __init__(self) -> None:
        self.digest: str | None = None
        self.refused: tuple[str | None, str] | None = None

    def report_serving(self, digest: str, models: tuple[ServedModel, ...]) -> None:
        self.digest, self.refused = digest, None

    def report_rejected(self, digest: str | None, reason: str) -> None:
        self.refused = digest, reason


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    store = ModelStore(tmp_path / "store")
    publish_face(store, seed=1)
    publish_face(store, seed=2)
    store.write_bundle(ONE)
    return store


@pytest.fixture
def heartbeat() -> FakeHeartbeat:
    return FakeHeartbeat()


OpenServer = Callable[..., ModelServer]


@pytest.fixture
def opened(store: ModelStore, heartbeat: FakeHeartbeat) -> OpenServer:
    def opened(**settings: str) -> ModelServer:
        chosen = WorkerSettings(model_store=store.root, device="cpu", **settings)
        server = ModelServer(chosen, heartbeat)  # type: ignore[arg-type]
        server.poll()
        return server

    return opened


def analyze(
    server: ModelServer, media: Path, options: Options | None = None, context: AnalysisContext = DEFAULT_CONTEXT
) -> Result:
    with context.in_temporary_folder() as temporary:
        plan = server.plan(media, options or Options(), temporary)
        return server.assemble(plan, server.extract(plan, context=temporary), temporary)


def planned(server: ModelServer, media: Path, folder: Path) -> AnalysisPlan:
    return server.plan(media, Options(modalities=("face",)), AnalysisContext(scratch=folder))


def extract_and_assemble(server: ModelServer, plan: AnalysisPlan, folder: Path) -> Result:
    """The result of a plan in one part."""
    (part,) = plan.parts
    features = server.extract(plan, part, context=AnalysisContext(scratch=folder))
    return server.assemble(plan, features, AnalysisContext(scratch=folder))


def serves(server: ModelServer, path: Path) -> str | None:
    """The face model that reads a picture."""
    return analyze(server, path).models.face


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return make_image(tmp_path / "a.png")


def test_model_server_published_bundle_and_rollback_are_served(
    opened: OpenServer, store: ModelStore, heartbeat: FakeHeartbeat, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = opened()
    assert server.is_ready and heartbeat.digest == ONE.digest and serves(server, picture) == "face@1"
    store.write_bundle(TWO)
    assert serves(server, picture) == "face@1"
    server.poll()
    assert heartbeat.digest == TWO.digest and serves(server, picture) == "face@2"
    assert ml(["rollback", "default", "--store", str(store.root)]) == 0 and "face@1" in capsys.readouterr().out
    server.poll()
    assert heartbeat.digest == ONE.digest and serves(server, picture) == "face@1"


def test_model_server_unchanged_file_is_not_read(opened: OpenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server = opened()
    monkeypatch.setattr(module, "published", lambda *_: pytest.fail("the bundle was read"))
    server.poll()


def test_model_server_bundle_replaced_during_an_analysis_does_not_change_it(
    opened: OpenServer, store: ModelStore, picture: Path
) -> None:
    server = opened()

    class SwapsInside(NullListener):
        def stage(self, stage: Stage) -> None:
            if stage == "decode":
                store.write_bundle(TWO)
                server.poll()

    assert analyze(server, picture, context=AnalysisContext(listener=SwapsInside())).models.face == "face@1"
    assert serves(server, picture) == "face@2"


def test_model_server_part_is_extracted_by_the_models_of_its_plan(
    opened: OpenServer, store: ModelStore, tmp_path: Path
) -> None:
    """By the worker that has taken up others since, and by one that never had them; both go on with the new ones."""
    film = make_video(tmp_path / "film.mp4", 2.0)
    first = opened()
    plan = planned(first, film, tmp_path)
    whole = extract_and_assemble(first, plan, tmp_path)
    store.write_bundle(TWO)
    first.poll()
    for server in (first, opened()):
        joined = extract_and_assemble(server, plan, tmp_path)
        assert joined.models.face == "face@1" and joined.faces == whole.faces
        assert serves(server, film) == "face@2"
    (store.root / "face" / "1" / "manifest.json").unlink()
    with pytest.raises(ModelStoreError, match="face@1"):
        opened().extract(plan, plan.parts[0], context=AnalysisContext(scratch=tmp_path))


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


def publish(store: ModelStore, server: ModelServer, bundle: Bundle) -> None:
    store.write_bundle(bundle)
    server.poll()


def network_of(server: ModelServer) -> Callable[[], object]:
    """Gives the net of faces that is served, as long as there is one."""
    face = server.current_models().face
    assert face is not None
    return weakref.ref(face.network)


def test_model_server_replaced_models_stay_for_their_jobs(
    opened: OpenServer, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are loaded neither for these nor for a rollback."""
    film = make_video(tmp_path / "film.mp4", 1.0)
    server = opened()
    plan = planned(server, film, tmp_path)
    publish(store, server, TWO)
    monkeypatch.setattr(Analyzer, "load", lambda *_, **__: pytest.fail("models were loaded"))
    assert extract_and_assemble(server, plan, tmp_path).models.face == "face@1" and serves(server, film) == "face@2"
    publish(store, server, ONE)
    assert serves(server, film) == "face@1"


@pytest.mark.usefixtures("kept_from_collecting")
def test_model_server_replaced_models_unused_for_a_while_are_freed(
    opened: OpenServer, store: ModelStore, tmp_path: Path, clock: list[float]
) -> None:
    film = make_video(tmp_path / "film.mp4", 1.0)
    server = opened()
    plan = planned(server, film, tmp_path)
    former = network_of(server)
    publish(store, server, TWO)
    clock[0] += module.UNUSED_SECONDS - 1
    server.extract(plan, plan.parts[0], context=AnalysisContext(scratch=tmp_path))
    clock[0] += module.UNUSED_SECONDS - 1
    server.poll()
    assert former() is not None
    clock[0] += 1
    server.poll()
    assert former() is None and serves(server, film) == "face@2"


@pytest.mark.usefixtures("kept_from_collecting")
def test_model_server_never_holds_three_bundles(
    opened: OpenServer, store: ModelStore, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = opened()
    first = network_of(server)
    publish(store, server, TWO)
    load, third = Analyzer.load, publish_face(store, seed=3)

    def loads(*args: object, **options: object) -> Analyzer:
        assert first() is None
        return load(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Analyzer, "load", loads)
    publish(store, server, with_model(ONE, "face", third))
    assert serves(server, picture) == third


def test_model_server_artifact_builder_has_the_models_of_the_result(
    opened: OpenServer, store: ModelStore, picture: Path, tmp_path: Path, clock: list[float]
) -> None:
    """However long it took, and whatever was published meanwhile."""
    server = opened()

    class SwapsInside(NullListener):
        def stage(self, stage: Stage) -> None:
            if stage == "decode":
                publish(store, server, TWO)
                clock[0] += module.UNUSED_SECONDS
                server.poll()

    options = Options(heatmaps=True)
    old = analyze(server, picture, options, AnalysisContext(listener=SwapsInside()))
    new = analyze(server, picture, options)
    for result, face in ((old, "face@1"), (new, "face@2")):
        builder = server.artifact_builder(picture, result, options, tmp_path, lambda: None, "a.png")
        assert builder.models.versions == result.models and result.models.face == face
        list(builder.make("heatmaps"))


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
def test_model_server_bad_bundle_is_rejected_and_the_old_one_kept(
    opened: OpenServer,
    store: ModelStore,
    heartbeat: FakeHeartbeat,
    picture: Path,
    spoil: Callable[[ModelStore], None],
    reason: str,
) -> None:
    server = opened()
    spoil(store)
    store.write_bundle(TWO)
    server.poll()
    assert heartbeat.refused is not None and heartbeat.refused[0] == TWO.digest and reason in heartbeat.refused[1]
    assert heartbeat.digest == ONE.digest and serves(server, picture) == "face@1"
    store.rollback("default")
    server.poll()
    assert heartbeat.refused is None


def test_model_server_weights_that_are_not_numbers_are_rejected(
    opened: OpenServer, store: ModelStore, heartbeat: FakeHeartbeat
) -> None:
    server = opened()
    reference = publish_face(store, seed=3, scale=float("nan"))
    store.write_bundle(with_model(ONE, "face", reference))
    server.poll()
    assert (
        heartbeat.refused is not None and "no probabilities" in heartbeat.refused[1] and heartbeat.digest == ONE.digest
    )


def test_model_server_licence_not_accepted_is_rejected(
    opened: OpenServer, store: ModelStore, heartbeat: FakeHeartbeat
) -> None:
    free = publish_face(store, commercial=True)
    store.write_bundle(with_model(ONE, "face", free))
    server = opened(licences="commercial")
    assert server.is_ready
    store.write_bundle(TWO)
    server.poll()
    assert (
        heartbeat.refused is not None and "AFFECT_LICENCES" in heartbeat.refused[1] and "face@2" in heartbeat.refused[1]
    )


def test_model_server_invalid_bundle_file_is_rejected(
    opened: OpenServer, store: ModelStore, heartbeat: FakeHeartbeat
) -> None:
    server = opened()
    for content in ("{", "null", ""):
        store.bundle_path("default").write_text(content)
        server.poll()
        assert heartbeat.refused == (None, "the bundle 'default' cannot be read") and server.is_ready


def test_model_server_without_a_bundle_is_not_ready(
    opened: OpenServer, store: ModelStore, heartbeat: FakeHeartbeat, picture: Path
) -> None:
    store.bundle_path("default").unlink()
    server = opened()
    assert not server.is_ready and heartbeat.refused is not None
    with pytest.raises(NoModelLoaded):
        analyze(server, picture)
    store.write_bundle(ONE)
    server.poll()
    assert server.is_ready and heartbeat.refused is None


def test_model_server_rejected_bundle_is_retried(
    opened: OpenServer, store: ModelStore, heartbeat: FakeHeartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundle was there before its models were."""
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    server = opened()
    away = store.root / "face" / "2"
    away.rename(store.root / "elsewhere")
    store.write_bundle(TWO)
    server.poll()
    assert heartbeat.refused is not None
    (store.root / "elsewhere").rename(away)
    server.poll()
    assert heartbeat.refused is not None
    now += module.RETRY_SECONDS
    server.poll()
    assert heartbeat.refused is None and heartbeat.digest == TWO.digest


def test_model_server_gpu_error_is_rejected_with_its_reason_and_no_traceback(
    opened: OpenServer,
    store: ModelStore,
    heartbeat: FakeHeartbeat,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory.\nTried to allocate 2.00 GiB.")

    monkeypatch.setattr(Analyzer, "load", fail)
    server = opened()
    reason = "the GPU does not work: CUDA out of memory. Tried to allocate 2.00 GiB"
    assert heartbeat.refused == (ONE.digest, reason) and not server.is_ready
    assert [record.getMessage() for record in caplog.records] == [f"rejecting bundle default: {reason}"]


def test_model_server_device_that_does_not_work_is_named(
    store: ModelStore, heartbeat: FakeHeartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ModelServer(WorkerSettings(model_store=store.root, device="gpu"), heartbeat)  # type: ignore[arg-type]
    server.poll()
    assert heartbeat.refused is not None and "the device gpu does not work" in heartbeat.refused[1]
