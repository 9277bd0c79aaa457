"""Loaded bundles: one predictor per role, ready to be called."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any, Literal, Self, cast

import numpy as np
import torch

from ml.cpu import cpu_count
from ml.errors import ModelStoreError
from ml.inference.api import EmotionOutputs, Predictor, Role, TimeSpan
from ml.inference.face.identity import IdentityPredictor
from ml.inference.face.movements import MovementPredictor
from ml.inference.face.predictor import FacePredictor
from ml.inference.fusion.predictor import FusionPredictor
from ml.inference.people.speaker_networks import SpeakerNetworks
from ml.inference.people.speech_pieces import SpeechListener
from ml.inference.runtime.device import working_device
from ml.inference.speech.transcriber import Transcriber
from ml.inference.speech.whisper_files import whisper_licence
from ml.inference.text.models import TextModels
from ml.inference.text.predictor import TextPredictor
from ml.inference.voice.bursts import BurstPredictor
from ml.inference.voice.predictor import VoicePredictor
from ml.media import SAMPLE_RATE
from ml.registry import Bundle, Licence, Manifest, ModelStore
from ml.results import ModelVersions
from ml.vocabulary import EMOTIONS

Licences = Literal["any", "commercial"]

ROLES: Mapping[Role, type[Predictor[Any, Any]]] = {
    "face": FacePredictor,
    "audio": VoicePredictor,
    "text": TextPredictor,
    "fusion": FusionPredictor,
}
"""Predictor of each role. A new modality is one more row, and a field of `ml.registry.Bundle`."""


def load_order() -> tuple[Role, ...]:
    """Return the roles so that each comes after those that it depends on."""
    return tuple(TopologicalSorter({role: predictor.depends for role, predictor in ROLES.items()}).static_order())


def pick_device(name: str = "auto") -> torch.device:
    """Return the device; `auto` is the GPU if there is one. Raises ModelStoreError if the device does not work."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return working_device(name)


def check_licences(licence_of: Mapping[str, Licence], licences: Licences) -> None:
    """Raise ModelStoreError if `licences` asks for commercial use and the licence of a model forbids it."""
    refused = [name for name, licence in licence_of.items() if not licence.commercial]
    if licences == "commercial" and refused:
        raise ModelStoreError(
            f"AFFECT_LICENCES=commercial refuses {', '.join(refused)}: their licence does not permit it. "
            "Train your own (python -m ml train) or fetch a classifier (python -m ml fetch), and name it in a bundle."
        )


def published(store: ModelStore, name: str, whisper: str | None = None) -> Bundle:
    """Return the bundle as the store has it now; `whisper` overrides its own. Raises ModelStoreError."""
    bundle = store.bundle(name)
    return bundle if whisper is None else bundle.model_copy(update={"whisper": whisper})


