"""Face movements under Hume's names of FACS action units."""

from collections.abc import Mapping

from app.compat.hume.schemas import HumeScore
from ml.movements import MovementValues, action_units

FACS_NAMES: Mapping[str, str] = {
    "AU01": "AU1 Inner Brow Raise",
    "AU02": "AU2 Outer Brow Raise",
    "AU04": "AU4 Brow Lower",
    "AU05": "AU5 Upper Lid Raise",
    "AU06": "AU6 Cheek Raise",
    "AU07": "AU7 Lids Tight",
    "AU09": "AU9 Nose Wrinkle",
    "AU10": "AU10 Upper Lip Raiser",
    "AU12": "AU12 Lip Corner Puller",
    "AU14": "AU14 Dimpler",
    "AU15": "AU15 Lip Corner Depress",
    "AU16": "AU16 Lower Lip Depress",
    "AU17": "AU17 Chin Raise",
    "AU18": "AU18 Lip Pucker",
    "AU20": "AU20 Lip Stretch",
    "AU22": "AU22 Lip Funneler",
    "AU24": "AU24 Lip Presser",
    "AU26": "AU26 Jaw Drop",
    "AU28": "AU28 Lips Suck",
    "AU45": "AU43 Eye Closure",
}
"""Hume's name of each action unit. A movement is not the intensity of a unit, and Hume's other names are absent."""


def facs_scores(movements: MovementValues | None) -> tuple[HumeScore, ...] | None:
    """Return the movements of a face under Hume's names; None if they were not read."""
    if movements is None:
        return None
    units = action_units(movements.by_name())
    return tuple(HumeScore(name=FACS_NAMES[unit], score=value) for unit, value in units.items())
