"""A worker process's heartbeat: that it lives, and which models it answers with."""

import logging
import os
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from redis import RedisError

from workers.protocol.records import Heartbeat, ModelLicence, Refusal, ServedModel, WorkerKind
from workers.protocol.store.worker_registry import BEAT_SECONDS, Roster

if TYPE_CHECKING:  # it imports torch, which the parent process stays without
    from ml.registry import Bundle, Licence, Manifest

logger = logging.getLogger(__name__)


class Serving(Protocol):
    """What `ml.inference.pipeline.bundle.LoadedBundle` offers."""

    @property
    def bundle(self) -> "Bundle": ...

    @property
    def manifests(self) -> Mapping[str, "Manifest"]: ...

    @property
    def whisper(self) -> object | None: ...

    @property
    def whisper_licence(self) -> "Licence | None": ...


def served(models: Serving) -> tuple[ServedModel, ...]:
    """The models of a loaded bundle, with what their manifests say."""
    return tuple(_served(models))


def _served(models: Serving) -> Iterator[ServedModel]:
    for role, manifest in models.manifests.items():
        yield ServedModel(
            role=role,
            name=manifest.name,
            version=manifest.version,
            labels=manifest.labels,
            metrics=manifest.metrics,
            licence=_told(manifest.licence),
        )
    if models.bundle.whisper and models.whisper:
        licence = _told(models.whisper_licence) if models.whisper_licence else None
        name = models.bundle.whisper
        yield ServedModel(role="whisper", name=name, version=None, labels=(), metrics={}, licence=licence)


def _told(licence: "Licence") -> ModelLicence:
    return ModelLicence(**licence.model_dump())


class Pulse:
    """Beats from a thread of its own until it is stopped."""

    def __init__(self, roster: Roster, bundle: str, kinds: Iterable[WorkerKind] = ("inference",)) -> None:
        self._roster = roster
        self._said = Heartbeat(worker=f"{socket.gethostname()}:{os.getpid()}", kinds=tuple(kinds), bundle=bundle)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="pulse", daemon=True)

    def serves(self, digest: str, models: tuple[ServedModel, ...]) -> None:
        """The models are loaded: said at once, and from now on."""
        self._said = self._said.model_copy(update={"digest": digest, "models": models, "refused": None})
        self.works()

    def refuses(self, digest: str | None, reason: str) -> None:
        """The bundle that is published is not served; what was served before is."""
        self._said = self._said.model_copy(update={"refused": Refusal(digest=digest, reason=reason)})
        self._beat()

    def works(self) -> None:
        """It takes jobs from now on."""
        self._said = self._said.model_copy(update={"loaded": True})
        self._beat()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The worker leaves the roster."""
        self._ended.set()
        self._thread.join()
        try:
            self._roster.leave(self._said.worker)
        except RedisError:
            logger.info("the roster does not answer; the heartbeat lapses by itself")

    def _repeat(self) -> None:
        self._beat()
        while not self._ended.wait(BEAT_SECONDS):
            self._beat()

    def _beat(self) -> None:
        try:
            self._roster.beat(self._said)
        except RedisError:
            logger.warning("the roster does not answer")
