"""Vocabulary shared by all packages: emotions, modalities, stages, and their names for display."""

from collections.abc import Mapping
from typing import Literal, get_args

Emotion = Literal["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
EMOTIONS: tuple[Emotion, ...] = get_args(Emotion)

EMOTION_SYNONYMS: dict[str, Emotion] = {
    **{name: name for name in EMOTIONS},
    "anger": "angry",
    "fearful": "fear",
    "afraid": "fear",
    "joy": "happy",
    "love": "happy",
    "happiness": "happy",
    "sadness": "sad",
    "surprised": "surprise",
    "disgusted": "disgust",
    "calm": "neutral",
}
"""Emotion by the names, in lower case, that published data sets and models give it."""

SimplifiedEmotion = Literal["sad_fear", "neutral", "happy", "angry", "surprise_disgust"]
SIMPLIFIED_EMOTIONS: tuple[SimplifiedEmotion, ...] = get_args(SimplifiedEmotion)
SIMPLIFIED_FROM: dict[SimplifiedEmotion, tuple[Emotion, ...]] = {
    "sad_fear": ("sad", "fear"),
    "neutral": ("neutral",),
    "happy": ("happy",),
    "angry": ("angry",),
    "surprise_disgust": ("surprise", "disgust"),
}

Sentiment = Literal["negative", "neutral", "positive"]
SENTIMENTS: tuple[Sentiment, ...] = get_args(Sentiment)

Burst = Literal["laugh", "cry", "sigh", "scream", "gasp", "groan", "cough", "sneeze", "sniff"]
BURSTS: tuple[Burst, ...] = get_args(Burst)

Modality = Literal["face", "audio", "text"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)

COMBINED = "Combined"
"""Display name of the reading that combines the modalities, in reports, pictures and on the page."""
MODALITY_NAMES: Mapping[Modality, str] = {"face": "Face", "audio": "Voice", "text": "Words"}
"""Display names of the modalities, in reports, pictures and on the page."""
NO_SIGNAL = "no signal"
"""Displayed in place of an emotion if there was nothing to read."""


def channel_name(channel: int) -> str:
    """Return the display name of an audio channel, counted from 0 as everywhere."""
    return f"Channel {channel}"


def person_name(number: int) -> str:
    """Return the display name of a person without a name, counted from 1."""
    return f"Person {number}"


Stage = Literal["fetch", "probe", "decode", "segment", "faces", "audio", "transcribe", "text", "fuse", "write"]
STAGES: tuple[Stage, ...] = get_args(Stage)

MediaKind = Literal["image", "audio", "video"]
ClassSet = Literal["full", "simplified"]


def labels_for(classes: ClassSet) -> tuple[str, ...]:
    """Return the emotions of a set of classes, in their order."""
    return EMOTIONS if classes == "full" else SIMPLIFIED_EMOTIONS


def simplify(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Sum the seven probabilities into the five simplified classes."""
    return {name: sum(probabilities[part] for part in parts) for name, parts in SIMPLIFIED_FROM.items()}
