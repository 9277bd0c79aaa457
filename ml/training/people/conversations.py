"""Conversations composed of recordings of single speakers: their turns are known exactly."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ml.inference.api import FloatArray, TimeSpan
from ml.inference.voice.vad import speech_segments
from ml.media import SAMPLE_RATE
from ml.training.datasets.example import Example
from ml.training.datasets.media import read_waveform

TURN_SECONDS = (1.0, 5.0)
PAUSE_SECONDS = (0.1, 0.6)
OVERLAP_SECONDS = (0.3, 1.0)
OVERLAP_SHARE = 0.35
"""Share of the turns that begin before the one before them ends: about a tenth of the speech then overlaps."""
LEVEL_SPREAD_DB = 3.0
MEAN_LEVEL = 0.1

Reader = Callable[[Example], FloatArray]


@dataclass(frozen=True)
class SpeakerTurn:
    """Span in which a speaker is heard; `speaker` as the data set names it."""

    span: TimeSpan
    speaker: str


@dataclass(frozen=True)
class Conversation:
    """Sound at 16 kHz in −1..1 [samples], and who speaks when."""

    sound: FloatArray
    turns: tuple[SpeakerTurn, ...]

    @property
    def seconds(self) -> float:
        return len(self.sound) / SAMPLE_RATE


def by_speaker(examples: Sequence[Example]) -> dict[str, list[Example]]:
    """Return the recordings of each speaker that has a name."""
    found: dict[str, list[Example]] = {}
    for example in examples:
        if example.speaker and example.path:
            found.setdefault(example.speaker, []).append(example)
    return found


def compose(
    recordings: Mapping[str, Sequence[Example]],
    people: int,
    seconds: float,
    generator: np.random.Generator,
    read: Reader = read_waveform,
) -> Conversation:
    """Return a conversation of about `seconds` between `people` speakers, drawn by the generator.

    The speaker changes with each turn. A turn is one recording, or several of the same speaker.
    """
    speakers = [str(name) for name in generator.choice(sorted(recordings), people, replace=False)]
    sound = np.zeros(round((seconds + 2 * TURN_SECONDS[1]) * SAMPLE_RATE), np.float32)
    turns: list[SpeakerTurn] = []
    end = 0.0
    while end < seconds:
        speaker = str(generator.choice([name for name in speakers if not turns or name != turns[-1].speaker]))
        turn = _turn(recordings[speaker], generator, read)
        overlaps = bool(turns) and generator.random() < OVERLAP_SHARE
        start = max(
            0.0, end - generator.uniform(*OVERLAP_SECONDS) if overlaps else end + generator.uniform(*PAUSE_SECONDS)
        )
        first = round(start * SAMPLE_RATE)
        sound[first : first + len(turn)] += turn
        span = TimeSpan(first / SAMPLE_RATE, (first + len(turn)) / SAMPLE_RATE)
        turns.append(SpeakerTurn(span, speaker))
        end = max(end, span.end)
    return Conversation(sound[: round(end * SAMPLE_RATE)].clip(-1, 1), tuple(turns))


def _turn(recordings: Sequence[Example], generator: np.random.Generator, read: Reader) -> FloatArray:
    """Return speech of a drawn length, without silence at its ends, at a drawn level."""
    length = generator.uniform(*TURN_SECONDS)
    pieces, seconds = [], 0.0
    for piece in _speech(recordings, generator, read):
        pieces.append(piece)
        seconds += len(piece) / SAMPLE_RATE
        if seconds >= length:
            break
    turn = np.concatenate(pieces)[: round(TURN_SECONDS[1] * SAMPLE_RATE)]
    level = MEAN_LEVEL * 10 ** (generator.uniform(-LEVEL_SPREAD_DB, LEVEL_SPREAD_DB) / 20)
    return np.asarray(turn * (level / max(float(np.sqrt(np.mean(turn**2))), 1e-4)), np.float32)


def _speech(recordings: Sequence[Example], generator: np.random.Generator, read: Reader) -> Iterator[FloatArray]:
    for number in [*generator.permutation(len(recordings)), 0]:
        sound = read(recordings[number])
        segments = speech_segments(sound, lambda: None)
        if segments:
            yield sound[round(segments[0].start * SAMPLE_RATE) : round(segments[-1].end * SAMPLE_RATE)]
