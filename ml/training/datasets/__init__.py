"""Readers of published data sets: each knows a layout, a label map and the official split."""

from ml.training.datasets.example import Example, Split, counts

__all__ = ["Example", "Split", "counts"]
