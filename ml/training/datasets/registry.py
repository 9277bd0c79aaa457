"""Known data sets, by name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from ml.errors import InvalidManifest
from ml.training.datasets.audio_corpora import read_voices
from ml.training.datasets.ck_plus import read_ck_plus
from ml.training.datasets.crema_d import read_crema_d
from ml.training.datasets.emobank import read_emobank
from ml.training.datasets.example import Record
from ml.training.datasets.face_corpora import read_faces
from ml.training.datasets.fer2013 import read_fer2013, read_fer_plus, unpack_fer2013, unpack_fer_plus
from ml.training.datasets.generic import read_generic
from ml.training.datasets.goemotions import read_goemotions
from ml.training.datasets.human_ratings import read_ratings
from ml.training.datasets.meld import read_meld, read_meld_clips
from ml.training.datasets.multilingual_sentences import read_brighter, read_xed_projections
from ml.training.datasets.omg import read_omg
from ml.training.datasets.raf_db import read_raf_db
from ml.training.datasets.ravdess import read_ravdess
from ml.training.datasets.savee import read_savee
from ml.training.datasets.tess import read_tess
from ml.training.datasets.text_corpora import read_isear, read_semeval, read_sst, read_xed

Content = Literal["faces", "voices", "videos", "sentences", "any"]


@dataclass(frozen=True)
class DataSet:
    """Published data set and its reader.

    `unpack(root, folder)` writes a data set that is published as a table to picture files, and returns the folder to
    read.
    """

    name: str
    content: Content
    terms: str
    read: Callable[[Path], Iterator[Record]]
    unpack: Callable[[Path, Path], Path] | None = None


_ALL = (
    DataSet("ravdess", "voices", "CC BY-NC-SA 4.0; speech and song, sound or video", read_ravdess),
    DataSet("crema-d", "voices", "ODbL 1.0; sound or video", read_crema_d),
    DataSet("savee", "voices", "research; sound or video", read_savee),
    DataSet("tess", "voices", "CC BY-NC-ND 4.0", read_tess),
    DataSet("omg", "videos", "CC BY-NC-SA 3.0", read_omg),
    DataSet("meld", "sentences", "GPL-3.0 repository, television dialogue", read_meld),
    DataSet("meld-clips", "videos", "GPL-3.0 repository, television dialogue", read_meld_clips),
    DataSet("fer2013", "faces", "research", read_fer2013, unpack_fer2013),
    DataSet("fer-plus", "faces", "research; votes MIT", read_fer_plus, unpack_fer_plus),
    DataSet("ck-plus", "faces", "non-commercial", read_ck_plus),
    DataSet("raf-db", "faces", "non-commercial research", read_raf_db),
    DataSet("goemotions", "sentences", "Apache-2.0", read_goemotions),
    DataSet("xed", "sentences", "CC BY 4.0", read_xed),
    DataSet("semeval2018", "sentences", "research", read_semeval),
    DataSet("isear", "sentences", "CC BY-NC-SA 3.0", read_isear),
    DataSet("sst", "sentences", "research; sentiment alone", read_sst),
    DataSet("brighter", "sentences", "CC BY 4.0", read_brighter),
    DataSet("xed-projections", "sentences", "CC BY 4.0", read_xed_projections),
    DataSet("emobank", "sentences", "CC BY-SA 4.0; valence, arousal, dominance", read_emobank),
    DataSet("collected-faces", "faces", "as its sets; a manifest.csv of crops", read_faces),
    DataSet("collected-voices", "voices", "as its sets; a manifest.csv of utterances", read_voices),
    DataSet("ratings", "any", "your own; results and ratings of jobs, with their media", read_ratings),
    DataSet("generic", "any", "your own; <dataset>_<n>_<emotion>.<ext>", read_generic),
)
DATA_SETS = {known.name: known for known in _ALL}


def find(name: str) -> DataSet:
    """Return the data set. Raises InvalidManifest if the name is unknown."""
    if name not in DATA_SETS:
        raise InvalidManifest(f"there is no data set {name!r}: {', '.join(DATA_SETS)}")
    return DATA_SETS[name]


def read(name: str, root: Path, folder: Path) -> Iterator[Record]:
    """Yield the examples and skipped records of a data set at `root`. Pictures of a table are written to `folder`.

    Raises InvalidManifest if `root` does not have the published layout.
    """
    data_set = find(name)
    if not root.is_dir():
        raise InvalidManifest(f"{root} is not a folder")
    yield from data_set.read(data_set.unpack(root, folder) if data_set.unpack else root)


def temporary_folder() -> TemporaryDirectory[str]:
    """Return a temporary folder for pictures that are only inspected."""
    return TemporaryDirectory(prefix="affect-datasets-")
