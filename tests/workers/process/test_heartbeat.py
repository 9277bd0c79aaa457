import threading
from datetime import UTC, datetime

from redis import ConnectionError

from ml.registry import Bundle, Licence, Manifest
from workers.process.heartbeat import Pulse, served
from workers.protocol.records import Heartbeat

FACE = Manifest(
    name="face",
    version=3,
    architecture="cnn",
    config={},
    labels=("happy", "sad"),
    preprocessing={},
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
        self.manifests = {"face": FACE}
        self.whisper = whisper
        self.whisper_licence = Licence(name="MIT", commercial=True, note="as its record") if whisper else None


class Listener:
    """A roster that keeps what it was told."""

    def __init__(self) -> None:
        self.beats: list[Heartbeat] = []
        self.heard = threading.Event()
        self.left: list[str] = []
        self.broken = False

    def beat(self, heartbeat: Heartbeat) -> None:
        if self.broken:
            raise ConnectionError
        self.beats.append(heartbeat)
        self.heard.set()

    def leave(self, worker: str) -> None:
        if self.broken:
            raise ConnectionError
        self.left.append(worker)


def test_the_models_are_told_as_their_manifests_say() -> None:
    (face,) = served(Loaded(whisper=None))
    assert (face.role, face.name, face.version, face.labels) == ("face", "face", 3, ("happy", "sad"))
    assert face.metrics == {"fer2013": {"accuracy": 0.65}}
    assert face.licence is not None and not face.licence.commercial


def test_whisper_is_told_only_where_its_weights_are() -> None:
    *_, whisper = served(Loaded(whisper=object()))
    assert (whisper.role, whisper.name, whisper.version) == ("whisper", "tiny.en", None)
    assert whisper.licence is not None and (whisper.licence.name, whisper.licence.commercial) == ("MIT", True)


def test_it_says_that_it_is_there_then_that_it_is_ready_then_that_it_leaves() -> None:
    roster = Listener()
    pulse = Pulse(roster, "default")  # type: ignore[arg-type]
    pulse.start()
    assert roster.heard.wait(5) and not roster.beats[0].loaded
    pulse.serves(BUNDLE.digest, served(Loaded(None)))
    said = roster.beats[-1]
    assert said.loaded and (said.bundle, said.digest, len(said.models)) == ("default", BUNDLE.digest, 1)
    pulse.stop()
    assert roster.left == [said.worker]


def test_a_redis_that_is_away_does_not_stop_the_worker() -> None:
    roster = Listener()
    roster.broken = True
    pulse = Pulse(roster, "default")  # type: ignore[arg-type]
    pulse.start()
    pulse.serves("0", ())
    pulse.stop()
    assert roster.beats == []
