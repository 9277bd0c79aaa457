"""Evaluation of the whole pipeline, as the service runs it, on recordings: labelled pieces, and shares of windows.

`python -m ml evaluate pipeline` analyses each file once. A row of the manifest is a file, or a piece of it (`start`,
`end`); its reading is the mean of the windows that it shares time with. Rows without a label are counted among the
windows only: on read speech and talking heads, most windows should be neutral.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ml.results import Options, Reading, Result, Window
from ml.training.labelled_rows import LabelledRow
from ml.training.metrics import ClassificationMetrics, measure
from ml.training.set_figures import SetFigures
from ml.vocabulary import EMOTIONS, MODALITIES

COMBINED = "combined"


class FileAnalyzer(Protocol):
    """Analysis of media files, as an `Analyzer` offers it."""

    def analyze(self, media: Path, options: Options | None = None) -> Result: ...


@dataclass(frozen=True)
class PieceReading:
    """Reading of one row: its mean probabilities [7], whether its labels hold the truth, and its windows."""

    row: LabelledRow
    probabilities_C: NDArray[np.float64]
    windows: tuple[Window, ...]


def read_piece(row: LabelledRow, result: Result) -> PieceReading | None:
    """Return the reading of a row of an analysed file; null without evidence. A photo is read as a whole."""
    end = float("inf") if row.end is None else row.end
    shared = [
        (min(window.end, end) - max(window.start, row.start), window)
        for window in result.windows
        if window.emotion is not None and window.end > row.start and window.start < end
    ]
    if not result.windows and result.overall.emotion:
        return PieceReading(row, _vector(result.overall), ())
    if not shared:
        return None
    weights, windows = zip(*shared, strict=True)
    mean_C = np.average([_vector(window) for window in windows], axis=0, weights=weights)
    return PieceReading(row, mean_C / mean_C.sum(), windows)


def _vector(reading: Reading) -> NDArray[np.float64]:
    return np.array([reading.probabilities[name] for name in EMOTIONS])


@dataclass(frozen=True)
class WindowShares:
    """Shares among windows: of each emotion by kind of reading, and of what people would not follow.

    `first_in_none`: share of windows whose emotion no modality puts first; `single_disagrees`: share of windows with
    one modality that name another emotion than it does. `uncertain`: share with more than two labels, by kind.
    """

    count: int
    emotions: dict[str, dict[str, float]]
    uncertain: dict[str, float]
    first_in_none: float
    single_disagrees: float

    @classmethod
    def of(cls, windows: Sequence[Window]) -> "WindowShares":
        named: dict[str, Counter[str]] = {}
        unsure: dict[str, list[bool]] = {}
        none, disagreeing = 0, 0
        for window in windows:
            tops = _tops(window)
            for kind, (emotion, uncertain) in {COMBINED: (window.emotion, window.uncertain), **tops}.items():
                named.setdefault(kind, Counter())[str(emotion)] += 1
                unsure.setdefault(kind, []).append(bool(uncertain))
            agrees = any(emotion == window.emotion for emotion, _ in tops.values())
            none += not agrees
            disagreeing += len(tops) == 1 and not agrees
        return cls(
            count=len(windows),
            emotions={
                kind: {emotion: counts[emotion] / counts.total() for emotion in EMOTIONS}
                for kind, counts in named.items()
            },
            uncertain={kind: sum(flags) / len(flags) for kind, flags in unsure.items()},
            first_in_none=none / max(len(windows), 1),
            single_disagrees=disagreeing / max(len(windows), 1),
        )


def _tops(window: Window) -> dict[str, tuple[str, bool | None]]:
    """Return emotion and uncertainty of each modality that the window has."""
    readings = {name: getattr(window.modalities, name) for name in MODALITIES}
    return {
        name: (max(reading.probabilities, key=reading.probabilities.__getitem__), reading.uncertain)
        for name, reading in readings.items()
        if reading is not None
    }


@dataclass(frozen=True)
class PipelineReport:
    """Figures of labelled rows and of their `labels_90`, null without any, and shares of the windows of all rows and of
    each source."""

    metrics: ClassificationMetrics | None
    windows: WindowShares
    sets: SetFigures | None = None
    sources: dict[str, WindowShares] = field(default_factory=dict)
    skipped: int = 0

    @classmethod
    def of(cls, pieces: Sequence[PieceReading], skipped: int, threshold: float | None = None) -> "PipelineReport":
        """Return the report of pieces. `threshold`: of `labels_90` of combined readings, null if they have none."""
        labelled = [piece for piece in pieces if piece.row.index >= 0]
        metrics, sets = None, None
        if labelled:
            probabilities_NC = np.stack([piece.probabilities_C for piece in labelled])
            targets_N = np.array([piece.row.index for piece in labelled])
            metrics = measure(probabilities_NC, targets_N, EMOTIONS, skipped=skipped)
            sets = None if threshold is None else SetFigures.of(probabilities_NC, targets_N, threshold)
        names = sorted({piece.row.corpus for piece in pieces} - {""})
        sources = {name: _shares([piece for piece in pieces if piece.row.corpus == name]) for name in names}
        return cls(metrics, _shares(pieces), sets, sources, skipped)

    def json(self) -> dict[str, Any]:
        measured = self.metrics.json() if self.metrics else {"n": 0, "skipped": self.skipped}
        sources = {"sources": {name: _json(shares) for name, shares in self.sources.items()}} if self.sources else {}
        sets = {"labels_90": self.sets.json()} if self.sets else {}
        return {**measured, **sets, "windows": _json(self.windows), **sources}

    def lines(self) -> list[str]:
        """Return the shares as text."""
        lines = ["", f"labels_90: {self.sets.line()}"] if self.sets else []
        for name, shares in {"all windows": self.windows, **self.sources}.items():
            lines += ["", f"{name}: {shares.count:,} windows"]
            lines.append(" " * 12 + "".join(f"{emotion:>10}" for emotion in (*EMOTIONS, "uncertain")))
            for kind, emotions in shares.emotions.items():
                cells = [*emotions.values(), shares.uncertain[kind]]
                lines.append(f"{kind:12}" + "".join(f"{share:10.1%}" for share in cells))
            lines.append(f"emotion that no modality puts first {shares.first_in_none:.1%}")
            lines.append(f"windows with one modality that disagree with it {shares.single_disagrees:.1%}")
        return lines


def _shares(pieces: Sequence[PieceReading]) -> WindowShares:
    """Return the shares of the windows of the pieces, each window once."""
    by_file = {(piece.row.path, window.start): window for piece in pieces for window in piece.windows}
    return WindowShares.of(list(by_file.values()))


def _json(shares: WindowShares) -> dict[str, Any]:
    return {
        "count": shares.count,
        "shares": shares.emotions,
        "uncertain": shares.uncertain,
        "first_in_no_modality": shares.first_in_none,
        "single_modality_disagrees": shares.single_disagrees,
    }