@dataclass(frozen=True)
class LoadedBundle:
    """Predictors of a bundle, by role, without the roles that it leaves out.

    `whisper` is null if the bundle names none or its weights are not available. `threads`: CPU threads that the models
    may use. `further_text`: manifest and predictor of each further text model. `detail_manifests`: manifests of the
    models that find details.
    """

    bundle: Bundle
    manifests: Mapping[str, Manifest]
    predictors: Mapping[Role, Predictor[Any, Any]]
    whisper: Transcriber | None
    whisper_licence: Licence | None = None
    threads: int = 1
    further_text: tuple[tuple[Manifest, TextPredictor], ...] = ()
    movements: MovementPredictor | None = None
    identity: IdentityPredictor | None = None
    bursts: BurstPredictor | None = None
    detail_manifests: Mapping[str, Manifest] = field(default_factory=dict)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def face(self) -> FacePredictor | None:
        return cast(FacePredictor | None, self.predictors.get("face"))

    @property
    def audio(self) -> VoicePredictor | None:
        return cast(VoicePredictor | None, self.predictors.get("audio"))

    @property
    def text(self) -> TextPredictor | None:
        return cast(TextPredictor | None, self.predictors.get("text"))

    @cached_property
    def text_models(self) -> TextModels:
        """Text models of the bundle, in the order in which they are chosen for a language."""
        return TextModels([*([self.text] if self.text else []), *(predictor for _, predictor in self.further_text)])

    @cached_property
    def speech_listener(self) -> SpeechListener | None:
        """Listener that distinguishes speakers; null if the networks are not installed. Raises ModelStoreError."""
        networks = SpeakerNetworks.shared(self.device)
        return SpeechListener(networks) if networks else None

    @property
    def all_manifests(self) -> tuple[tuple[str, Manifest], ...]:
        """Role and manifest of each published model."""
        further = (("text", manifest) for manifest, _ in self.further_text)
        return (*self.manifests.items(), *further, *self.detail_manifests.items())

    @property
    def fusion(self) -> FusionPredictor:
        return cast(FusionPredictor, self.predictors["fusion"])

    @classmethod
    def load(
        cls,
        store: ModelStore,
        bundle: Bundle,
        *,
        device: torch.device,
        licences: Licences = "any",
        threads: int = 0,
    ) -> Self:
        """Return the bundle, loaded. `threads`: 0 takes all CPU cores that the process may use.

        Raises ModelStoreError if a model is missing, damaged, or refused.
        """
        references = bundle.models()
        manifests = {role: store.manifest(reference) for role, reference in references.items()}
        further = [store.manifest(reference) for reference in bundle.further_text] if bundle.text else []
        every = [*manifests.values(), *further]
        details = {name: store.manifest(reference) for name, reference in bundle.detail_models().items()}
        licence_of = {manifest.reference: manifest.licence for manifest in (*every, *details.values())}
        spoken = whisper_licence(bundle.whisper, store.root) if bundle.whisper else None
        check_licences(licence_of | ({f"whisper {bundle.whisper}": spoken} if spoken else {}), licences)
        for manifest in every:
            if manifest.labels != EMOTIONS:
                raise ModelStoreError(f"{manifest.reference} does not answer with the seven emotions in their order")
        predictors: dict[Role, Predictor[Any, Any]] = {}
        for role in load_order():
            if role in references:
                predictors[role] = ROLES[role].load(store, references[role], device)
            elif fallback := ROLES[role].fallback(predictors, device):
                predictors[role] = fallback
        whisper = Transcriber.load(bundle.whisper, store.root, device, threads) if bundle.whisper else None
        return cls(
            bundle,
            manifests,
            predictors,
            whisper,
            spoken if whisper else None,
            threads or cpu_count(),
            tuple((manifest, TextPredictor.load(store, manifest.reference, device)) for manifest in further),
            MovementPredictor.load(store, bundle.movements, device) if bundle.movements else None,
            IdentityPredictor.load(store, bundle.identity, device) if bundle.identity else None,
            BurstPredictor.load(store, bundle.bursts, device) if bundle.bursts else None,
            details,
            device,
        )

    def warm_up(self) -> None:
        """Run each model once, so that no job waits for what a first call builds.

        Raises ModelStoreError if a model does not answer with probabilities.
        """
        outputs: dict[Role, EmotionOutputs] = {}
        for role in load_order():
            if predictor := self.predictors.get(role):
                upstream = {source: outputs[source] for source in predictor.depends if source in outputs}
                outputs[role] = predictor.warm_up(upstream)
        for _, predictor in self.further_text:
            predictor.warm_up({})
        if self.speech_listener:
            self.speech_listener.warm_up()
        if self.whisper:
            silence = np.zeros(SAMPLE_RATE, np.int16)
            self.whisper.transcribe(silence, [TimeSpan(0, 1)], None, lambda: None, lambda _: None)
        for role, answer in outputs.items():
            if not np.allclose(np.exp(answer.log_probabilities_NC).sum(), 1, atol=1e-3):  # neither is it with a NaN
                raise ModelStoreError(
                    f"the {role} model of the bundle {self.bundle.name} answers with no probabilities"
                )

    @property
    def versions(self) -> ModelVersions:
        """Versions and licence of the models, for the result document."""
        licences = [*(manifest.licence for _, manifest in self.all_manifests), self.whisper_licence]
        details = {name: getattr(self.bundle, name) for name in self.detail_manifests}
        commercial = all(licence.commercial for licence in licences if licence)
        return ModelVersions(
            bundle=self.bundle.name,
            **{role: getattr(self.bundle, role) for role in ROLES},
            **{name: reference for name, reference in details.items() if name in ModelVersions.model_fields},
            whisper=self.bundle.whisper if self.whisper else None,
            licence="commercial" if commercial else "non-commercial",
        )
