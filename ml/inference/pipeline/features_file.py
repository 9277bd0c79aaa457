"""What is known of a recording before anything is decided about the whole: the survey, and what the models observed.

A part of a long recording, observed by one worker, is an `Observation`; joined with the others it is that of the whole.
With the survey it is written as one safetensors file that says what it is: arrays, and JSON beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ml.errors import AffectError
from ml.inference.api import TimeSpan
from ml.inference.face.observations import FaceObservations
from ml.inference.pipeline.partition import CHUNK_SECONDS, parts_over
from ml.inference.speech.transcriber import Sentence
from ml.inference.voice.segments import SegmentOutputs
from ml.media import DecodedExtent, MediaInfo
from ml.registry import Bundle

FORMAT = "affect-evidence"
VERSION = "1"


class EvidenceUnreadable(AffectError):
    """A file that holds no evidence, or that of another version."""


@dataclass(frozen=True)
class Sampling:
    """How the picture was looked at: frames a second, most faces of a frame, whether meshes are kept."""

    frame_rate: float
    max_faces: int
    landmarks: bool

    def covers(self, other: Self) -> bool:
        """Whether what `other` would see is part of what this one saw."""
        whole = float(self.frame_rate / other.frame_rate).is_integer()
        return whole and self.max_faces >= other.max_faces and (self.landmarks or not other.landmarks)


@dataclass(frozen=True)
class SurveyedSound:
    """The mix of a recording, or one channel: its samples, where its speech lies, and the language that is taken for
    spoken (null where its words are not recognised)."""

    samples: int
    speech: tuple[TimeSpan, ...]
    language: str | None = None


@dataclass(frozen=True)
class Survey:
    """What is settled once for all parts. `reach`: of the sound; `sampling`: null where no faces are looked for;
    `sounds`: the mix, then the channels that are read separately; `asked`: how many of them were wanted, though some
    may not be there."""

    info: MediaInfo
    bundle: Bundle
    sampling: Sampling | None
    reach: DecodedExtent
    sounds: tuple[SurveyedSound, ...]
    asked: int = 0
    part_seconds: float = CHUNK_SECONDS

    def in_parts_of(self, seconds: float) -> "Survey":
        return replace(self, part_seconds=seconds)

    @property
    def parts(self) -> tuple[TimeSpan, ...]:
        return parts_over(self.expected, self.part_seconds)

    def json(self) -> bytes:
        """As `read_survey` takes it."""
        return _SURVEY.dump_json(self)

    @property
    def expected(self) -> float:
        """Seconds that the media will last, as far as is known now."""
        return max(self.info.duration or 0.0, self.reach.sound)


@dataclass(frozen=True)
class Heard:
    """What the models heard in one sound: tones of voice and, unless nobody asked, all sentences."""

    tones: SegmentOutputs
    sentences: tuple[Sentence, ...] | None = None


@dataclass(frozen=True)
class Observation:
    """What the models saw and heard in a part, or in the whole. `reach`: of the picture; `heard`: one for each sound of
    the survey."""

    sight: FaceObservations
    reach: DecodedExtent
    heard: tuple[Heard, ...]

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Of parts in the order of time."""
        reach = parts[0].reach
        for part in parts[1:]:
            reach |= part.reach
        return cls(
            sight=FaceObservations.concatenated([part.sight for part in parts]),
            reach=reach,
            heard=tuple(_joined(sounds) for sounds in zip(*(part.heard for part in parts), strict=True)),
        )


def _joined(parts: Sequence[Heard]) -> Heard:
    told = [part.sentences for part in parts if part.sentences is not None]
    sentences = tuple(sentence for each in told for sentence in each) if told else None
    return Heard(SegmentOutputs.concatenated([part.tones for part in parts]), sentences)


@dataclass(frozen=True)
class _Said:
    """The JSON of an observation; `arrays` lie beside it."""

    reach: DecodedExtent
    sentences: tuple[tuple[Sentence, ...] | None, ...]


_SURVEY = TypeAdapter(Survey)
_SAID = TypeAdapter(_Said)


def read_survey(text: bytes) -> Survey:
    """Raises EvidenceUnreadable."""
    try:
        return _SURVEY.validate_json(text)
    except ValidationError as error:
        raise EvidenceUnreadable("The survey cannot be read.") from error


def write(path: Path, survey: Survey, observation: Observation) -> None:
    said = _Said(observation.reach, tuple(heard.sentences for heard in observation.heard))
    about = {
        "format": FORMAT,
        "version": VERSION,
        "bundle": survey.bundle.digest,
        "survey": survey.json().decode(),
        "observation": _SAID.dump_json(said).decode(),
    }
    arrays = {f"sight.{name}": array for name, array in _arrays(observation.sight).items()}
    for number, heard in enumerate(observation.heard):
        arrays |= {f"tones.{number}.{name}": array for name, array in _arrays(heard.tones).items()}
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path, about)


def read(path: Path) -> tuple[Survey, Observation]:
    """Raises EvidenceUnreadable."""
    try:
        with safe_open(path, "np") as file:
            about = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if (about.get("format"), about.get("version")) != (FORMAT, VERSION):
            raise EvidenceUnreadable("The file holds no evidence of this version.")
        survey, said = read_survey(about["survey"].encode()), _SAID.validate_json(about["observation"])
        sight = FaceObservations(**_under("sight.", arrays))
        heard = tuple(
            Heard(SegmentOutputs(**_under(f"tones.{number}.", arrays)), sentences)
            for number, sentences in enumerate(said.sentences)
        )
    except (SafetensorError, ValidationError, LookupError, TypeError) as error:
        raise EvidenceUnreadable("The evidence is damaged.") from error
    return survey, Observation(sight, said.reach, heard)


def _arrays(holder: FaceObservations | SegmentOutputs) -> dict[str, NDArray[Any]]:
    named = {each.name: getattr(holder, each.name) for each in fields(holder)}
    return {name: array for name, array in named.items() if array is not None}


def _under(prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
