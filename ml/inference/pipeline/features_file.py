"""Features file: the plan of a recording and the features of it, or of one part, as one safetensors file.

Arrays are tensors, all else is JSON in the metadata. The names in the file are older than those of the classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ml.inference.face.observations import FaceObservations
from ml.inference.people.speech_pieces import SpeechPieces
from ml.inference.pipeline.features import AudioFeatures, Features, FeaturesUnreadable
from ml.inference.pipeline.plan import CachedAnalysis, RecordingPlan
from ml.inference.speech.sentences import Sentence
from ml.inference.voice.bursts import BurstOutputs
from ml.inference.voice.segments import SegmentOutputs
from ml.media import DecodedExtent

FORMAT = "affect-evidence"
VERSION = "1"
PEOPLE_VERSION = "1"
"""Version of what people are found by. Features of another one are found again, without decoding."""

FACE_ARRAYS = {
    "times_F": "times_F",
    "starts_G": "starts_G",
    "boxes_N4": "boxes_N4",
    "scores_N": "scores_N",
    "ranks_N": "ranks_N",
    "embeddings_NE": "embeddings_NE",
    "log_probabilities_NC": "log_probabilities_NC",
    "landmarks_NP3": "landmarks_NP3",
    "qualities_NQ": "qualities_NQ",
    "missed_F": "missed_F",
    "movements_NV": "movements_NV",
    "signatures_FS": "signatures_FS",
    "is_identified_N": "is_identified_N",
    "identities_IE": "identities_IE",
}
VOICE_ARRAYS = {
    "pieces_P2": "pieces_P2",
    "embeddings_PE": "embeddings_PE",
    "log_probabilities_PC": "log_probabilities_PC",
    "qualities_PQ": "qualities_PQ",
}
PIECE_ARRAYS = {
    "spans_Q2": "spans_Q2",
    "embeddings_QE": "embeddings_QE",
    "weights_Q": "weights_Q",
    "locals_Q": "locals_Q",
}
BURST_ARRAYS = {"steps_S": "steps_S", "probabilities_SB": "probabilities_SB"}
"""Fields of FaceObservations, SegmentOutputs, SpeechPieces and BurstOutputs, by the name of their tensor."""


@dataclass(frozen=True)
class _Observation:
    """JSON of the features that are not arrays."""

    reach: DecodedExtent
    sentences: tuple[tuple[Sentence, ...] | None, ...]


_OBSERVATION = TypeAdapter(_Observation)


def save(path: Path, recording: RecordingPlan, features: Features) -> None:
    observation = _Observation(features.video_extent, tuple(audio.sentences for audio in features.audio))
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "people_version": PEOPLE_VERSION,
        "bundle": recording.bundle.digest,
        "survey": recording.to_json().decode(),
        "observation": _OBSERVATION.dump_json(observation).decode(),
    }
    arrays = _arrays("sight", features.faces, FACE_ARRAYS)
    for number, audio in enumerate(features.audio):
        arrays |= _arrays(f"tones.{number}", audio.voice, VOICE_ARRAYS)
        if audio.pieces is not None:
            arrays |= _arrays(f"people.{number}", audio.pieces, PIECE_ARRAYS)
        if audio.bursts is not None:
            arrays |= _arrays(f"bursts.{number}", audio.bursts, BURST_ARRAYS)
    save_file(arrays, path, metadata)


def load(path: Path) -> CachedAnalysis:
    """Raises FeaturesUnreadable if the file is damaged or of another version."""
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
            raise FeaturesUnreadable("The file holds no features of this version.")
        recording = RecordingPlan.from_json(metadata["survey"])
        observation = _OBSERVATION.validate_json(metadata["observation"])
        faces = FaceObservations(**_fields("sight", arrays, FACE_ARRAYS))
        if metadata.get("people_version") != PEOPLE_VERSION:
            arrays = {name: array for name, array in arrays.items() if not name.startswith("people.")}
        audio = tuple(
            AudioFeatures(
                SegmentOutputs(**_fields(f"tones.{number}", arrays, VOICE_ARRAYS)),
                sentences,
                _pieces(number, arrays),
                _bursts(number, arrays),
            )
            for number, sentences in enumerate(observation.sentences)
        )
    except (SafetensorError, ValidationError, LookupError, TypeError) as error:
        raise FeaturesUnreadable("The features file is damaged.") from error
    return CachedAnalysis(recording, Features(faces, observation.reach, audio))


def _pieces(sound: int, arrays: Mapping[str, NDArray[Any]]) -> SpeechPieces | None:
    found = _fields(f"people.{sound}", arrays, PIECE_ARRAYS)
    return SpeechPieces(**found) if found else None


def _bursts(sound: int, arrays: Mapping[str, NDArray[Any]]) -> BurstOutputs | None:
    found = _fields(f"bursts.{sound}", arrays, BURST_ARRAYS)
    return BurstOutputs(**found) if found else None


def load_parts(paths: Sequence[Path]) -> Features:
    """Return the features of a recording from the files of its parts, in their order. Raises FeaturesUnreadable."""
    return Features.concatenated([load(path).features for path in paths])


def _arrays(prefix: str, holder: object, names: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    arrays = {f"{prefix}.{name}": getattr(holder, field) for name, field in names.items()}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}


def _fields(prefix: str, arrays: Mapping[str, NDArray[Any]], names: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    return {field: arrays[key] for name, field in names.items() if (key := f"{prefix}.{name}") in arrays}
