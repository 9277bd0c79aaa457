"""Models of what the service sends. Generated from its OpenAPI document: do not edit (`make generate`)."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from .model_base import ApiModel

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class JobMedia(ApiModel):
    """The file as it was received."""

    name: str
    """File name given by the caller."""
    size: int
    """Size in bytes."""
    sha256: str


class JobSummary(ApiModel):
    """Summary of a result for a list of jobs: media, reading of the whole file, number of people."""

    kind: str
    duration: float | None = None
    """Seconds; null for an image."""
    emotion: str | None = None
    """Emotion of the whole file; null without evidence."""
    confidence: float
    labels_90: tuple[str, ...] | None = None
    probabilities: dict[str, float]
    people: int = 0
    """Number of people; of faces in a photo."""


class Fault(ApiModel):
    """One error in a request."""

    location: str
    """The field, header or parameter that is wrong."""
    message: str
    """Description of the error."""
    index: int | None = None
    """Index of the file, from 0, if the request has several."""


class Problem(ApiModel):
    """An error (RFC 9457). Programs should check `code`; `title` and `detail` are for people."""

    type: str = "about:blank"
    """The code as a URI."""
    title: str
    """Short description of the code; the same for every occurrence."""
    status: int
    """The HTTP status."""
    code: str
    """Stable, machine-readable error code."""
    detail: str | None = None
    """Description of this occurrence. Safe to show to users."""
    instance: str | None = None
    """The path of the request, or the job that failed."""
    request_id: str | None = None
    """Id of this request in the service's log."""
    stage: str | None = None
    """The stage in which the job failed."""
    retryable: bool | None = None
    """Whether the failed job may succeed if it is submitted again."""
    errors: tuple[Fault, ...] | None = None
    """Each error in the request."""


class Job(ApiModel):
    """The analysis of one file, from upload to result."""

    id: str
    status: JobStatus
    stage: str | None = None
    """Current stage of a running job; the last stage of an ended job."""
    progress: float = 0.0
    """Progress from 0 to 1."""
    position: int | None = None
    """Number of jobs ahead of a queued job; 0 is next."""
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    """Time at which an ended job and its result are deleted."""
    media: JobMedia | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    tags: tuple[str, ...] = ()
    summary: JobSummary | None = None
    """Summary of the result; null without one."""
    error: Problem | None = None
    """Reason why the job failed."""
    links: dict[str, str | None] = Field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether the job has succeeded, failed or been cancelled."""
        return self.status not in ("queued", "running")


class JobList(ApiModel):
    """One page of the caller's jobs, newest first."""

    jobs: tuple[Job, ...]
    next_cursor: str | None = None
    """Value of `cursor` for the next page; null on the last page."""


class Change(ApiModel):
    """The data of one server-sent event: a job's state after a change."""

    id: str
    """Id of the event, from which reading can be resumed."""
    status: JobStatus | Literal["deleted"]
    stage: str | None = None
    progress: float = 0.0


class Artifact(ApiModel):
    """A file that was created in addition to the result: an annotated video, a heatmap, a thumbnail."""

    name: str
    media_type: str
    size: int
    """Size in bytes."""
    link: str
    """Path of the file in this API."""


class ArtifactList(ApiModel):
    """The artifacts of a job."""

    artifacts: tuple[Artifact, ...]


class Attempt(ApiModel):
    """Result of one attempt."""

    at: datetime
    seconds: float
    """Duration."""
    status: int | None = None
    """HTTP status of the receiver's response; null if there was none."""
    error: str | None = None
    """Reason of the failure; null if it was delivered."""


class DeliveryLog(ApiModel):
    """`none`: the job has no webhook, or has not ended. `failed`: no further attempt is made."""

    state: Literal["none", "pending", "delivered", "failed"] = "none"
    next_at: datetime | None = None
    """Earliest time of the next attempt."""
    attempts: tuple[Attempt, ...] = ()


class Model(ApiModel):
    """A model that is served now."""

    role: str
    name: str
    version: int | None = None
    """Null for a model that was not published in this model store."""
    labels: tuple[str, ...]
    metrics: dict[str, Any]
    """Figures measured when it was published, by data set; those of one language name it."""
    licence: dict[str, Any] | None = None
    languages: tuple[str, ...] = ()
    """ISO 639 codes of the languages that a text model reads; it is not asked about others."""
    loaded: int
    """Number of worker processes that have it in memory."""


class ServedBundle(ApiModel):
    """Models that are served together. Bundles with the same digest are identical."""

    name: str
    digest: str
    loaded: int
    """Number of worker processes that have it in memory."""


