"""Options of a job, and the base of all published models. No torch: the gateway publishes their schema."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ml.languages import EXAMPLES, parse_language
from ml.vocabulary import ClassSet, Modality


class FrozenModel(BaseModel):
    """Immutable model without unknown fields; aliases are used in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


def _unique(modalities: tuple[Modality, ...]) -> tuple[Modality, ...]:
    if len(set(modalities)) != len(modalities):
        raise ValueError("a modality is listed twice")
    return modalities


Prior = Literal["natural", "uniform"]
"""How common emotions are taken to be: as in ordinary talk, or all alike."""
PeopleCount = Annotated[int, Field(ge=1, le=32)]
_SET = Field(min_length=1, json_schema_extra={"uniqueItems": True})


class Options(FrozenModel):
    """Options of an analysis. An unknown field is an error."""

    modalities: Annotated[tuple[Modality, ...], _SET, AfterValidator(_unique)] | None = Field(
        None,
        description="Modalities to analyse; null: all that the media has. Speech is recognised only if `text` is among "
        "them.",
    )
    window_seconds: float = Field(4.0, ge=0.5, le=60, description="Length of a window, in seconds.")
    hop_seconds: float = Field(
        2.0, ge=0.25, le=60, description="Seconds from the start of one window to the start of the next."
    )
    frame_rate: float = Field(4.0, ge=0.5, le=30, description="Frames per second that are searched for faces.")
    classes: ClassSet = Field(
        "full", description="Set of emotions. `full`: seven; `simplified`: five, which are sums of the seven."
    )
    language: Annotated[str | None, Field(max_length=64, examples=[*EXAMPLES]), AfterValidator(parse_language)] = Field(
        None,
        description="Spoken language: an ISO 639 code (`en`, `eng`), a tag (`en-US`) or an English name, converted to "
        "the shortest code; null or `auto`: detected for each stretch of speech, if the Whisper model supports it. It "
        "is also the language of a supplied transcript.",
    )
    channels: Literal["mix", "separate"] = Field(
        "mix",
        description="Audio channels. `separate`: in addition, a timeline and a transcript for each channel, for calls; "
        "or for each audio track, if the file has several with sound.",
    )
    audio_track: Literal["auto"] | Annotated[int, Field(strict=True, ge=0, le=255)] = Field(
        "auto",
        description="Audio track of a file with several, counted from 0; `auto`: a mix of all that carry sound.",
    )
    max_faces: int = Field(8, ge=1, le=32, description="Maximum number of faces per frame; the largest are analysed.")
    crops: bool = Field(
        False,
        description="The pictures are face crops already, as in data sets of faces: each photo, or each frame, is read "
        "as one face, and nothing is searched.",
    )
    landmarks: bool = Field(False, description="Include the 468 mesh points of each face in the result.")
    bursts: bool = Field(True, description="Find laughs, cries, sighs, coughs and other sounds of the voice.")
    movements: bool = Field(
        False,
        description="Include 52 named movements of each face, where head and eyes turn, and how far eyes and mouth are "
        "open.",
    )
    heatmaps: bool = Field(
        False,
        description="Create images that explain the result: Grad-CAM and feature maps of faces, and what in the voice "
        "and which words contributed.",
    )
    annotate: bool = Field(
        False, description="Create an annotated copy of the video or photo, with boxes, bars and captions."
    )
    thumbnails: bool = Field(
        False,
        description="Create thumbnails of each person, of the 16 faces that are visible longest, and of the 12 "
        "strongest moments.",
    )
    words: bool = Field(True, description="Include the time of each word in the transcript.")
    prior: Prior = Field(
        "natural",
        description="How common emotions are taken to be. `natural`: as in ordinary talk, which is mostly neutral; "
        "`uniform`: all alike. Photos, and the single frames of a face, are always read with `uniform`.",
    )
    people: bool = Field(
        True,
        description="Find out who is seen and who speaks, and how each of them comes across. Photos have no people.",
    )
    min_people: PeopleCount | None = Field(
        None, description="Least number of people in the recording, as a hint; null: found from faces and voices."
    )
    max_people: PeopleCount | None = Field(
        None, description="Greatest number of people in the recording, as a hint; null: found from faces and voices."
    )
    keep_media: bool = Field(
        False,
        description="Store the media, its decoded audio and what the models observed as long as the result, so that it "
        "can be played and analysed again.",
    )

    @model_validator(mode="after")
    def _windows_cover(self) -> Self:
        if self.hop_seconds > self.window_seconds:
            raise ValueError("hop_seconds is greater than window_seconds: windows would leave gaps")
        return self

    @model_validator(mode="after")
    def _people_are_possible(self) -> Self:
        if self.min_people is not None and self.max_people is not None and self.min_people > self.max_people:
            raise ValueError("min_people is greater than max_people")
        return self

    @property
    def requested_track(self) -> int | None:
        """Number of the requested audio track; null for all."""
        return None if self.audio_track == "auto" else self.audio_track

    def wants(self, modality: Modality) -> bool:
        return self.modalities is None or modality in self.modalities


LIVE_OPTIONS = frozenset({"modalities", "classes", "max_faces", "window_seconds", "frame_rate", "prior"})
"""Names of the options that a live stream uses; it ignores the others. Of the modalities it reads face and audio."""
