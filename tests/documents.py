"""Result documents: a minimal one, and the comparison of two."""

import math
from collections.abc import Iterator
from typing import Any

from ml.results import Media, ModelVersions, Reading, Result, Transcript
from ml.vocabulary import EMOTIONS

RESULT = Result(
    media=Media(
        kind="image", duration=None, width=1, height=1, frame_rate=None, has_audio=False, has_video=True, sha256="0"
    ),
    labels=EMOTIONS,
    overall=Reading.empty(),
    windows=(),
    faces=(),
    transcript=Transcript(source="none", language=None, text=""),
    models=ModelVersions(
        bundle="bare", face=None, audio=None, text=None, fusion=None, whisper=None, licence="commercial"
    ),
)
"""Result of an image in which no model found anything."""


def apart(left: Any, right: Any, path: str = "") -> Iterator[str]:
    """Where two documents differ by more than 1e-5."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in left.keys() | right.keys():
            yield from apart(left.get(key), right.get(key), f"{path}/{key}")
    elif isinstance(left, list | tuple) and isinstance(right, list | tuple) and len(left) == len(right):
        for number, pair in enumerate(zip(left, right, strict=True)):
            yield from apart(*pair, f"{path}/{number}")
    elif isinstance(left, float) and isinstance(right, float):
        if not math.isclose(left, right, rel_tol=0, abs_tol=1e-5):
            yield f"{path}: {left} {right}"
    elif left != right:
        yield f"{path}: {left} {right}"
