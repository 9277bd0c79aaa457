"""Vocal bursts of sounds: the grid of the blocks, and the events in their probabilities."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ml.errors import ModelStoreError
from ml.inference.voice.bursts import (
    BLOCK_STEPS,
    STEP_SAMPLES,
    BurstOutputs,
    BurstPredictor,
    block_count,
    block_start,
    find_bursts,
)
from ml.networks import config_to_dict
from ml.networks.bursts import SECONDS_PER_STEP, BurstConfig, BurstNet
from ml.registry import Licence, ModelDescription, ModelStore
from ml.vocabulary import BURSTS, Burst
from tests.toy_models import publish_face

SMALL = BurstConfig(widths=(4, 4, 4, 4), hidden=8)
HALF: dict[Burst, float] = dict.fromkeys(BURSTS, 0.5)


def predictor() -> BurstPredictor:
    torch.manual_seed(0)
    return BurstPredictor(BurstNet(SMALL), HALF, torch.device("cpu"))


def read(pcm: np.ndarray, blocks: range) -> BurstOutputs:
    return predictor().read(pcm, blocks, lambda: None, lambda share: None)


def heard(kind: Burst, values: list[float], start: int = 0) -> BurstOutputs:
    probabilities = np.zeros((len(values), len(BURSTS)), np.float32)
    probabilities[:, BURSTS.index(kind)] = values
    return BurstOutputs(np.arange(start, start + len(values)), probabilities)


def test_read_of_parts_is_the_read_of_the_whole() -> None:
    pcm = (np.random.default_rng(0).normal(0, 3000, 3 * BLOCK_STEPS * STEP_SAMPLES - 777)).astype(np.int16)
    whole = read(pcm, range(block_count(len(pcm))))
    parts = BurstOutputs.concatenated([read(pcm, range(2, 3)), read(pcm, range(2))])
    assert block_count(len(pcm)) == 3 and block_start(1) == pytest.approx(10.24)
    assert np.array_equal(whole.steps_S, parts.steps_S)
    assert np.array_equal(whole.probabilities_SB, parts.probabilities_SB)


def test_read_of_silence_finds_nothing() -> None:
    assert len(read(np.zeros(30 * 16000, np.int16), range(3)).steps_S) == 0


def test_read_of_an_empty_sound_finds_nothing() -> None:
    assert len(read(np.zeros(0, np.int16), range(0)).steps_S) == 0


def test_find_bursts_gives_the_time_above_half_the_threshold() -> None:
    (burst,) = find_bursts(heard("laugh", [0.1, 0.3, 0.9, 0.9, 0.9, 0.3, 0.1], start=100), HALF, 60)
    assert burst.kind == "laugh" and burst.score == pytest.approx(0.9)
    assert 100 * SECONDS_PER_STEP <= burst.span.start < burst.span.end <= 107 * SECONDS_PER_STEP


def test_find_bursts_joins_short_pauses_and_leaves_out_clicks() -> None:
    joined = find_bursts(heard("cough", [0.9] * 4 + [0] * 3 + [0.9] * 4), HALF, 60)
    apart = find_bursts(heard("cough", [0.9] * 4 + [0] * 12 + [0.9] * 4), HALF, 60)
    click = find_bursts(heard("cough", [0, 0, 0.9, 0, 0]), HALF, 60)
    assert (len(joined), len(apart), len(click)) == (1, 2, 0)


def test_find_bursts_keeps_the_likelier_of_two_kinds() -> None:
    outputs = heard("laugh", [0.8] * 6)
    outputs.probabilities_SB[:, BURSTS.index("cry")] = 0.7
    assert [burst.kind for burst in find_bursts(outputs, HALF, 60)] == ["laugh"]


def test_find_bursts_ends_with_the_sound() -> None:
    (burst,) = find_bursts(heard("sigh", [0.9] * 20), HALF, 0.5)
    assert burst.span.end == 0.5


def test_find_bursts_in_sparse_steps_is_that_of_dense_ones() -> None:
    values = [0.0] * 10 + [0.9] * 5 + [0.0] * 10
    dense = heard("gasp", values)
    kept = dense.probabilities_SB.max(1) > 0
    sparse = BurstOutputs(dense.steps_S[kept], dense.probabilities_SB[kept])
    one, other = (find_bursts(each, HALF, 60)[0] for each in (dense, sparse))
    assert one.span == other.span


def test_load_of_a_published_model_has_its_thresholds(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    description = ModelDescription(
        name="bursts",
        architecture="vocal_bursts",
        config=config_to_dict(SMALL),
        labels=BURSTS,
        preprocessing={"thresholds": HALF | {"laugh": 0.7}},
        metrics={},
        data=("none",),
        command="none",
        licence=Licence(name="none", commercial=False, note="random weights of a test"),
    )
    reference = store.publish(description, BurstNet(SMALL).state_dict(), "")
    assert BurstPredictor.load(store, reference, torch.device("cpu")).thresholds["laugh"] == 0.7


def test_load_of_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    with pytest.raises(ModelStoreError, match="no model of vocal bursts"):
        BurstPredictor.load(store, publish_face(store), torch.device("cpu"))