class RefusedBundle(ApiModel):
    """A published bundle that workers reject: they keep serving their previous bundle."""

    name: str
    digest: str | None = None
    """Null if the bundle could not be read."""
    reason: str
    workers: int
    """Number of worker processes that reject it."""


class ModelList(ApiModel):
    """The models and bundles that workers serve."""

    models: tuple[Model, ...]
    bundles: tuple[ServedBundle, ...]
    refused: tuple[RefusedBundle, ...] = ()


class Media(ApiModel):
    """Properties of the analysed file."""

    kind: Literal["image", "audio", "video"]
    duration: float | None = None
    """Seconds; null for an image."""
    width: int | None = None
    """Pixels as displayed: upright, with square pixels; null for audio."""
    height: int | None = None
    """Pixels as displayed: upright, with square pixels; null for audio."""
    frame_rate: float | None = None
    """Frames per second of the file; null without video."""
    has_audio: bool
    has_video: bool
    sha256: str
    """Hash of the file, in hexadecimal."""


class Dimensions(ApiModel):
    """Valence, arousal and dominance of a reading, each −1 to 1."""

    valence: float
    """From unpleasant to pleasant."""
    arousal: float
    """From calm to excited."""
    dominance: float | None = None
    """From controlled to in control; of words alone, as a model reads them."""
    source: str
    """`words`: read by a model trained on EmoBank; `emotions`: mean over the probabilities by the norms of Warriner et
    al. (2013); `combined`: mean of the modalities."""


class Reading(ApiModel):
    """An emotion and its confidence. Without evidence `emotion` is null and the probabilities are uniform."""

    labels_90: tuple[str, ...] | None = None
    """Labels, most probable first, among which is the one that people would give in 90 % of cases; null if the models
    do not know."""
    uncertain: bool | None = None
    """Whether `labels_90` has more than two labels; null without them."""
    dimensions: Dimensions | None = None
    """Valence, arousal and dominance; null without evidence."""
    emotion: str | None = None
    confidence: float
    probabilities: dict[str, float]


class FaceReading(ApiModel):
    """Emotion read from the main face of a window."""

    labels_90: tuple[str, ...] | None = None
    """Labels, most probable first, among which is the one that people would give in 90 % of cases; null if the models
    do not know."""
    uncertain: bool | None = None
    """Whether `labels_90` has more than two labels; null without them."""
    dimensions: Dimensions | None = None
    """Valence, arousal and dominance; null without evidence."""
    probabilities: dict[str, float]
    coverage: float
    """Share of the sampled frames that show the face."""


class AudioReading(ApiModel):
    """Emotion read from the voice in a window."""

    labels_90: tuple[str, ...] | None = None
    """Labels, most probable first, among which is the one that people would give in 90 % of cases; null if the models
    do not know."""
    uncertain: bool | None = None
    """Whether `labels_90` has more than two labels; null without them."""
    dimensions: Dimensions | None = None
    """Valence, arousal and dominance; null without evidence."""
    probabilities: dict[str, float]
    speech: float
    """Share of the window that is speech."""


class TextReading(ApiModel):
    """Emotion and sentiment read from the words in a window."""

    labels_90: tuple[str, ...] | None = None
    """Labels, most probable first, among which is the one that people would give in 90 % of cases; null if the models
    do not know."""
    uncertain: bool | None = None
    """Whether `labels_90` has more than two labels; null without them."""
    dimensions: Dimensions | None = None
    """Valence, arousal and dominance; null without evidence."""
    probabilities: dict[str, float]
    sentiment: dict[str, float]
    transcript: str
    """Words spoken in the window."""


class Modalities(ApiModel):
    """Reading of each modality by itself; null if the modality is missing."""

    face: FaceReading | None = None
    audio: AudioReading | None = None
    text: TextReading | None = None


class Window(Reading):
    """Combined reading of a stretch of time, and the readings that it combines."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    modalities: Modalities
    missing: tuple[str, ...]
    """Modalities without evidence in the window."""
    person: int | None = None
    """Person whose face, voice and words the window combines; null if no people were found."""


class Box(ApiModel):
    """Box around a face, in pixels of the original frame as displayed: upright, with square pixels."""

    x: float
    y: float
    width: float
    height: float


class HeadPose(ApiModel):
    """Turn of a head, in degrees; all are 0 for one that faces the camera."""

    yaw: float
    """To the person's left, which is the right of the picture."""
    pitch: float
    """Upwards."""
    roll: float
    """Leaning clockwise, as seen in the picture."""


