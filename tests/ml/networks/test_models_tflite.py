"""TensorFlow Lite files as torch nets. That they answer as the files do is proven by the tests of `face_nets`."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mediapipe
import numpy as np
import pytest
import torch
from mediapipe.tasks.metadata import schema_py_generated as schema

from ml.errors import ModelStoreError
from ml.networks import tflite
from ml.networks.tflite import TfliteNet

MODULES = Path(mediapipe.__file__).parent / "modules"


@pytest.mark.parametrize(
    ("file", "size", "shapes"),
    [
        ("face_detection/face_detection_full_range_sparse.tflite", 192, [(3, 2304, 16), (3, 2304, 1)]),
        ("face_detection/face_detection_short_range.tflite", 128, [(3, 896, 16), (3, 896, 1)]),
        ("face_landmark/face_landmark.tflite", 192, [(3, 1404, 1, 1), (3, 1, 1, 1)]),
    ],
)
def test_a_batch_is_answered_row_by_row(file: str, size: int, shapes: list[tuple[int, ...]]) -> None:
    net = TfliteNet(MODULES / file).eval()
    assert net.size == size
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together, last = net(images), net(images[2:])
    assert [tuple(part.shape) for part in together] == shapes
    for whole, row in zip(together, last, strict=True):
        torch.testing.assert_close(whole[2:], row, rtol=1e-3, atol=1e-2)


def test_an_operation_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(tflite._STEPS, "PRELU")
    with pytest.raises(ModelStoreError, match="PRELU"):
        TfliteNet(MODULES / "face_landmark" / "face_landmark.tflite")


def told(**values: Any) -> SimpleNamespace:
    """As the generated classes tell values: by calls."""
    return SimpleNamespace(
        **{name: (lambda *index, v=value: v[index[0]] if index else v) for name, value in values.items()}
    )


def test_sparse_blocks_are_spread_where_they_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix of 4×3 whose rows stand in blocks of two: the first holds column 1, the second columns 0 and 2."""
    listed = {"ArraySegments": np.array([0, 1, 3]), "ArrayIndices": np.array([1, 0, 2])}
    monkeypatch.setattr(tflite, "_integers", lambda metadata, name: listed[name])
    dense, sparse = schema.DimensionType.DENSE, schema.DimensionType.SPARSE_CSR
    levels = [
        told(Format=dense, DenseSize=2),
        told(Format=sparse),
        told(Format=dense, DenseSize=2),
    ]
    sparsity = told(TraversalOrderAsNumpy=np.array([0, 1, 2]), BlockMap=[0], BlockMapLength=1, DimMetadata=levels)
    found = tflite._dense(np.arange(1.0, 7.0), sparsity, (4, 3))
    assert found.tolist() == [[0, 1, 0], [0, 2, 0], [3, 0, 5], [4, 0, 6]]
