import threading
from datetime import UTC, datetime

from redis import ConnectionError

from ml.registry import Bundle, Licence, Manifest
from workers.process.heartbeat import HeartbeatSender, served_models
from workers.protocol.records import Heartbeat

FACE = Manifest(
    name="face",
    version=3,
    architecture="cnn",
    config={},
    labels=("happy", "sad"),
    preprocessing={"languages": ["de", "en"]},
    metrics={"fer2013": {"accuracy": 0.65}},
    data=("fer2013",),
    command="train",
    licence=Licence(name="CC BY-NC 4.0", commercial=False, note="the data's"),
    sha256="0" * 64,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)
BUNDLE = Bundle(name="default", face="face@3", audio=None, text=None, fusion=None, whisper="tiny.en")


class Loaded:
    """A loaded bundle, without its predictors."""

    def __init__(self, whisper: object | None) -> None:
        self.bundle = BUNDLE
        self.all_manifests = (("face", FACE),)
        self.whisper = whisper
        self.whisper_licence = Licence(name="MIT", commercial=True, note="as its record") if whisper else None


class FakeRegistry:
    """A worker registry that records its calls."""

    def __init__(self) -> None:
        self.heartbeats: list[Heartbeat] = []
        self.received = threading.Event()
        self.deregistered: list[str] = []
        self.unavailable = False

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        if self.unavailable:
            raise ConnectionError
        self.heartbeats.append(heartbeat)
        self.received.set()

    def deregister(self, worker: str) -> None:
        if self.unavailable:
            raise ConnectionError
        self.deregistered.append(worker)


def test_served_models_have_the_data_of_their_manifests() -> None:
    (face,) = served_models(Loaded(whisper=None))
    assert (face.role, face.name, face.version, face.labels) == ("face", "face", 3, ("happy", "sad"))
    assert face.languages == ("de", "en")
    assert face.metrics == {"fer2013": {"accuracy": 0.65}}
    assert face.licence is not None and not face.licence.commercial


def test_served_models_include_whisper_only_if_it_is_loaded() -> None:
    *_, whisper = served_models(Loaded(whisper=object()))
    assert (whisper.role, whisper.name, whisper.version) == ("whisper", "tiny.en", None)
    assert whisper.licence is not None and (whisper.licence.name, whisper.licence.commercial) == ("MIT", True)


def test_sender_reports_start_then_ready_then_deregisters() -> None:
    registry = FakeRegistry()
    sender = HeartbeatSender(registry, "default")  # type: ignore[arg-type]
    sender.start()
    assert registry.received.wait(5) and not registry.heartbeats[0].loaded
    sender.report_serving(BUNDLE.digest, served_models(Loaded(None)))
    last = registry.heartbeats[-1]
    assert last.loaded and (last.bundle, last.digest, len(last.models)) == ("default", BUNDLE.digest, 1)
    sender.stop()
    assert registry.deregistered == [last.worker]


def test_sender_redis_unavailable_does_not_stop_the_worker() -> None:
    registry = FakeRegistry()
    registry.unavailable = True
    sender = HeartbeatSender(registry, "default")  # type: ignore[arg-type]
    sender.start()
    sender.report_serving("0", ())
    sender.stop()
    assert registry.heartbeats == []