class Gaze(ApiModel):
    """Direction of the gaze, in degrees from the camera, both eyes together."""

    yaw: float
    """To the person's left, which is the right of the picture."""
    pitch: float
    """Upwards."""


class EyesOpen(ApiModel):
    """How far each eye is open: 1 less the movement of its lids, 0 to 1."""

    left: float
    right: float


class FaceFrame(ApiModel):
    """One face in one sampled frame."""

    labels_90: tuple[str, ...] | None = None
    """Labels, most probable first, among which is the one that people would give in 90 % of cases; null if the models
    do not know."""
    uncertain: bool | None = None
    """Whether `labels_90` has more than two labels; null without them."""
    dimensions: Dimensions | None = None
    """Valence, arousal and dominance; null without evidence."""
    time: float
    """Seconds."""
    box: Box
    score: float
    """Confidence of the face detector."""
    emotion: str
    probabilities: dict[str, float]
    landmarks: tuple[tuple[float, float, float], ...] | None = None
    movements: dict[str, float] | None = None
    """Movements of the face by their names, 0 to 1, with the option `movements`."""
    pose: HeadPose | None = None
    """Direction of the head, with the option `movements`."""
    gaze: Gaze | None = None
    """Direction of the eyes, with the option `movements`."""
    eyes_open: EyesOpen | None = None
    """How far the eyes are open, with the option `movements`."""
    mouth_open: float | None = None
    """Gap between the lips, in widths of the mouth, with the option `movements`."""


class FaceTrack(ApiModel):
    """One face followed through the frames."""

    track: int
    frames: tuple[FaceFrame, ...]
    person: int | None = None
    """Person whose face it is; null if no people were found."""


class Word(ApiModel):
    """A spoken word and its time."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    word: str
    person: int | None = None
    """Person who says the word; null if unknown."""


class Segment(ApiModel):
    """A sentence of the transcript."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    text: str
    language: str | None = None
    """ISO 639 code of the language of the sentence; null if unknown."""
    channel: int | None = None
    """Number of the audio channel that speaks; null unless channels are read separately."""
    words: tuple[Word, ...] = ()
    person: int | None = None
    """Person who says the sentence, or most of it; null if unknown."""


class Transcript(ApiModel):
    """The words spoken in the media, recognised by Whisper or supplied by the caller."""

    source: str
    language: str | None = None
    """ISO 639 code of the language of most words; null if unknown."""
    text: str
    segments: tuple[Segment, ...] = ()


class ModelVersions(ApiModel):
    """The models that produced the result, and the licence of their weights."""

    bundle: str
    face: str | None = None
    audio: str | None = None
    text: str | None = None
    fusion: str | None = None
    whisper: str | None = None
    licence: str
    movements: str | None = None
    """Model of the face movements."""
    identity: str | None = None
    """Model that distinguishes the faces of people."""
    bursts: str | None = None
    """Model of the vocal bursts."""
    text_by_language: dict[str, str] = Field(default_factory=dict)
    """Text model that read the words of each language (ISO 639 code), without unknown languages."""


class Moment(ApiModel):
    """A notable moment: a peak of one emotion, or a shift from one to another."""

    time: float
    """Seconds."""
    kind: str
    from_: str | None = Field(None, alias="from")
    to: str
    score: float
    why: tuple[str, ...]
    """Modalities that support the moment."""
    person: int | None = None
    """Person whose timeline has the moment; null if no people were found."""


class VocalBurst(ApiModel):
    """A sound of the voice that is no speech: a laugh, a sigh, a cough."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    kind: str
    score: float
    """How sure the model is."""
    person: int | None = None
    """Person whose speech is around it; null if unknown."""


class Channel(ApiModel):
    """Timeline of one audio channel that was analysed separately."""

    channel: int
    """Number of the channel, or of the audio track, counted from 0."""
    windows: tuple[Window, ...]
    overall: Reading
    transcript: Transcript | None = None
    """Words spoken in the channel; null if none were requested, or if the caller supplied them."""


class SpeechSpan(ApiModel):
    """A stretch of speech."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""


class Person(ApiModel):
    """One person who is seen or heard, and how this person comes across."""

    person: int
    """Number, from 1: first the people who are seen, by falling `seen_seconds` and `talk_seconds`; then those who are
    only heard, by falling `talk_seconds`."""
    name: str | None = None
    """Name that the caller gave; null without one."""
    tracks: tuple[int, ...] = ()
    """Face tracks of the person; empty for a voice without a face."""
    match: str = "none"
    """How certain it is that face and voice belong together; `none` if one of them is missing."""
    speech: tuple[SpeechSpan, ...] = ()
    """When the person speaks, in order of time."""
    seen_seconds: float = 0.0
    """Seconds in which the face is seen."""
    talk_seconds: float = 0.0
    """Seconds in which the person speaks."""
    overall: Reading
    """Reading of the person over the whole file."""
    windows: tuple[Window, ...] = ()
    """Readings of this person's face, voice and words alone."""


