"""An annotation, as a file of another tool has it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Annotation:
    """A labelled interval.

    Attributes:
        tier: name of its tier; empty in a table.
        start: seconds.
        end: seconds; None for a point in time.
        rater: name of its annotator, or empty.
        person: name or number of the person that it describes, or empty.
    """

    tier: str
    start: float
    end: float | None
    label: str
    rater: str = ""
    person: str = ""
    comment: str = ""
