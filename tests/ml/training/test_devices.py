from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from ml.training.devices import batch_to_device, bf16_is_faster, on_cpu

CPU, META = torch.device("cpu"), torch.device("meta")


class Inner(NamedTuple):
    values: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class Batch:
    inner: Inner
    labels: Tensor
    names: tuple[str, ...]


def make_batch() -> Batch:
    return Batch(Inner(torch.zeros(2, 3), None), torch.zeros(2), ("a", "b"))


def test_batch_to_device_moves_every_tensor() -> None:
    inner, labels = batch_to_device((make_batch().inner, torch.ones(2)), META)
    assert isinstance(inner, Inner) and inner.values.device == labels.device == META and inner.mask is None
    whole = batch_to_device(make_batch(), META)
    assert isinstance(whole, Batch) and whole.labels.device == whole.inner.values.device == META
    assert whole.names == ("a", "b") and whole.inner.values.shape == (2, 3)


def test_batch_to_device_cpu_copies_nothing() -> None:
    batch, model = make_batch(), nn.Linear(1, 1)
    same = batch_to_device(batch, CPU)
    assert same.labels is batch.labels and same.inner.values is batch.inner.values
    assert on_cpu(model) is model


def test_bf16_is_faster_is_measured_on_a_cpu() -> None:
    assert bf16_is_faster(CPU) in (True, False)


@pytest.mark.parametrize("has_it", [True, False])
def test_bf16_is_faster_gpu_decides_only_for_itself(has_it: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: has_it)
    monkeypatch.setattr("time.perf_counter", iter(range(100)).__next__)
    assert bf16_is_faster(torch.device("cuda")) is has_it
    assert not bf16_is_faster(CPU), "each convolution takes one second"