class Notice(ApiModel):
    """Something the caller should know about the result, which is valid nonetheless."""

    code: str
    message: str


class Result(ApiModel):
    """Result document of an analysis."""

    schema_version: str = "1"
    media: Media
    labels: tuple[str, ...]
    overall: Reading
    """Reading of the whole file."""
    windows: tuple[Window, ...]
    faces: tuple[FaceTrack, ...]
    transcript: Transcript
    models: ModelVersions
    moments: tuple[Moment, ...] = ()
    bursts: tuple[VocalBurst, ...] = ()
    """Laughs, sighs, coughs and the like, in order of time."""
    channels: tuple[Channel, ...] | None = None
    people: tuple[Person, ...] = ()
    """People who are seen or heard. Empty for photos, with `people: false`, and without any."""
    warnings: tuple[Notice, ...] = ()
    timings: dict[str, float] = Field(default_factory=dict)
    """Seconds spent in each stage."""


class Rating(ApiModel):
    """A stored rating."""

    target: str = "span"
    """Kind of thing that is rated."""
    start: float
    """Seconds."""
    end: float | None = None
    """Seconds; null: the moment `start`."""
    emotion: str | None = None
    """A label of the result; null: only a comment."""
    comment: str | None = None
    """Remark of the rater; null without one."""
    person: int | None = None
    """Person who is rated; null: the whole."""
    track: int | None = None
    """Face track that is rated, of the target `face`."""
    id: str
    rater: str
    """Name of the rater."""
    source: str
    """Whether it was imported from a file, or sent by itself."""
    created_at: datetime


class RaterSummary(ApiModel):
    """A rater and the number of ratings."""

    name: str
    ratings: int


class RatingList(ApiModel):
    """The ratings of a job, in order of time."""

    ratings: tuple[Rating, ...]
    raters: tuple[RaterSummary, ...]
    """All raters of the job, also those that were not asked for."""


class RatingReceipt(ApiModel):
    """Outcome of a request that adds ratings."""

    ratings: tuple[Rating, ...]
    """The ratings as they are stored."""
    replaced: int
    """Number of earlier ratings of the same raters that they replace."""
    skipped: dict[str, int] = Field(default_factory=dict)
    """Number of annotations of a file that were left out, by reason."""


class AgreementFigure(ApiModel):
    """A statistic. 1: as one, 0: as by chance, below: less than that."""

    value: float | None = None
    """Null if it is undefined, as with a single label."""
    interval: tuple[float, float] | None = None
    """95 % interval, by a bootstrap over blocks of time; null if the ratings are too few."""


class EmotionAgreement(ApiModel):
    """Agreement on one emotion against all others."""

    emotion: str
    units: int
    """Units to which at least one rater gives it."""
    krippendorff_alpha: AgreementFigure


class PairAgreement(ApiModel):
    """Agreement of two raters, or of a rater with the model."""

    first: str
    second: str
    units: int
    """Units that both rated."""
    agreement: float | None = None
    """Share of the units with the same label; null without units."""
    cohen_kappa: AgreementFigure
    confusion: tuple[tuple[int, ...], ...]
    """Number of units: a row for each label of `first`, a column for each of `second`."""


class Agreement(ApiModel):
    """Agreement over the units of the whole, or of one person."""

    person: int | None = None
    """Person of the units; null for all together."""
    units: int
    """Units that at least one rater rated."""
    shared_units: int
    """Units that at least two raters rated."""
    fleiss_kappa: AgreementFigure
    """Over the units that all raters rated."""
    krippendorff_alpha: AgreementFigure
    """Over the units that at least two raters rated."""
    emotions: tuple[EmotionAgreement, ...]
    pairs: tuple[PairAgreement, ...]
    """Each two raters."""
    model: tuple[PairAgreement, ...]
    """Each rater, and with several raters their majority, with the model as the second."""


class AgreementReport(ApiModel):
    """Agreement of the raters of a job."""

    step: float
    """Seconds of a unit of time."""
    labels: tuple[str, ...]
    raters: tuple[str, ...]
    overall: Agreement
    people: tuple[Agreement, ...]
    """One for each person with ratings."""
