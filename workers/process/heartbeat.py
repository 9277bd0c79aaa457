"""Heartbeat of a worker process: it is alive, and these are the models that it serves."""

import logging
import os
import socket
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from redis import RedisError

from workers.protocol.records import BundleRejection, Heartbeat, ModelLicence, ServedModel, WorkerKind
from workers.protocol.store.worker_registry import HEARTBEAT_INTERVAL_SECONDS, WorkerRegistry

if TYPE_CHECKING:  # imports torch, which the parent process does without
    from ml.inference.pipeline.bundle import LoadedBundle
    from ml.registry import Licence

logger = logging.getLogger(__name__)


def served_models(loaded: "LoadedBundle") -> tuple[ServedModel, ...]:
    """Return the models of a loaded bundle, as described by their manifests."""
    models = [
        ServedModel(
            role=role,
            name=manifest.name,
            version=manifest.version,
            labels=manifest.labels,
            metrics=manifest.metrics,
            licence=_model_licence(manifest.licence),
            languages=tuple(manifest.preprocessing.get("languages", ())),
        )
        for role, manifest in loaded.all_manifests
    ]
    name = loaded.bundle.whisper
    if name and loaded.whisper:
        licence = _model_licence(loaded.whisper_licence) if loaded.whisper_licence else None
        models.append(ServedModel(role="whisper", name=name, version=None, labels=(), metrics={}, licence=licence))
    return tuple(models)


def _model_licence(licence: "Licence") -> ModelLicence:
    return ModelLicence(**licence.model_dump())


class HeartbeatSender:
    """Sends the heartbeat of this process from a background thread until it is stopped."""

    def __init__(self, registry: WorkerRegistry, bundle: str, kinds: Iterable[WorkerKind] = ("inference",)) -> None:
        self._registry = registry
        self._heartbeat = Heartbeat(worker=f"{socket.gethostname()}:{os.getpid()}", kinds=tuple(kinds), bundle=bundle)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._send_loop, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def report_serving(self, digest: str, models: tuple[ServedModel, ...]) -> None:
        """Report, now and in later heartbeats, that the models are loaded and the worker is ready."""
        self._heartbeat = self._heartbeat.model_copy(update={"digest": digest, "models": models, "refused": None})
        self.report_ready()

    def report_rejected(self, digest: str | None, reason: str) -> None:
        """Report that the published bundle is not served. The models served before stay in the heartbeat."""
        self._heartbeat = self._heartbeat.model_copy(update={"refused": BundleRejection(digest=digest, reason=reason)})
        self._send()

    def report_ready(self) -> None:
        """Report that the worker accepts jobs."""
        self._heartbeat = self._heartbeat.model_copy(update={"loaded": True})
        self._send()

    def stop(self) -> None:
        """Stop the heartbeat and remove the worker from the registry."""
        self._stopped.set()
        self._thread.join()
        try:
            self._registry.deregister(self._heartbeat.worker)
        except RedisError:
            logger.info("Redis is unavailable; the heartbeat expires by itself")

    def _send_loop(self) -> None:
        self._send()
        while not self._stopped.wait(HEARTBEAT_INTERVAL_SECONDS):
            self._send()

    def _send(self) -> None:
        try:
            self._registry.heartbeat(self._heartbeat)
        except RedisError:
            logger.warning("Redis is unavailable; the heartbeat could not be sent")
