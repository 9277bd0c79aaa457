"""Texts as jobs. Affect reads words over time, so a text becomes silence with a transcript, one window a sentence."""

import io
import re
import wave
from collections.abc import Iterator
from typing import NamedTuple

from app.errors import ValidationFailed

SECONDS_PER_SENTENCE = 1
"""Window of one sentence, in seconds."""
SAMPLE_RATE = 8000
"""Samples a second of the silence, each of one byte."""
_SENTENCE = re.compile(r"\S.*?(?:[.!?…]+[\"'”’)\]]*(?=\s|$)|[。？！]+[」』”）]*|$)", re.MULTILINE)
MAX_SENTENCES = 2000
"""Maximum number of sentences of a text: half an hour of silence."""


class Sentence(NamedTuple):
    """A sentence, and its characters [begin, end) in the text."""

    text: str
    begin: int
    end: int


def sentences_of(text: str) -> list[Sentence]:
    """Return the sentences of a text: they end at full stops and at the ends of lines."""
    found = ((match[0].rstrip(), match.start()) for match in _SENTENCE.finditer(text))
    return [Sentence(sentence, begin, begin + len(sentence)) for sentence, begin in found]


def text_options(language: str | None) -> dict[str, object]:
    """Return the options with which a text is read."""
    return {
        "modalities": ("text",),
        "window_seconds": SECONDS_PER_SENTENCE,
        "hop_seconds": SECONDS_PER_SENTENCE,
        "language": language,
        "people": False,
        "bursts": False,
    }


def text_media(text: str) -> tuple[bytes, str]:
    """Return a silent recording and its transcript (WebVTT), in which sentence k takes the window k.

    Raises ValidationFailed if the text has no words or too many sentences.
    """
    sentences = sentences_of(text)
    if len(sentences) > MAX_SENTENCES:
        raise ValidationFailed(f"A text has more than {MAX_SENTENCES} sentences.")
    if not any(map(str.isalnum, text)):
        raise ValidationFailed("A text has no words.")
    return _silence(len(sentences) * SECONDS_PER_SENTENCE), "\n".join(_captions(sentences))


def _captions(sentences: list[Sentence]) -> Iterator[str]:
    yield "WEBVTT\n"
    for number, sentence in enumerate(sentences):
        start, end = number * SECONDS_PER_SENTENCE, (number + 1) * SECONDS_PER_SENTENCE
        words = " ".join(sentence.text.split())
        yield f"{_stamp(start)} --> {_stamp(end)}\n{_escaped(words)}\n"


def _escaped(words: str) -> str:
    """Return the words as text of a cue, which could be taken for markup otherwise."""
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _stamp(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.000"


def _silence(seconds: int) -> bytes:
    """Return a WAV file without sound."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 1, SAMPLE_RATE, 0, "NONE", ""))
        writer.writeframes(b"\x80" * (seconds * SAMPLE_RATE))
    return file.getvalue()
