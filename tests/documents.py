"""Result documents compared."""

import math
from collections.abc import Iterator
from typing import Any


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
