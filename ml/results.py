"""The result document, as frozen models without torch. The gateway publishes their schema."""

import struct
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Annotated, Any, Literal, Self

from pydantic import Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from ml.movements import EyesOpen, Gaze, HeadPose, MovementValues
from ml.options import LIVE_OPTIONS as LIVE_OPTIONS
from ml.options import FrozenModel as FrozenModel
from ml.options import Options as Options
from ml.options import Prior as Prior
from ml.vocabulary import EMOTIONS, Burst, ClassSet, MediaKind, Modality, labels_for, simplify

SCHEMA_VERSION: Literal["1"] = "1"


PersonNumber = Annotated[int, Field(ge=1)]
"""Number of a person in `people`, from 1."""
Probability = Annotated[float, Field(ge=0, le=1)]
Probabilities = dict[str, Probability]


class Media(FrozenModel):
    """Properties of the analysed file."""

    kind: MediaKind
    duration: float | None = Field(description="Seconds; null for an image.")
    width: int | None = Field(description="Pixels as displayed: upright, with square pixels; null for audio.")
    height: int | None = Field(description="Pixels as displayed: upright, with square pixels; null for audio.")
    frame_rate: float | None = Field(description="Frames per second of the file; null without video.")
    has_audio: bool
    has_video: bool
    sha256: str = Field(description="Hash of the file, in hexadecimal.")


MAX_CERTAIN_LABELS = 2
"""Maximum number of `labels_90` of a reading that is not uncertain."""


DimensionSource = Literal["words", "emotions", "combined"]
"""Origin of dimensions: a model that reads words, the emotions by a published map, or a mean of several modalities."""


class Dimensions(FrozenModel):
    """Valence, arousal and dominance of a reading, each −1 to 1."""

    valence: float = Field(ge=-1, le=1, description="From unpleasant to pleasant.")
    arousal: float = Field(ge=-1, le=1, description="From calm to excited.")
    dominance: float | None = Field(
        None, ge=-1, le=1, description="From controlled to in control; of words alone, as a model reads them."
    )
    source: DimensionSource = Field(
        description="`words`: read by a model trained on EmoBank; `emotions`: mean over the probabilities by the norms "
        "of Warriner et al. (2013); `combined`: mean of the modalities."
    )


class Certainty(FrozenModel):
    """How sure a reading is, as measured on people that the models had never met, and its dimensions."""

    labels_90: tuple[str, ...] | None = Field(
        None,
        description="Labels, most probable first, among which is the one that people would give in 90 % of cases; null "
        "if the models do not know.",
    )
    uncertain: bool | None = Field(None, description="Whether `labels_90` has more than two labels; null without them.")
    dimensions: Dimensions | None = Field(None, description="Valence, arousal and dominance; null without evidence.")


def label_set(probabilities: Probabilities, threshold: float | None) -> tuple[str, ...] | None:
    """Return the most probable labels, until the sum of their probabilities reaches the threshold; null without one."""
    if threshold is None:
        return None
    order = sorted(probabilities, key=probabilities.__getitem__, reverse=True)
    before = accumulate((probabilities[label] for label in order), initial=0.0)
    return tuple(label for label, total in zip(order, before, strict=False) if not total or total < threshold)


def is_uncertain(labels_90: tuple[str, ...] | None) -> bool | None:
    """Return whether a set has more labels than a reading that is certain; null without a set."""
    return None if labels_90 is None else len(labels_90) > MAX_CERTAIN_LABELS


def certainty(probabilities: Probabilities, threshold: float | None) -> dict[str, Any]:
    """Return the fields of `Certainty` of a distribution. `threshold`: as in `label_set`."""
    labels_90 = label_set(probabilities, threshold)
    return {"labels_90": labels_90, "uncertain": is_uncertain(labels_90)}


class Reading(Certainty):
    """An emotion and its confidence. Without evidence `emotion` is null and the probabilities are uniform."""

    emotion: str | None
    confidence: Probability
    probabilities: Probabilities

    @classmethod
    def from_probabilities(cls, probabilities: Probabilities, threshold: float | None = None) -> Self:
        """Return the reading of a distribution: its most probable emotion. `threshold`: as in `certainty`."""
        emotion = max(probabilities, key=probabilities.__getitem__)
        return cls(
            emotion=emotion,
            confidence=probabilities[emotion],
            probabilities=probabilities,
            **certainty(probabilities, threshold),
        )

    def labelled(self, labels_90: tuple[str, ...] | None) -> Self:
        """Return the reading with another set of labels."""
        return self.model_copy(update={"labels_90": labels_90, "uncertain": is_uncertain(labels_90)})

    @classmethod
    def empty(cls, classes: ClassSet = "full") -> Self:
        """Return the reading without evidence."""
        uniform: Probabilities = {emotion: 1 / len(EMOTIONS) for emotion in EMOTIONS}
        return cls(emotion=None, confidence=0, probabilities=uniform if classes == "full" else simplify(uniform))


