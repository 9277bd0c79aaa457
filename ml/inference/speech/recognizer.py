"""Interface of a speech recognizer: short sounds → words with times and the recognizer's own doubts."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from ml.inference.api import FloatArray


@dataclass(frozen=True)
class RecognizedWord:
    """Word of a sound, in seconds from its start. `text` includes the space before the word."""

    start: float
    end: float
    text: str
    probability: float


@dataclass(frozen=True)
class RecognizedClip:
    """Words of one sound, with the decoder's own doubts.

    `log_probability`: mean per token; `no_speech`: probability that there is no speech; `compression`: how many times
    smaller zlib makes the text, which is high for repetition.
    """

    words: tuple[RecognizedWord, ...] = ()
    log_probability: float = 0.0
    no_speech: float = 0.0
    compression: float = 0.0


class SpeechRecognizer(ABC):
    """Loaded model that recognizes speech. Sounds are float32 [samples], 16 kHz mono, of at most 30 s."""

    @property
    @abstractmethod
    def languages(self) -> tuple[str, ...]:
        """ISO 639 codes of the languages that the model was trained on."""

    @property
    @abstractmethod
    def detectable_languages(self) -> frozenset[str]:
        """Those of `languages` that the model understands well enough to be believed when it names one of them."""

    @abstractmethod
    def detect_languages(self, sounds: Sequence[FloatArray]) -> list[dict[str, float]]:
        """Return for each sound the probability of each language; for multilingual models."""

    @abstractmethod
    def recognize(self, sounds: Sequence[FloatArray], language: str) -> list[RecognizedClip]:
        """Return the words of each sound."""
