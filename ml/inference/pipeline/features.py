"""Features that the models extract from a media file, or from a part of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Self

from ml.errors import AffectError
from ml.inference.face.observations import FaceObservations
from ml.inference.people.speech_pieces import SpeechPieces
from ml.inference.speech.sentences import Sentence
from ml.inference.voice.bursts import BurstOutputs
from ml.inference.voice.segments import SegmentOutputs
from ml.media import DecodedExtent


class FeaturesUnreadable(AffectError):
    """A stored plan or features file is damaged or of another version."""


@dataclass(frozen=True)
class AudioFeatures:
    """Features of one sound: the voice in segments of it, all recognized sentences, including doubtful ones, and the
    pieces of speech by which speakers are distinguished, and the vocal bursts.

    `sentences` is null if recognition was not requested, `pieces` if speakers were not, `bursts` if those were not.
    """

    voice: SegmentOutputs
    sentences: tuple[Sentence, ...] | None = None
    pieces: SpeechPieces | None = None
    bursts: BurstOutputs | None = None

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        recognized = [part.sentences for part in parts if part.sentences is not None]
        sentences = tuple(sentence for each in recognized for sentence in each) if recognized else None
        heard = [part.pieces for part in parts if part.pieces is not None]
        pieces = SpeechPieces.concatenated(heard) if len(heard) == len(parts) else None
        loud = [part.bursts for part in parts if part.bursts is not None]
        bursts = BurstOutputs.concatenated(loud) if len(loud) == len(parts) else None
        return cls(SegmentOutputs.concatenated([part.voice for part in parts]), sentences, pieces, bursts)


@dataclass(frozen=True)
class Features:
    """Features of a media file or of a part of it.

    Attributes:
        faces: faces of the sampled frames.
        video_extent: how far the video was decoded; of an image only whether it is damaged.
        audio: features of each sound of the plan, in its order.
    """

    faces: FaceObservations
    video_extent: DecodedExtent
    audio: tuple[AudioFeatures, ...] = ()

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        """Concatenate the features of consecutive parts, of which there is at least one."""
        return cls(
            faces=FaceObservations.concatenated([part.faces for part in parts]),
            video_extent=reduce(or_, (part.video_extent for part in parts)),
            audio=tuple(map(AudioFeatures.concatenated, zip(*(part.audio for part in parts), strict=True))),
        )
