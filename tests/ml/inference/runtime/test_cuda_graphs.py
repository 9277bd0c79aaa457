"""Captured forward passes and half precision, as far as a CPU can show them; the graphs themselves on a GPU."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor

from ml.inference.face import predictor as face
from ml.inference.face.predictor import FaceSample
from ml.inference.runtime import cuda_graphs
from ml.inference.runtime.cuda_graphs import CAPTURED_BATCH_SIZES, Capture, CudaGraphRunner, Forward, Outputs, capture
from ml.inference.runtime.device import autocast, to_device
from ml.inference.text import predictor as text
from ml.inference.text.predictor import TextSample
from ml.inference.voice import predictor as audio
from tests.published_models import published_analyzer

CPU = torch.device("cpu")


def doubled(rows: Tensor) -> Outputs:
    return 2.0 * rows, rows.sum(1)


def fake_capture(sizes: list[int]) -> Capture:
    """Return a capture that behaves as a graph: one buffer for the outputs, and only the captured shape."""

    def capture(forward: Forward, example: Tensor) -> Forward:
        sizes.append(len(example))
        outputs = forward(example)

        def replay(batch: Tensor) -> Outputs:
            assert batch.shape == example.shape
            for buffer, value in zip(outputs, forward(batch), strict=True):
                buffer.copy_(value)
            return outputs

        return replay

    return capture


@pytest.fixture
def runner() -> CudaGraphRunner:
    runner = CudaGraphRunner(doubled)
    sizes: list[int] = []
    runner.capture(torch.zeros(5), fake_capture(sizes))
    assert tuple(sizes) == CAPTURED_BATCH_SIZES
    return runner


@pytest.mark.parametrize("count", [1, 2, 4, 5, 64, 65, 256, 300])
def test_runner_any_number_of_rows_gives_the_outputs_of_the_plain_pass(runner: CudaGraphRunner, count: int) -> None:
    rows = torch.rand(count, 5)
    for found, expected in zip(runner(rows), doubled(rows), strict=True):
        assert torch.equal(found, expected)


def test_runner_outputs_survive_the_next_call(runner: CudaGraphRunner) -> None:
    first = runner(torch.ones(3, 5))
    runner(torch.zeros(3, 5))
    assert torch.equal(first[0], torch.full((3, 5), 2.0))


def test_runner_threads_get_their_own_outputs(runner: CudaGraphRunner) -> None:
    def same(number: int) -> bool:
        rows = torch.full((4, 5), float(number))
        return torch.equal(runner(rows)[0], 2 * rows)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(same, range(400)))


def test_captures_and_calls_of_captured_networks_never_overlap() -> None:
    """They share the GPU, whichever networks they are."""
    held: list[bool] = []

    def forward(rows: Tensor) -> Outputs:
        held.append(cuda_graphs._capture_lock.locked())
        return doubled(rows)

    for runner in (CudaGraphRunner(forward), CudaGraphRunner(forward)):
        runner.capture(torch.zeros(5), fake_capture([]))
        runner(torch.rand(2, 5))
        runner(torch.rand(300, 5))
    assert len(held) == 2 * (len(CAPTURED_BATCH_SIZES) + 2) and all(held)
    assert not cuda_graphs._capture_lock.locked()


def test_runner_without_captures_threads_do_not_wait() -> None:
    met = threading.Barrier(2, timeout=30)

    def forward(rows: Tensor) -> Outputs:
        met.wait()
        return doubled(rows)

    runner = CudaGraphRunner(forward)
    with ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(runner, [torch.rand(2, 5), torch.rand(3, 5)]))) == 2


def test_runner_batch_that_cannot_be_captured_runs_plainly(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(forward: Forward, example: Tensor) -> Forward:
        if len(example) > 4:
            raise RuntimeError("out of memory")
        return fake_capture([])(forward, example)

    runner = CudaGraphRunner(doubled)
    runner.capture(torch.zeros(5), refuse)
    rows = torch.rand(9, 5)
    assert torch.equal(runner(rows)[0], 2 * rows) and torch.equal(runner(rows[:2])[0], 2 * rows[:2])
    assert "Batches of 256 rows run without a CUDA graph" in caplog.text


def test_cpu_tensors_are_neither_copied_nor_autocast() -> None:
    rows = torch.rand(2, 2)
    assert to_device(rows, CPU) is rows
    with autocast(CPU):
        assert (rows @ rows).dtype == torch.float32


@pytest.mark.slow
def test_half_precision_changes_probabilities_of_published_models_by_less_than_a_fiftieth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models, random = published_analyzer().models, np.random.default_rng(0)
    assert models.face and models.audio and models.text
    side = models.face.crop_size
    faces = [FaceSample(crop) for crop in random.integers(0, 256, (4, side, side), dtype=np.uint8)]
    sounds = [random.normal(0, 0.1, 16_000 * seconds).astype(np.float32) for seconds in (1, 2, 4)]
    texts = [TextSample(text) for text in ("I am so happy for you!", "Leave me alone.", "The train leaves at nine.")]

    def probabilities() -> list[np.ndarray]:
        assert models.face and models.audio and models.text
        outputs = models.face.predict(faces), models.audio.predict(sounds), models.text.predict(texts)
        assert all(each.embeddings_NE.dtype == each.log_probabilities_NC.dtype == np.float32 for each in outputs)
        return [np.exp(each.log_probabilities_NC) for each in outputs]

    full_precision = probabilities()
    for module in (face, audio, text):
        monkeypatch.setattr(module, "autocast", lambda _: torch.autocast("cpu", torch.bfloat16, cache_enabled=False))
    differences = [np.abs(half - full).max() for half, full in zip(probabilities(), full_precision, strict=True)]
    assert 0 < max(differences) < 0.02, differences


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_captured_graph_gives_the_outputs_of_the_plain_pass() -> None:
    network = torch.nn.Linear(5, 3).cuda()
    runner = CudaGraphRunner(lambda rows: (network(rows),))
    runner.capture(torch.zeros(5, device="cuda"), capture)
    for count in (1, 3, 200):
        rows = torch.rand(count, 5, device="cuda")
        with torch.inference_mode():
            torch.testing.assert_close(runner(rows)[0], network(rows), atol=1e-3, rtol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_other_threads_may_allocate_gpu_memory_during_a_capture(caplog: pytest.LogCaptureFixture) -> None:
    with ThreadPoolExecutor(1) as executor:

        def forward(rows: Tensor) -> Outputs:
            executor.submit(torch.empty, 2**28, device="cuda").result()
            return (2 * rows,)

        CudaGraphRunner(forward).capture(torch.zeros(5, device="cuda"))
    assert not caplog.text
