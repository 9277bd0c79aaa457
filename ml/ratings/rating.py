"""A human rating: what one rater says of a stretch of time, a sentence, a moment or a face."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from ml.results import FrozenModel, PersonNumber

MAX_NAME_CHARACTERS = 100
MAX_COMMENT_CHARACTERS = 2000
MODEL = "model"
"""Name of the model among the raters, which no rater may have."""

RatingTarget = Literal["span", "window", "sentence", "moment", "face"]
"""Target of a rating: any stretch of time, a window, sentence or moment of the result, or one face at one time."""
RaterName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME_CHARACTERS, pattern=r"^[^\x00-\x1f]+$"),
]
Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class RatedContent(FrozenModel):
    """Content of a rating."""

    target: RatingTarget = Field("span", description="Kind of thing that is rated.")
    start: Seconds = Field(description="Seconds.")
    end: Seconds | None = Field(None, description="Seconds; null: the moment `start`.")
    emotion: str | None = Field(None, max_length=32, description="A label of the result; null: only a comment.")
    comment: Annotated[str, Field(max_length=MAX_COMMENT_CHARACTERS)] | None = Field(
        None, description="Remark of the rater; null without one."
    )
    person: PersonNumber | None = Field(None, description="Person who is rated; null: the whole.")
    track: int | None = Field(None, ge=0, description="Face track that is rated, of the target `face`.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.end is not None and self.end < self.start:
            raise ValueError("end is before start")
        if self.emotion is None and not (self.comment or "").strip():
            raise ValueError("a rating has an emotion, a comment, or both")
        if (self.track is not None) != (self.target == "face"):
            raise ValueError("a rating of a face has a track, and no other rating has one")
        if self.end is None and self.target in ("span", "window", "sentence"):
            raise ValueError(f"a rating of a {self.target} has an end")
        return self

    @property
    def key(self) -> tuple[object, ...]:
        """Identity of the target: a rater has one rating of it, and any comments without an emotion."""
        return self.target, self.start, self.end, self.person, self.track, self.emotion is None and self.comment


class Rating(RatedContent):
    """A stored rating."""

    id: str
    rater: RaterName = Field(description="Name of the rater.")
    source: Literal["import", "call"] = Field(description="Whether it was imported from a file, or sent by itself.")
    created_at: datetime
