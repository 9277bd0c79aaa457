"""What published data sets call the seven emotions."""

from ml.vocabulary import EMOTIONS, Emotion

EMOTION_OF: dict[str, Emotion] = {
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
"""By a name, in lower case."""


def emotion_named(name: str) -> Emotion | None:
    """An emotion by one of its names, or by its place among the seven; null when it is none."""
    told = name.strip().casefold()
    if told.isdecimal():
        return EMOTIONS[int(told)] if int(told) < len(EMOTIONS) else None
    return EMOTION_OF.get(told)
