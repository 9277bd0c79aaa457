"""Contact sheet of a data set: faces or spectrograms by label."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.errors import AffectError, InvalidManifest
from ml.training.datasets.example import Example
from ml.training.datasets.generic import PICTURES
from ml.training.datasets.media import read_frame, read_picture, read_waveform
from ml.vocabulary import EMOTIONS

TILE_SIDE = 96
"""Side of a tile in pixels."""
Tile = NDArray[np.uint8]


def write_sheet(path: Path, examples: Sequence[Example], columns: int = 10) -> int:
    """Write an image with a row of `columns` examples per emotion. Return the number of examples shown.

    Files that cannot be read are left out. Raises InvalidManifest if nothing can be shown: sentences have no sheet.
    """
    from matplotlib.figure import Figure

    rows = {label: _tiles(examples, label, columns) for label in EMOTIONS}
    shown = sum(map(len, rows.values()))
    if not shown:
        raise InvalidManifest("this data set has no picture or sound to show")
    figure = Figure(figsize=(columns, len(EMOTIONS) * 1.05), layout="compressed")
    for place, (label, tiles) in enumerate(rows.items()):
        for column in range(columns):
            axes = figure.add_subplot(len(EMOTIONS), columns, place * columns + column + 1)
            axes.set(xticks=[], yticks=[])
            if column == 0:
                axes.set_ylabel(label)
            if column < len(tiles):
                axes.imshow(tiles[column], cmap="gray")
            else:
                axes.axis("off") if column else axes.set_frame_on(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=TILE_SIDE)
    return shown


def _tiles(examples: Sequence[Example], label: str, count: int) -> list[Tile]:
    """Return examples of the label, evenly spread over all of them."""
    chosen = [example for example in examples if example.label == label and example.path]
    spread = chosen[:: max(1, len(chosen) // count)]
    return list(islice(_readable(spread), count))


def _readable(examples: Iterable[Example]) -> Iterable[Tile]:
    for example in examples:
        try:
            yield _tile(example)
        except AffectError:
            continue


def _tile(example: Example) -> Tile:
    assert example.path
    if example.path.suffix.lower() in PICTURES:
        picture = read_picture(example.path)
        return np.asarray(cv2.resize(picture, (TILE_SIDE, TILE_SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    frame = read_frame(example)
    return _spectrogram(example) if frame is None else frame


def _spectrogram(example: Example) -> Tile:
    import torch

    from ml.networks.mel import log_mel

    mels = log_mel([torch.from_numpy(read_waveform(example))])
    map_MT = mels.maps_NMT[0][:, mels.mask_NT[0]].numpy()[::-1]
    spread = (map_MT - map_MT.min()) / max(float(np.ptp(map_MT)), 1e-6) * 255
    return np.asarray(spread, np.uint8)
