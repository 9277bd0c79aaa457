"""TensorFlow Lite files as torch networks. The tests of `mediapipe_nets` show that they answer as the files do."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ml.errors import ModelStoreError
from ml.networks import tflite
from ml.networks.tflite import TfliteNet, load_schema, mediapipe_folder

MODULES = mediapipe_folder() / "modules"


@pytest.mark.parametrize(
    ("file", "size", "shapes"),
    [
        ("face_detection/face_detection_full_range_sparse.tflite", 192, [(3, 2304, 16), (3, 2304, 1)]),
        ("face_detection/face_detection_short_range.tflite", 128, [(3, 896, 16), (3, 896, 1)]),
        ("face_landmark/face_landmark.tflite", 192, [(3, 1404, 1, 1), (3, 1, 1, 1)]),
    ],
)
def test_tflite_net_answers_a_batch_row_by_row(file: str, size: int, shapes: list[tuple[int, ...]]) -> None:
    net = TfliteNet(MODULES / file).eval()
    assert net.size == size
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together, last = net(images), net(images[2:])
    assert [tuple(part.shape) for part in together] == shapes
    for whole, row in zip(together, last, strict=True):
        torch.testing.assert_close(whole[2:], row, rtol=1e-3, atol=1e-2)


def test_tflite_net_with_an_unknown_operation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(tflite._BUILDERS, "PRELU")
    with pytest.raises(ModelStoreError, match="PRELU"):
        TfliteNet(MODULES / "face_landmark" / "face_landmark.tflite")


def test_mediapipe_nets_do_not_import_mediapipe() -> None:
    code = (
        "import sys, torch; from ml.inference.face.backends.base import mediapipe_nets;"
        "mediapipe_nets(torch.device('cpu'))(); print([m for m in sys.modules if m.split('.')[0] == 'mediapipe'])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def generated(**values: Any) -> SimpleNamespace:
    """Object like one of the generated classes, which return values by calls."""
    return SimpleNamespace(
        **{name: (lambda *index, v=value: v[index[0]] if index else v) for name, value in values.items()}
    )


def test_to_dense_puts_sparse_blocks_where_they_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix of 4×3 with rows in blocks of two: the first block holds column 1, the second columns 0 and 2."""
    schema = load_schema()
    listed = {"ArraySegments": np.array([0, 1, 3]), "ArrayIndices": np.array([1, 0, 2])}
    monkeypatch.setattr(tflite, "_integers", lambda schema, metadata, name: listed[name])
    dense, sparse = schema.DimensionType.DENSE, schema.DimensionType.SPARSE_CSR
    levels = [
        generated(Format=dense, DenseSize=2),
        generated(Format=sparse),
        generated(Format=dense, DenseSize=2),
    ]
    sparsity = generated(TraversalOrderAsNumpy=np.array([0, 1, 2]), BlockMap=[0], BlockMapLength=1, DimMetadata=levels)
    matrix = tflite._to_dense(schema, np.arange(1.0, 7.0), sparsity, (4, 3))
    assert matrix.tolist() == [[0, 1, 0], [0, 2, 0], [3, 0, 5], [4, 0, 6]]
