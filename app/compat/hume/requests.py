"""Translation of Hume's requests to options of a job. What this service does not have is refused by name."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from app.compat.hume.schemas import HumeModels, HumeRequest
from app.errors import InvalidOptions, ValidationFailed, describe_faults, faults_from
from ml.results import Options
from ml.vocabulary import Modality

DEFAULT_FRAME_RATE = 3.0
"""Frames per second that Hume reads unless the caller says otherwise."""
MIN_FRAME_RATE, MAX_FRAME_RATE = 0.5, 30.0
"""Bounds of the option `frame_rate`. Fewer frames are left out of the predictions."""
MAX_FACES = 32
DEFAULT_WINDOW_SECONDS, DEFAULT_STEP_SECONDS = 4.0, 1.0
"""Hume's prosody window."""


def refuse_unsupported(request: HumeRequest) -> None:
    """Raise ValidationFailed, which names the first part of the request that this service cannot fulfil."""
    name = next(_unsupported(request), None)
    if name is not None:
        raise ValidationFailed(f"This service does not support {name}. Leave it out.")
    if request.transcription is None and request.models is not None and request.models.language is not None:
        raise ValidationFailed("models.language reads what was said, which needs transcription: it is null.")


def _unsupported(request: HumeRequest) -> Iterator[str]:
    models = request.models or HumeModels()
    if request.custom_model is not None:
        yield "custom_model"
    if models.ner is not None:
        yield "models.ner"
    if models.facemesh is not None:
        yield "models.facemesh"
    if models.face is not None and models.face.descriptions is not None:
        yield "models.face.descriptions"
    if models.language is not None and models.language.toxicity is not None:
        yield "models.language.toxicity"


def warnings_of(request: HumeRequest) -> tuple[str, ...]:
    """Return what of the request has no effect here."""
    ignored = []
    if request.notify:
        ignored.append("notify: this service sends no mail; use callback_url.")
    if request.transcription is not None and request.transcription.confidence_threshold is not None:
        ignored.append("transcription.confidence_threshold: unsure speech is left out by this service's own rule.")
    return tuple(ignored)


def media_options(request: HumeRequest) -> Options:
    """Return the options for media. Raises InvalidOptions."""
    models = request.chosen_models
    values: dict[str, Any] = {"modalities": _modalities(request), "max_faces": MAX_FACES}
    values["people"] = identifies_faces(request) or identifies_speakers(request)
    values["bursts"] = models.burst is not None
    if models.face is not None:
        wanted = DEFAULT_FRAME_RATE if models.face.fps_pred is None else models.face.fps_pred or MAX_FRAME_RATE
        values["frame_rate"] = min(max(wanted, MIN_FRAME_RATE), MAX_FRAME_RATE)
        values["movements"] = models.face.facs is not None
        values["thumbnails"] = bool(models.face.save_faces)
    if models.prosody is not None and models.prosody.window is not None:
        values["window_seconds"] = models.prosody.window.length or DEFAULT_WINDOW_SECONDS
        values["hop_seconds"] = models.prosody.window.step or DEFAULT_STEP_SECONDS
    if request.transcription is not None:
        values["language"] = request.transcription.language
    return parse(values)


def parse(values: dict[str, Any]) -> Options:
    """Return options of these values, without those that this version does not have. Raises InvalidOptions."""
    try:
        return Options(**{name: value for name, value in values.items() if name in Options.model_fields})
    except ValidationError as error:
        faults = faults_from(error)
        raise InvalidOptions(describe_faults(faults), errors=faults) from error


def _modalities(request: HumeRequest) -> tuple[Modality, ...]:
    models = request.chosen_models
    chosen: list[Modality] = []
    if models.face is not None:
        chosen.append("face")
    if models.prosody is not None or models.burst is not None:
        chosen.append("audio")
    needs_words = models.language is not None or (models.prosody is not None and models.prosody.window is None)
    if needs_words and request.transcription is not None:
        chosen.append("text")
    return tuple(chosen)


def identifies_faces(request: HumeRequest) -> bool:
    """Return whether faces get ids."""
    face = request.chosen_models.face
    return face is not None and bool(face.identify_faces)


def identifies_speakers(request: HumeRequest) -> bool:
    """Return whether speakers get ids."""
    models = request.chosen_models
    configurations = (request.transcription, models.prosody, models.language)
    return any(each is not None and bool(each.identify_speakers) for each in configurations)
