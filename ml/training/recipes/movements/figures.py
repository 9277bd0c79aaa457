"""Figures of the face movements: how far they are from what the teacher answers, and the model card."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.movements import ACTION_UNITS, MOVEMENTS, without_side
from ml.registry import ModelDescription
from ml.training.model_card import card_document
from ml.training.recipes.movements.data import MovementData


def difference_figures(
    movements_VM: NDArray[np.float32], gaze_VG: NDArray[np.float32], data: MovementData
) -> dict[str, Any]:
    """Return the figures of all views and of each data set: the mean absolute difference from the teacher, and the
    correlation with it over the movements that it sees vary; of each movement both; of the gaze the difference in
    degrees."""
    datasets = np.array([face.dataset for face in data.faces])
    groups = {"all": np.ones(len(datasets), bool)} | {name: datasets == name for name in sorted(set(datasets))}
    return {
        name: _figures(movements_VM[rows], gaze_VG[rows], data.movements[rows], data.gaze[rows])
        for name, rows in groups.items()
    }


def _figures(
    answered: NDArray[np.float32], gaze: NDArray[np.float32], taught: NDArray[np.float32], seen: NDArray[np.float32]
) -> dict[str, Any]:
    differences = np.abs(answered - taught).mean(0)
    agreement = {
        name: {"difference": round(float(differences[index]), 4), "correlation": _correlation(answered, taught, index)}
        for index, name in enumerate(MOVEMENTS)
    }
    varying = [each["correlation"] for each in agreement.values() if each["correlation"] is not None]
    return {
        "n": len(answered),
        "difference": round(float(differences.mean()), 4),
        "correlation": round(float(np.mean(varying)), 3) if varying else None,
        "gaze_degrees": round(float(np.degrees(np.abs(gaze - seen).mean())), 2),
        "movements": agreement,
    }


def _correlation(answered: NDArray[np.float32], taught: NDArray[np.float32], index: int) -> float | None:
    """Return Pearson's r; null for a movement that the teacher hardly ever sees."""
    pair = answered[:, index], taught[:, index]
    return None if min(each.std() for each in pair) < 0.005 else round(float(np.corrcoef(*pair)[0, 1]), 3)


def difference_table(figures: dict[str, Any]) -> str:
    """Return the figures as a Markdown table of movements, and one of data sets."""
    lines = ["| Movement | FACS | Difference | Correlation |", "|---|---|---|---|"]
    for name, each in figures["all"]["movements"].items():
        unit, r = ACTION_UNITS.get(without_side(name), ""), each["correlation"]
        lines.append(f"| {name} | {unit} | {each['difference']:.3f} | {'–' if r is None else f'{r:.2f}'} |")
    lines += ["", "| Data | n | Difference | Mean correlation | Gaze, degrees |", "|---|---|---|---|---|"]
    for name, each in figures.items():
        cells = f"{each['n']:,} | {each['difference']:.4f} | {each['correlation']} | {each['gaze_degrees']:.1f}"
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def movement_card(description: ModelDescription, limits: Sequence[str]) -> str:
    """Return the model card."""
    return card_document(
        description,
        title="Affect face movements",
        summary="Small network from the 468 points of a face mesh and the look of both eyes to 52 named movements "
        "and a gaze. A face and its mirror image have mirrored movements.",
        use="Movements of a face over time. They are not action unit intensities: no data set with labelled action "
        "units was used.",
        figures=[
            "Mean absolute difference from the teacher, and correlation with it, on faces not trained on.",
            difference_table(description.metrics),
        ],
        limits=limits,
        teacher="Labels: the blend shape network of mediapipe (Apache-2.0) on its mesh with attention. None of it is "
        "part of the weights.",
    )
