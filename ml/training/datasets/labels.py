"""Labels of data sets, by name or number."""

from ml.vocabulary import EMOTION_SYNONYMS, EMOTIONS, Emotion


def emotion_named(name: str) -> Emotion | None:
    """An emotion by one of its names, or by its place among the seven; null when it is none."""
    told = name.strip().casefold()
    if told.isdecimal():
        return EMOTIONS[int(told)] if int(told) < len(EMOTIONS) else None
    return EMOTION_SYNONYMS.get(told)
