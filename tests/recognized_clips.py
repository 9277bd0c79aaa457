"""Answers of a recognizer, as a test words them."""

import math

from ml.inference.speech.recognizer import RecognizedClip, RecognizedWord


def heard(text: str, probability: float = 0.95, seconds: float = 0.6, **doubts: float) -> RecognizedClip:
    """Return words of that length, one after the other; six of them are the speech of a chunk of 3.6 s."""
    words = tuple(
        RecognizedWord(0.4 + index * seconds, 0.4 + (index + 1) * seconds, " " + word, probability)
        for index, word in enumerate(text.split())
    )
    return RecognizedClip(
        words, **{"log_probability": math.log(probability), "no_speech": 0.05, "compression": 1.2, **doubts}
    )
