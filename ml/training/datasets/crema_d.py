"""CREMA-D (Cao et al. 2014): 91 actors speak twelve sentences; ODbL. `AudioWAV/*.wav`, `VideoFlash/*.flv`, and
`VideoDemographics.csv`."""

from collections.abc import Iterator
from pathlib import Path

from ml.training.datasets.example import Example, Record, SkippedRecord
from ml.training.datasets.splits import files_below, split_by
from ml.training.datasets.tables import table
from ml.vocabulary import Emotion

_EMOTION: dict[str, Emotion] = {
    "ANG": "angry",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}


def read_crema_d(root: Path) -> Iterator[Record]:
    """Read files named ACTOR_SENTENCE_EMOTION_LEVEL; split by actor. A take with sound and video files yields both."""
    people = table(root / "VideoDemographics.csv", "ActorID", "Sex")
    genders = {person["ActorID"]: person["Sex"].lower() or None for person in people}
    for path in files_below(root, ".wav", ".flv", ".mp4"):
        fields = path.stem.split("_")
        if len(fields) != 4:
            yield SkippedRecord(path.name, "name of another form")
        elif fields[2] not in _EMOTION:
            yield SkippedRecord(path.name, "unknown label")
        else:
            speaker = f"crema-d/{fields[0]}"
            yield Example(
                label=_EMOTION[fields[2]],
                dataset="crema-d",
                split=split_by(speaker),
                path=path,
                speaker=speaker,
                gender=genders.get(fields[0]),
                language="en",
            )
