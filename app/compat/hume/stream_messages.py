"""Messages of Hume's stream: what the client sends, and the answers."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from app.compat.hume.schemas import (
    Empty,
    Granularity,
    HumeFace,
    HumeLanguage,
    HumeModel,
    HumeModelPredictions,
    HumeModels,
    HumeProsody,
    HumeRequest,
    HumeTranscription,
)

_NOTHING_FOUND: Mapping[str, tuple[str, str]] = {
    "burst": ("W0101", "No vocal bursts detected."),
    "face": ("W0103", "No faces detected."),
    "language": ("W0104", "No words detected."),
    "prosody": ("W0105", "No speech detected."),
}
"""Code and text of Hume's warning if a model found nothing."""


class HumeStreamLanguage(HumeModel):
    """Settings of the language model."""

    granularity: Granularity | None = None
    sentiment: Empty | None = None
    toxicity: Empty | None = None


class HumeStreamModels(HumeModel):
    """Models to run on a payload."""

    face: HumeFace | None = None
    burst: Empty | None = None
    prosody: Empty | None = None
    language: HumeStreamLanguage | None = None
    facemesh: Empty | None = None
    ner: Empty | None = None


class HumeStreamMessage(HumeModel):
    """A message of the client."""

    data: str | None = None
    models: HumeStreamModels | None = None
    stream_window_ms: float | None = Field(None, ge=0, le=10_000)
    reset_stream: bool | None = None
    raw_text: bool | None = None
    job_details: bool | None = None
    payload_id: str | None = Field(None, max_length=256)

    def request(self) -> HumeRequest:
        """Return the models as those of a batch job. Speech is recognised only for its words."""
        models = self.models or HumeStreamModels()
        language = HumeLanguage(**dict(models.language)) if models.language is not None else None
        return HumeRequest(
            models=HumeModels(
                face=models.face,
                burst=models.burst,
                prosody=HumeProsody() if models.prosody is not None else None,
                language=language,
                facemesh=models.facemesh,
                ner=models.ner,
            ),
            transcription=HumeTranscription() if language is not None else None,
        )


def answer_of(predictions: HumeModelPredictions, request: HumeRequest) -> dict[str, Any]:
    """Return predictions as an answer: those of each requested model in one list, or a warning if it found nothing."""
    answer: dict[str, Any] = {}
    for name, (code, warning) in _NOTHING_FOUND.items():
        if getattr(request.chosen_models, name) is None:
            continue
        found = getattr(predictions, name)
        rows = [] if found is None else [_row(name, group, each) for group, each in found.flat()]
        answer[name] = {"predictions": rows} if rows else {"predictions": [], "warning": warning, "code": code}
    return answer


def _row(model: str, group: str, prediction: HumeModel) -> dict[str, Any]:
    fields = prediction.model_dump(exclude_none=True)
    if model == "face":
        return {"face_id": group, "bbox": fields.pop("box"), **fields}
    return fields
