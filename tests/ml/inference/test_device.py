"""What is done for a GPU, as far as a CPU can show it; the graphs themselves where there is a GPU."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor

from ml.inference.face import predictor as face
from ml.inference.pipeline.bundle import LoadedBundle, published
from ml.inference.runtime import device
from ml.inference.runtime.device import CAPTURED_BATCH_SIZES, CudaGraphRunner, Forward, Outputs, autocast, capture, to_device
from ml.inference.text import predictor as text
from ml.inference.voice import predictor as audio
from ml.paths import MODEL_STORE
from ml.registry import ModelStore

CPU = torch.device("cpu")


def doubled(rows: Tensor) -> Outputs:
    return 2.0 * rows, rows.sum(1)


def in_place(sizes: list[int]) -> Callable[[Forward, Tensor], Forward]:
    """Records as a graph does: one place for the answer, and none but the shape it was recorded with."""

    def record(forward: Forward, example: Tensor) -> Forward:
        sizes.append(len(example))
        found = forward(example)

        def replay(batch: Tensor) -> Outputs:
            assert batch.shape == example.shape
            for place, value in zip(found, forward(batch), strict=True):
                place.copy_(value)
            return found

        return replay

    return record


@pytest.fixture
def shapes() -> CudaGraphRunner:
    made = CudaGraphRunner(doubled)
    sizes: list[int] = []
    made.record(torch.zeros(5), in_place(sizes))
    assert tuple(sizes) == CAPTURED_BATCH_SIZES
    return made


@pytest.mark.parametrize("count", [1, 2, 4, 5, 64, 65, 256, 300])
def test_any_number_of_rows_is_answered_as_without_graphs(shapes: CudaGraphRunner, count: int) -> None:
    rows = torch.rand(count, 5)
    for found, expected in zip(shapes(rows), doubled(rows), strict=True):
        assert torch.equal(found, expected)


def test_an_answer_outlives_the_next_call(shapes: CudaGraphRunner) -> None:
    first = shapes(torch.ones(3, 5))
    shapes(torch.zeros(3, 5))
    assert torch.equal(first[0], torch.full((3, 5), 2.0))


def test_threads_do_not_mix_their_answers(shapes: CudaGraphRunner) -> None:
    def same(number: int) -> bool:
        rows = torch.full((4, 5), float(number))
        return torch.equal(shapes(rows)[0], 2 * rows)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(same, range(400)))


def test_nothing_is_recorded_while_a_recorded_net_is_called_nor_the_other_way_round() -> None:
    """Whichever nets they are: all of them share the GPU."""
    held: list[bool] = []

    def told(rows: Tensor) -> Outputs:
        held.append(device._device.locked())
        return doubled(rows)

    for made in (CudaGraphRunner(told), CudaGraphRunner(told)):
        made.record(torch.zeros(5), in_place([]))
        made(torch.rand(2, 5))
        made(torch.rand(300, 5))
    assert len(held) == 2 * (len(CAPTURED_BATCH_SIZES) + 2) and all(held)
    assert not device._device.locked()


def test_where_nothing_is_recorded_threads_do_not_wait_for_each_other() -> None:
    met = threading.Barrier(2, timeout=30)

    def forward(rows: Tensor) -> Outputs:
        met.wait()
        return doubled(rows)

    made = CudaGraphRunner(forward)
    with ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(made, [torch.rand(2, 5), torch.rand(3, 5)]))) == 2


def test_what_cannot_be_recorded_runs_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(forward: Forward, example: Tensor) -> Forward:
        if len(example) > 4:
            raise RuntimeError("out of memory")
        return in_place([])(forward, example)

    made = CudaGraphRunner(doubled)
    made.record(torch.zeros(5), refuse)
    rows = torch.rand(9, 5)
    assert torch.equal(made(rows)[0], 2 * rows) and torch.equal(made(rows[:2])[0], 2 * rows[:2])
    assert "batches of 256 are not recorded" in caplog.text


def test_a_cpu_is_given_nothing_of_it() -> None:
    rows = torch.rand(2, 2)
    assert to_device(rows, CPU) is rows
    with autocast(CPU):
        assert (rows @ rows).dtype == torch.float32


def test_half_precision_moves_no_probability_of_the_published_models_by_a_fiftieth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, random = ModelStore(MODEL_STORE), np.random.default_rng(0)
    models = LoadedBundle.load(store, published(store, "default").model_copy(update={"whisper": None}), device=CPU)
    assert models.face and models.audio and models.text
    side = models.face.crop_size
    crops = list(random.integers(0, 256, (4, side, side), dtype=np.uint8))
    sounds = [random.normal(0, 0.1, 16_000 * seconds).astype(np.float32) for seconds in (1, 2, 4)]
    sentences = ["I am so happy for you!", "Leave me alone.", "The train leaves at nine."]

    def answers() -> list[np.ndarray]:
        assert models.face and models.audio and models.text
        found = models.face.predict(crops), models.audio.predict(sounds), models.text.predict(sentences)
        assert all(each.embeddings_NE.dtype == each.log_probabilities_NC.dtype == np.float32 for each in found)
        return [np.exp(each.log_probabilities_NC) for each in found]

    whole = answers()
    for module in (face, audio, text):
        monkeypatch.setattr(module, "half", lambda _: torch.autocast("cpu", torch.bfloat16, cache_enabled=False))
    differences = [np.abs(halved - full).max() for halved, full in zip(answers(), whole, strict=True)]
    assert 0 < max(differences) < 0.02, differences


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_recorded_forward_answers_as_the_plain_one() -> None:
    network = torch.nn.Linear(5, 3).cuda()
    made = CudaGraphRunner(lambda rows: (network(rows),))
    made.record(torch.zeros(5, device="cuda"), capture)
    for count in (1, 3, 200):
        rows = torch.rand(count, 5, device="cuda")
        with torch.inference_mode():
            torch.testing.assert_close(made(rows)[0], network(rows), atol=1e-3, rtol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_other_threads_may_take_memory_of_the_gpu_while_a_net_is_recorded(caplog: pytest.LogCaptureFixture) -> None:
    with ThreadPoolExecutor(1) as beside:

        def forward(rows: Tensor) -> Outputs:
            beside.submit(torch.empty, 2**28, device="cuda").result()
            return (2 * rows,)

        CudaGraphRunner(forward).record(torch.zeros(5, device="cuda"))
    assert not caplog.text
