"""Whisper through faster-whisper: bounded, repeatable decoding of short sounds, each in the language that is asked."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

import ctranslate2
import numpy as np
import torch
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_compression_ratio, get_suppressed_tokens

from ml.cpu import cpu_count
from ml.errors import ModelStoreError
from ml.inference.api import FloatArray
from ml.inference.speech.recognizer import RecognizedClip, RecognizedWord, SpeechRecognizer
from ml.inference.speech.whisper_files import find_whisper
from ml.media import SAMPLE_RATE
from ml.memory import trim_heap

MAX_CLIP_SECONDS = 30
"""Seconds of sound that Whisper hears at once."""
CONTEXT_SECONDS = (17, MAX_CLIP_SECONDS)
DETECTION_CONTEXT_SECONDS = (10, 17, MAX_CLIP_SECONDS)
"""Seconds of sound and silence that the encoder is given on a CPU, to recognize words and to detect the language. 17 s
cost less than a third of the 30 s of its training, 10 s a ninth. In 17 s as many words are right; in 10 s the decoder
says one in ten short sentences twice."""
MIN_SILENCE_SECONDS = 1.0
BATCH_SIZE = 8
"""Maximum number of sounds that are decoded together."""
BEAM_SIZE = 5
TOKENS_PER_SECOND = 14
MIN_TOKENS = 16
"""Maximum tokens of a sound: TOKENS_PER_SECOND for its length and MIN_TOKENS on top. That is twice the densest speech,
so that a decoder that has lost its way in a short sound stops soon; for 30 s it is below the decoder's 448 tokens."""
PREPENDED_PUNCTUATION = "\"'“¿([{-"
APPENDED_PUNCTUATION = "\"'.。,，!！?？:：”)]}、"
"""Marks that belong to the word after or before them, as in OpenAI's code."""

SMALL_MODELS = frozenset({"tiny", "base", "small"})
WELL_TRAINED_LANGUAGES = frozenset(
    {"ar", "ca", "cs", "da", "de", "el", "en", "es", "fi", "fr", "he", "hu", "id", "it", "ja", "ko", "ms", "nl", "no"}
    | {"pl", "pt", "ro", "ru", "sv", "th", "tr", "uk", "vi", "zh"}
)
"""Languages of which the models have heard at least 190 hours (Radford et al. 2022, appendix E). The small ones take
speech in others for one of a related language, and write down what was not said."""

_ISO_CODES = {"jw": "jv"}
_WHISPER_CODES = {iso: code for code, iso in _ISO_CODES.items()}


