"""Turns of speakers by time: who speaks in a span."""

from bisect import bisect_left
from collections.abc import Sequence

from ml.inference.api import TimeSpan
from ml.inference.people.diarization import Turn

MAX_DISTANCE_SECONDS = 1.0
"""Seconds from a turn within which a word between turns still belongs to its speaker."""


class TurnIndex:
    """Finds who speaks in a span of time."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = sorted(turns, key=lambda turn: (turn.span.start, turn.speaker))
        self._starts = [turn.span.start for turn in self._turns]
        self._longest = max((turn.span.length for turn in turns), default=0.0)

    def seconds(self, span: TimeSpan) -> dict[int, float]:
        """Return how long each speaker is heard in a span."""
        found: dict[int, float] = {}
        for turn in self._near(span, 0.0):
            seconds = min(turn.span.end, span.end) - max(turn.span.start, span.start)
            if seconds > 0:
                found[turn.speaker] = found.get(turn.speaker, 0.0) + seconds
        return found

    def turns(self, span: TimeSpan) -> list[Turn]:
        """Return the turns that overlap with a span."""
        return [turn for turn in self._near(span, 0.0) if turn.span.end > span.start and turn.span.start < span.end]

    def speaker(self, span: TimeSpan) -> int | None:
        """Return who speaks most in a span, or else the nearest one within `MAX_DISTANCE_SECONDS`."""
        seconds = self.seconds(span)
        if seconds:
            return max(sorted(seconds), key=seconds.__getitem__)
        near = self._near(span, MAX_DISTANCE_SECONDS)
        distances = [(max(turn.span.start - span.end, span.start - turn.span.end), turn.speaker) for turn in near]
        distance, speaker = min(distances, default=(MAX_DISTANCE_SECONDS, -1))
        return speaker if distance < MAX_DISTANCE_SECONDS else None

    def _near(self, span: TimeSpan, margin: float) -> list[Turn]:
        first = bisect_left(self._starts, span.start - margin - self._longest)
        return self._turns[first : bisect_left(self._starts, span.end + margin)]
