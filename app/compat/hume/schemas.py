"""Requests and responses of Hume's Expression Measurement API, as its SDK sends and reads them."""

from collections.abc import Iterator
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Granularity = Literal["word", "sentence", "utterance", "conversational_turn", "passage"]
Status = Literal["QUEUED", "IN_PROGRESS", "COMPLETED", "FAILED"]
FileType = Literal["audio", "image", "text", "video"]
Empty = dict[str, Any]
"""Configuration of a model that has no settings."""


class HumeModel(BaseModel):
    """Base of these models. An unknown field is an error: it would be a wish without effect."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HumeFace(HumeModel):
    """Settings of the face model."""

    fps_pred: float | None = Field(
        None, ge=0, le=60, description="Frames per second to read; 0: every frame, at most 30 a second. Default: 3."
    )
    prob_threshold: float | None = Field(
        None, ge=0, le=1, description="Minimum score of the face detector. Default: all that were found."
    )
    identify_faces: bool | None = Field(None, description="Give the faces of each person an id. Default: `unknown`.")
    min_face_size: float | None = Field(None, ge=0, description="Minimum side of a face's box, in pixels.")
    facs: Empty | None = Field(None, description="Include face movements.")
    descriptions: Empty | None = Field(None, description="Not supported: refused.")
    save_faces: bool | None = Field(None, description="Add pictures of the faces to the artifacts.")


class HumeWindow(HumeModel):
    """Sliding window of the prosody model."""

    length: float | None = Field(None, ge=0.5, le=60, description="Seconds. Default: 4.")
    step: float | None = Field(None, ge=0.5, le=60, description="Seconds. Default: 1.")


class HumeProsody(HumeModel):
    """Settings of the prosody model."""

    granularity: Granularity | None = Field(None, description="Stretches that get one reading. Default: utterance.")
    window: HumeWindow | None = Field(None, description="Read windows of time instead.")
    identify_speakers: bool | None = Field(None, description="Give each speaker an id.")


class HumeLanguage(HumeModel):
    """Settings of the language model."""

    granularity: Granularity | None = Field(None, description="Stretches that get one reading. Default: word.")
    sentiment: Empty | None = Field(None, description="Include sentiment.")
    toxicity: Empty | None = Field(None, description="Not supported: refused.")
    identify_speakers: bool | None = Field(None, description="Give each speaker an id.")


class HumeModels(HumeModel):
    """Models to run. Without any, all that this service has."""

    face: HumeFace | None = None
    burst: Empty | None = None
    prosody: HumeProsody | None = None
    language: HumeLanguage | None = None
    ner: dict[str, Any] | None = Field(None, description="Not supported: refused.")
    facemesh: Empty | None = Field(None, description="Not supported: refused.")


class HumeTranscription(HumeModel):
    """How to recognise speech."""

    language: str | None = Field(None, max_length=64, description="Spoken language; null: detected.")
    identify_speakers: bool | None = Field(None, description="Give each speaker an id.")
    confidence_threshold: float | None = Field(None, ge=0, le=1, description="Ignored, with a warning.")


class HumeRequest(HumeModel):
    """A batch job: what to analyse, and how."""

    models: HumeModels | None = None
    transcription: HumeTranscription | None = Field(
        default_factory=HumeTranscription, description="null: recognise no speech."
    )
    urls: tuple[str, ...] | None = Field(None, description="Links to media.")
    text: tuple[str, ...] | None = Field(None, description="Texts for the language model.")
    callback_url: str | None = Field(None, description="Address that is notified when the job has ended.")
    notify: bool | None = Field(None, description="Ignored, with a warning: this service sends no mail.")
    custom_model: Any = Field(None, description="Not supported: refused.")

    @property
    def chosen_models(self) -> HumeModels:
        """The models to run: those that the caller named, or all."""
        if self.models is None or not any(value is not None for _, value in self.models):
            return HumeModels(face=HumeFace(), burst={}, prosody=HumeProsody(), language=HumeLanguage())
        return self.models


class HumeFile(HumeModel):
    """A submitted file."""

    filename: str | None = None
    content_type: str | None = None
    md5sum: str


class HumeSubmittedRequest(HumeRequest):
    """The request of a job, with the files that came with it."""

    files: tuple[HumeFile, ...] = ()


class HumeJobId(HumeModel):
    """A started job."""

    job_id: str
    warnings: tuple[str, ...] = Field((), description="What of the request has no effect here.")


class HumeState(HumeModel):
    """State of a job. Times are in milliseconds since 1970."""

    status: Status
    created_timestamp_ms: int
    started_timestamp_ms: int | None = None
    ended_timestamp_ms: int | None = None
    num_predictions: int | None = Field(None, description="Number of files that were analysed.")
    num_errors: int | None = Field(None, description="Number of files that could not be.")
    message: str | None = Field(None, description="Why the job failed.")


class HumeJob(HumeModel):
    """A job and its state."""

    type: Literal["INFERENCE"] = "INFERENCE"
    user_id: str
    job_id: str
    request: HumeSubmittedRequest
    state: HumeState


class HumeScore(HumeModel):
    """A name and how strongly it applies."""

    name: str
    score: float


class HumeBox(HumeModel):
    """Box around a face, in pixels."""

    x: float
    y: float
    w: float
    h: float


class HumeInterval(HumeModel):
    """A stretch of time, in seconds."""

    begin: float
    end: float


class HumePosition(HumeModel):
    """A stretch of text, in characters."""

    begin: int
    end: int


class HumeFacePrediction(HumeModel):
    """One face in one frame."""

    frame: int
    time: float
    prob: float
    box: HumeBox
    emotions: tuple[HumeScore, ...]
    facs: tuple[HumeScore, ...] | None = None
    descriptions: tuple[HumeScore, ...] | None = None


class HumeSpeechPrediction(HumeModel):
    """The voice over a stretch of time."""

    text: str | None = None
    time: HumeInterval
    confidence: float | None = None
    speaker_confidence: float | None = None
    emotions: tuple[HumeScore, ...]


class HumeLanguagePrediction(HumeModel):
    """The words of a stretch of text."""

    text: str
    position: HumePosition
    time: HumeInterval | None = None
    confidence: float | None = None
    speaker_confidence: float | None = None
    emotions: tuple[HumeScore, ...]
    sentiment: tuple[HumeScore, ...] | None = None
    toxicity: tuple[HumeScore, ...] | None = None


class HumeBurstPrediction(HumeModel):
    """A vocal burst."""

    time: HumeInterval
    emotions: tuple[HumeScore, ...]
    descriptions: tuple[HumeScore, ...]


Prediction = TypeVar(
    "Prediction", HumeFacePrediction, HumeSpeechPrediction, HumeLanguagePrediction, HumeBurstPrediction
)


class HumeGroup(HumeModel, Generic[Prediction]):
    """Predictions of one person; `unknown` if people are not identified."""

    id: str
    predictions: tuple[Prediction, ...]


class HumePredictions(HumeModel, Generic[Prediction]):
    """Predictions of one model."""

    metadata: dict[str, Any] | None = None
    grouped_predictions: tuple[HumeGroup[Prediction], ...]

    def flat(self) -> Iterator[tuple[str, Prediction]]:
        """Yield the predictions with the ids of their groups."""
        for group in self.grouped_predictions:
            for prediction in group.predictions:
                yield group.id, prediction


class HumeModelPredictions(HumeModel):
    """Predictions of a file, by model; null for a model that did not run or does not apply."""

    face: HumePredictions[HumeFacePrediction] | None = None
    burst: HumePredictions[HumeBurstPrediction] | None = None
    prosody: HumePredictions[HumeSpeechPrediction] | None = None
    language: HumePredictions[HumeLanguagePrediction] | None = None
    ner: None = None
    facemesh: None = None


class HumeFileResult(HumeModel):
    """Predictions of one file."""

    file: str
    file_type: FileType
    models: HumeModelPredictions


class HumeFileError(HumeModel):
    """Why a file has no predictions."""

    message: str
    file: str


class HumeResults(HumeModel):
    """Results of a source: a file, the files of an archive, a link, or the texts of a request."""

    predictions: tuple[HumeFileResult, ...]
    errors: tuple[HumeFileError, ...]


class HumeSource(HumeModel):
    """Source of media."""

    type: Literal["url", "file", "text"]
    url: str | None = None
    filename: str | None = None
    content_type: str | None = None
    md5sum: str | None = None


class HumeSourceResult(HumeModel):
    """Results of a source, or the reason why it has no results."""

    source: HumeSource
    results: HumeResults | None = None
    error: str | None = None


class HumeError(HumeModel):
    """An error. `code`: as in Hume's table of codes where that has one, else the code of this service."""

    status: int
    code: str
    error: str = Field(description="Title of the error.")
    message: str
    request_id: str | None = None