class Whisper(SpeechRecognizer):
    """Loaded Whisper model. Temperature 0 and no previous text: the same sounds give the same words at any time."""

    def __init__(self, model: WhisperModel, name: str, *, full_context: bool = False) -> None:
        """`full_context`: always give the encoder 30 s, which costs a GPU no more."""
        self._model = model
        self._name = name
        self._full_context = full_context
        self._tokenizer = cache(self._new_tokenizer)

    @classmethod
    def load(cls, name: str, store_root: Path, device: torch.device, threads: int = 0) -> Self | None:
        """Return the model, or None if there is no such model. Never uses the network.

        `threads`: CPU threads; 0 takes all that the process may use. Raises ModelStoreError if the model is damaged.
        """
        files = find_whisper(name, store_root)
        if files is None:
            return None
        try:
            with files.as_folder() as folder:
                model = WhisperModel(
                    str(folder),
                    device=device.type,
                    device_index=device.index or 0,
                    compute_type=_compute_type(device.type),
                    cpu_threads=threads or cpu_count(),
                    local_files_only=True,
                )
            trim_heap()
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelStoreError(f"the Whisper model {name} cannot be loaded") from error
        return cls(model, name, full_context=device.type != "cpu")

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(_ISO_CODES.get(code, code) for code in self._model.supported_languages)

    @property
    def detectable_languages(self) -> frozenset[str]:
        known = frozenset(self.languages)
        return known & WELL_TRAINED_LANGUAGES if self._name in SMALL_MODELS else known

    def detect_languages(self, sounds: Sequence[FloatArray]) -> list[dict[str, float]]:
        found: list[dict[str, float]] = [{} for _ in sounds]
        for rows, features in self._batches(sounds, DETECTION_CONTEXT_SECONDS):
            rankings = self._model.model.detect_language(self._model.encode(features))
            for row, ranking in zip(rows, rankings, strict=True):
                codes = [(token.strip("<|>"), float(probability)) for token, probability in ranking]
                found[row] = {_ISO_CODES.get(code, code): probability for code, probability in codes}
        return found

    def recognize(self, sounds: Sequence[FloatArray], language: str) -> list[RecognizedClip]:
        clips = [RecognizedClip() for _ in sounds]
        tokenizer = self._tokenizer(_WHISPER_CODES.get(language, language))
        for rows, features in self._batches(sounds, CONTEXT_SECONDS):
            seconds = [len(sounds[row]) / SAMPLE_RATE for row in rows]
            for row, clip in zip(rows, self._decode(features, seconds, tokenizer), strict=True):
                clips[row] = clip
        return clips

    def _batches(self, sounds: Sequence[FloatArray], contexts: Sequence[int]) -> Iterator[tuple[list[int], FloatArray]]:
        """Yield the sounds of one context together: their indices, and their log-mel maps [sounds, bands, frames].

        A sound has the shortest of `contexts` (in order) that leaves MIN_SILENCE_SECONDS after it. That depends on its
        length alone, and so do its words.
        """
        if self._full_context:
            contexts = (MAX_CLIP_SECONDS,)
        by_context: dict[int, list[int]] = {}
        for index, sound in enumerate(sounds):
            needed = len(sound) / SAMPLE_RATE + MIN_SILENCE_SECONDS
            context = next((seconds for seconds in contexts if needed <= seconds), contexts[-1])
            by_context.setdefault(context, []).append(index)
        for context, indices in sorted(by_context.items()):
            for first in range(0, len(indices), BATCH_SIZE):
                rows = indices[first : first + BATCH_SIZE]
                yield rows, np.stack([self._log_mel(sounds[row], context) for row in rows])

    def _log_mel(self, sound: FloatArray, context: int) -> FloatArray:
        padded = np.zeros(context * SAMPLE_RATE, np.float32)
        padded[: len(sound)] = sound
        frames: FloatArray = self._model.feature_extractor(padded)[:, : context * self._model.frames_per_second]
        return frames

    def _decode(self, features: FloatArray, seconds: Sequence[float], tokenizer: Tokenizer) -> list[RecognizedClip]:
        """Return the words of a batch. `seconds`: length of each sound."""
        encoded = self._model.encode(features)
        prompt = self._model.get_prompt(tokenizer, [], without_timestamps=True)
        results = self._model.model.generate(
            encoded,
            [prompt] * len(seconds),
            beam_size=BEAM_SIZE,
            max_length=len(prompt) + int(max(seconds) * TOKENS_PER_SECOND) + MIN_TOKENS,
            suppress_tokens=get_suppressed_tokens(tokenizer, [-1]),
            return_scores=True,
            return_no_speech_prob=True,
        )
        # Each sound has a slot of 30 s of its own: what is known of one's pauses is not applied to the next.
        segments = [
            {
                "tokens": result.sequences_ids[0],
                "text": tokenizer.decode(result.sequences_ids[0]),
                "start": index * MAX_CLIP_SECONDS,
                "end": index * MAX_CLIP_SECONDS + length,
                "seek": index * MAX_CLIP_SECONDS * self._model.frames_per_second,
            }
            for index, (result, length) in enumerate(zip(results, seconds, strict=True))
        ]
        frames = [int(np.ceil(length) * self._model.frames_per_second) for length in seconds]
        self._model.add_word_timestamps(
            [[segment] for segment in segments],
            tokenizer,
            encoded,
            [min(count, features.shape[-1]) for count in frames],
            PREPENDED_PUNCTUATION,
            APPENDED_PUNCTUATION,
            0.0,
        )
        return [
            _clip(result, segment, index * MAX_CLIP_SECONDS)
            for index, (result, segment) in enumerate(zip(results, segments, strict=True))
        ]

    def _new_tokenizer(self, language: str) -> Tokenizer:
        return Tokenizer(
            self._model.hf_tokenizer, self._model.model.is_multilingual, task="transcribe", language=language
        )


def _clip(result: Any, segment: dict[str, Any], offset: float) -> RecognizedClip:
    """Return the words of a result of CTranslate2. `segment`: with its text, and the words, `offset` seconds late."""
    count = len(result.sequences_ids[0])
    words = tuple(
        RecognizedWord(
            float(word["start"]) - offset, float(word["end"]) - offset, word["word"], float(word["probability"])
        )
        for word in segment.get("words") or ()
    )
    compression = get_compression_ratio(segment["text"]) if segment["text"] else 0.0
    return RecognizedClip(words, result.scores[0] * count / (count + 1), result.no_speech_prob, compression)


def _compute_type(device: str) -> str:
    """Return the fastest type as measured: int8 on a CPU (a fifth less time than float32, no more wrong words), half
    precision on a GPU that has it."""
    if device == "cpu":
        return "int8"
    return "float16" if "float16" in ctranslate2.get_supported_compute_types(device) else "default"