class FaceReading(Certainty):
    """Emotion read from the main face of a window."""

    probabilities: Probabilities
    coverage: Probability = Field(description="Share of the sampled frames that show the face.")


class AudioReading(Certainty):
    """Emotion read from the voice in a window."""

    probabilities: Probabilities
    speech: Probability = Field(description="Share of the window that is speech.")


class TextReading(Certainty):
    """Emotion and sentiment read from the words in a window."""

    probabilities: Probabilities
    sentiment: Probabilities
    transcript: str = Field(description="Words spoken in the window.")


class Modalities(FrozenModel):
    """Reading of each modality by itself; null if the modality is missing."""

    face: FaceReading | None = None
    audio: AudioReading | None = None
    text: TextReading | None = None


class Window(Reading):
    """Combined reading of a stretch of time, and the readings that it combines."""

    start: float = Field(description="Seconds.")
    end: float = Field(description="Seconds.")
    modalities: Modalities
    missing: tuple[Modality, ...] = Field(description="Modalities without evidence in the window.")
    person: PersonNumber | None = Field(
        None, description="Person whose face, voice and words the window combines; null if no people were found."
    )


class Box(FrozenModel):
    """Box around a face, in pixels of the original frame as displayed: upright, with square pixels."""

    x: float
    y: float
    width: float
    height: float


Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Mesh:
    """Landmark points of a face; in JSON a list of [x, y, z].

    `packed`: the points as float32. Python tuples would take twelve times the memory.
    """

    packed: bytes

    @classmethod
    def from_points(cls, points: Iterable[Point]) -> Self:
        return cls(array("f", chain.from_iterable(points)).tobytes())

    def points(self) -> tuple[Point, ...]:
        return tuple(struct.iter_unpack("3f", self.packed))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        points = handler.generate_schema(tuple[Point, ...])
        read = core_schema.no_info_after_validator_function(cls.from_points, points)
        return core_schema.json_or_python_schema(
            json_schema=read,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), read]),
            serialization=core_schema.plain_serializer_function_ser_schema(cls.points, return_schema=points),
        )


class FaceFrame(Certainty):
    """One face in one sampled frame."""

    time: float = Field(description="Seconds.")
    box: Box
    score: Probability = Field(description="Confidence of the face detector.")
    emotion: str
    probabilities: Probabilities
    landmarks: Mesh | None = None
    movements: MovementValues | None = Field(
        None, description="Movements of the face by their names, 0 to 1, with the option `movements`."
    )
    pose: HeadPose | None = Field(None, description="Direction of the head, with the option `movements`.")
    gaze: Gaze | None = Field(None, description="Direction of the eyes, with the option `movements`.")
    eyes_open: EyesOpen | None = Field(None, description="How far the eyes are open, with the option `movements`.")
    mouth_open: float | None = Field(
        None, ge=0, description="Gap between the lips, in widths of the mouth, with the option `movements`."
    )


class FaceTrack(FrozenModel):
    """One face followed through the frames."""

    track: int
    frames: tuple[FaceFrame, ...]
    person: PersonNumber | None = Field(None, description="Person whose face it is; null if no people were found.")


class Word(FrozenModel):
    """A spoken word and its time."""

    start: float = Field(description="Seconds.")
    end: float = Field(description="Seconds.")
    word: str
    person: PersonNumber | None = Field(None, description="Person who says the word; null if unknown.")


class Segment(FrozenModel):
    """A sentence of the transcript."""

    start: float = Field(description="Seconds.")
    end: float = Field(description="Seconds.")
    text: str
    language: str | None = Field(None, description="ISO 639 code of the language of the sentence; null if unknown.")
    channel: int | None = Field(
        None, description="Number of the audio channel that speaks; null unless channels are read separately."
    )
    words: tuple[Word, ...] = ()
    person: PersonNumber | None = Field(
        None, description="Person who says the sentence, or most of it; null if unknown."
    )


class Transcript(FrozenModel):
    """The words spoken in the media, recognised by Whisper or supplied by the caller."""

    source: Literal["whisper", "caller", "none"]
    language: str | None = Field(description="ISO 639 code of the language of most words; null if unknown.")
    text: str
    segments: tuple[Segment, ...] = ()


