"""A bundle, loaded: one predictor for each role, ready to be called."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch

from ml.cpu import cpu_count
from ml.errors import ModelStoreError
from ml.inference.api import ModalityFeatures, TimeSpan
from ml.inference.face.predictor import FaceOutputs, FacePredictor
from ml.inference.fusion.predictor import FusionPredictor, WindowFeatures
from ml.inference.speech.transcriber import Transcriber
from ml.inference.speech.whisper import whisper_licence
from ml.inference.text.predictor import TextOutputs, TextPredictor
from ml.inference.voice.predictor import ToneOutputs, VoicePredictor
from ml.media import SAMPLE_RATE
from ml.registry import Bundle, Licence, Manifest, ModelStore
from ml.results import ModelVersions
from ml.vocabulary import EMOTIONS

Licences = Literal["any", "commercial"]


def pick_device(name: str = "auto") -> torch.device:
    """`auto`: the GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def check_licences(told: dict[str, Licence], licences: Licences) -> None:
    """Raises ModelStoreError naming each model whose licence forbids commercial use, when that is asked for."""
    refused = [name for name, licence in told.items() if not licence.commercial]
    if licences == "commercial" and refused:
        raise ModelStoreError(
            f"AFFECT_LICENCES=commercial refuses {', '.join(refused)}: their licence does not permit it. "
            "Train your own (python -m ml train) or fetch a classifier (python -m ml fetch), and name it in a bundle."
        )


def published(store: ModelStore, name: str, whisper: str | None = None) -> Bundle:
    """The bundle as it is in the store now; `whisper` overrides its own. Raises ModelStoreError."""
    bundle = store.bundle(name)
    return bundle if whisper is None else bundle.model_copy(update={"whisper": whisper})


@dataclass(frozen=True)
class LoadedBundle:
    """A role that the bundle does not name is null; so is `whisper` where its weights are not at hand. `threads`: of a
    CPU that the models may take."""

    bundle: Bundle
    manifests: dict[str, Manifest]
    face: FacePredictor | None
    audio: VoicePredictor | None
    text: TextPredictor | None
    whisper: Transcriber | None
    fusion: FusionPredictor
    whisper_licence: Licence | None = None
    threads: int = 1

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
        """Raises ModelStoreError when a model is missing, damaged, or refused."""
        manifests = {role: store.manifest(reference) for role, reference in bundle.models().items()}
        told = {manifest.reference: manifest.licence for manifest in manifests.values()}
        spoken = whisper_licence(bundle.whisper, store.root) if bundle.whisper else None
        check_licences(told | ({f"whisper {bundle.whisper}": spoken} if spoken else {}), licences)
        for manifest in manifests.values():
            if manifest.labels != EMOTIONS:
                raise ModelStoreError(f"{manifest.reference} does not answer with the seven emotions in their order")
        face = FacePredictor.load(store, bundle.face, device) if bundle.face else None
        audio = VoicePredictor.load(store, bundle.audio, device) if bundle.audio else None
        text = TextPredictor.load(store, bundle.text, device) if bundle.text else None
        speech = Transcriber.load(bundle.whisper, store.root, device, threads) if bundle.whisper else None
        if bundle.fusion:
            fusion = FusionPredictor.load(store, bundle.fusion, device)
        else:
            face_size, audio_size, text_size = (read.embedding_size if read else 1 for read in (face, audio, text))
            fusion = FusionPredictor.addition(face_size, audio_size, text_size, device)
        licence = spoken if speech else None
        return cls(bundle, manifests, face, audio, text, speech, fusion, licence, threads or cpu_count())

    def warm_up(self) -> None:
        """Runs each model once, so that no job waits for what a first call builds. Raises ModelStoreError where one does
        not answer with probabilities."""
        found: dict[str, FaceOutputs | ToneOutputs | TextOutputs] = {}
        if self.face:
            found["face"] = self.face.warm_up()
        if self.audio:
            found["audio"] = self.audio.predict([np.zeros(SAMPLE_RATE, np.float32)])
        if self.text:
            found["text"] = self.text.predict(["Hello."])
        if self.whisper:
            silence = np.zeros(SAMPLE_RATE, np.int16)
            self.whisper.transcribe(silence, [TimeSpan(0, 1)], None, lambda: None, lambda _: None)
        evidence = {
            role: ModalityFeatures(outputs.embeddings_NE[0], outputs.log_probabilities_NC[0])
            for role, outputs in found.items()
        }
        faces = (evidence["face"],) if self.face else ()
        fused = self.fusion.predict([WindowFeatures(faces, evidence.get("audio"), evidence.get("text"))])
        answers = {role: outputs.log_probabilities_NC for role, outputs in found.items()} | {"fusion": fused}
        for role, logs_NC in answers.items():
            if not np.allclose(np.exp(logs_NC).sum(), 1, atol=1e-3):  # nor is it where one is not a number
                raise ModelStoreError(
                    f"the {role} model of the bundle {self.bundle.name} answers with no probabilities"
                )

    @property
    def versions(self) -> ModelVersions:
        used = [manifest.licence for manifest in self.manifests.values()]
        free = all(licence.commercial for licence in [*used, *filter(None, [self.whisper_licence])])
        return ModelVersions(
            bundle=self.bundle.name,
            face=self.bundle.face,
            audio=self.bundle.audio,
            text=self.bundle.text,
            fusion=self.bundle.fusion,
            whisper=self.bundle.whisper if self.whisper else None,
            licence="commercial" if free else "non-commercial",
        )
