"""Labels of data sets, by name or number."""

from ml.vocabulary import EMOTION_SYNONYMS, EMOTIONS, Emotion


def emotion_named(name: str) -> Emotion | None:
    """Return the emotion with this name, or with this number among the seven; None if there is no such emotion."""
    key = name.strip().casefold()
    if key.isdecimal():
        return EMOTIONS[int(key)] if int(key) < len(EMOTIONS) else None
    return EMOTION_SYNONYMS.get(key)