class ModelVersions(FrozenModel):
    """The models that produced the result, and the licence of their weights."""

    bundle: str
    face: str | None
    audio: str | None
    text: str | None
    fusion: str | None
    whisper: str | None
    licence: str
    movements: str | None = Field(None, description="Model of the face movements.")
    identity: str | None = Field(None, description="Model that distinguishes the faces of people.")
    bursts: str | None = Field(None, description="Model of the vocal bursts.")
    text_by_language: dict[str, str] = Field(
        {}, description="Text model that read the words of each language (ISO 639 code), without unknown languages."
    )


class Moment(FrozenModel):
    """A notable moment: a peak of one emotion, or a shift from one to another."""

    time: float = Field(description="Seconds.")
    kind: Literal["peak", "shift"]
    from_: str | None = Field(alias="from")
    to: str
    score: Probability
    why: tuple[Modality, ...] = Field(description="Modalities that support the moment.")
    person: PersonNumber | None = Field(
        None, description="Person whose timeline has the moment; null if no people were found."
    )


class VocalBurst(FrozenModel):
    """A sound of the voice that is no speech: a laugh, a sigh, a cough."""

    start: float = Field(description="Seconds.")
    end: float = Field(description="Seconds.")
    kind: Burst
    score: Probability = Field(description="How sure the model is.")
    person: PersonNumber | None = Field(None, description="Person whose speech is around it; null if unknown.")


class Channel(FrozenModel):
    """Timeline of one audio channel that was analysed separately."""

    channel: int = Field(description="Number of the channel, or of the audio track, counted from 0.")
    windows: tuple[Window, ...]
    overall: Reading
    transcript: Transcript | None = Field(
        None, description="Words spoken in the channel; null if none were requested, or if the caller supplied them."
    )


class SpeechSpan(FrozenModel):
    """A stretch of speech."""

    start: float = Field(description="Seconds.")
    end: float = Field(description="Seconds.")


PersonMatch = Literal["sure", "likely", "none"]
"""How certain it is that face and voice of a person belong together; `none` if one of them is missing."""
MAX_NAME_LENGTH = 100
"""Maximum characters of the name of a person."""


class Person(FrozenModel):
    """One person who is seen or heard, and how this person comes across."""

    person: PersonNumber = Field(
        description="Number, from 1: first the people who are seen, by falling `seen_seconds` and `talk_seconds`; then "
        "those who are only heard, by falling `talk_seconds`."
    )
    name: str | None = Field(
        None, max_length=MAX_NAME_LENGTH, description="Name that the caller gave; null without one."
    )
    tracks: tuple[int, ...] = Field((), description="Face tracks of the person; empty for a voice without a face.")
    match: PersonMatch = Field(
        "none", description="How certain it is that face and voice belong together; `none` if one of them is missing."
    )
    speech: tuple[SpeechSpan, ...] = Field((), description="When the person speaks, in order of time.")
    seen_seconds: float = Field(0.0, ge=0, description="Seconds in which the face is seen.")
    talk_seconds: float = Field(0.0, ge=0, description="Seconds in which the person speaks.")
    overall: Reading = Field(description="Reading of the person over the whole file.")
    windows: tuple[Window, ...] = Field((), description="Readings of this person's face, voice and words alone.")


class Notice(FrozenModel):
    """Something the caller should know about the result, which is valid nonetheless."""

    code: str
    message: str


class Result(FrozenModel):
    """Result document of an analysis."""

    schema_version: Literal["1"] = SCHEMA_VERSION
    media: Media
    labels: tuple[str, ...]
    overall: Reading = Field(description="Reading of the whole file.")
    windows: tuple[Window, ...]
    faces: tuple[FaceTrack, ...]
    transcript: Transcript
    models: ModelVersions
    moments: tuple[Moment, ...] = ()
    bursts: tuple[VocalBurst, ...] = Field((), description="Laughs, sighs, coughs and the like, in order of time.")
    channels: tuple[Channel, ...] | None = None
    people: tuple[Person, ...] = Field(
        (), description="People who are seen or heard. Empty for photos, with `people: false`, and without any."
    )
    warnings: tuple[Notice, ...] = ()
    timings: dict[str, float] = Field({}, description="Seconds spent in each stage.")

    @model_validator(mode="after")
    def _labels_match(self) -> Self:
        known = {labels_for("full"), labels_for("simplified")}
        if self.labels not in known:
            raise ValueError("labels are neither the seven emotions nor the five simplified ones")
        return self
