from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ml.artifacts import Draft, ModelStore
from ml.inference.fusion import Evidence, FusionPredictor
from ml.models.fusion import FusionConfig
from ml.training.datasets.example import Example
from ml.training.recipes.fusion import Clip, Material, batches, compose, evaluate, thinned
from ml.training.recipes.fusion_pieces import SIDES, Kept, Pool, Pools, Shelf, side_of
from ml.vocabulary import EMOTIONS, MODALITIES
from tests.toy_models import make_store

SIZE = 4


def _reading(label: int, certainty: float) -> Evidence:
    logs = np.full(len(EMOTIONS), np.log((1 - certainty) / 6), np.float32)
    logs[label] = np.log(certainty)
    return Evidence(np.full(SIZE, label, np.float32), logs)


def _pool(certainty: float, mistaken_for: int) -> Pool:
    """Pieces of which `certainty` are read rightly, the others as the emotion that lies `mistaken_for` places on."""
    labels = list(range(len(EMOTIONS))) * 10
    rights = [place < certainty * len(labels) for place in range(len(labels))]
    readings = [
        (_reading(label if right else (label + mistaken_for) % 7, certainty),)
        for label, right in zip(labels, rights, strict=True)
    ]
    return Pool.of(labels, readings)


@pytest.fixture
def pools() -> Pools:
    return Pools(face=_pool(0.7, 1), audio=_pool(0.6, 2), text=_pool(0.7, 3))


def _clips(pools: Pools, count: int) -> list[Clip]:
    random = np.random.default_rng(0)
    return [compose(random, pools) for _ in range(count)]


def test_clips_hold_what_the_recipe_says(pools: Pools) -> None:
    clips = _clips(pools, 4_000)
    assert all(any(clip.evidence.present.values()) for clip in clips)
    lacking = {name: np.mean([not clip.evidence.present[name] for clip in clips]) for name in MODALITIES}
    assert lacking == pytest.approx({"face": 0.15, "audio": 0.15, "text": 0.25}, abs=0.03)
    labels = np.bincount([clip.label for clip in clips], minlength=7) / len(clips)
    assert labels == pytest.approx(np.full(7, 1 / 7), abs=0.03)
    heard = [clip for clip in clips if clip.evidence.audio]
    agreeing = np.mean(
        [clip.evidence.audio.log_probabilities.argmax() == clip.label for clip in heard if clip.evidence.audio]
    )
    assert agreeing == pytest.approx(0.6, abs=0.03)


def test_taking_away_never_takes_all(pools: Pools) -> None:
    random = np.random.default_rng(0)
    left = [thinned(random, clip) for clip in _clips(pools, 1_000)]
    assert all(any(clip.evidence.present.values()) for clip in left)
    assert np.mean([sum(clip.evidence.present.values()) for clip in left]) < 2.2


def test_batches_repeat_with_their_seed(pools: Pools) -> None:
    config = FusionConfig(SIZE, SIZE, SIZE)
    material = Material(lambda random: compose(random, pools), [], [])
    first, second = (next(batches(np.random.default_rng([0, 3]), material, config, 16)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first[0], second[0], strict=True))
    assert torch.equal(first[1], second[1])


def test_addition_beats_each_modality_on_composed_clips(pools: Pools) -> None:
    predictor = FusionPredictor.addition(SIZE, SIZE, SIZE, torch.device("cpu"))
    figures = evaluate(predictor, _clips(pools, 1_500))
    together = figures["with all three"]["accuracy"]
    assert together > max(figures[f"{name} alone"]["accuracy"] for name in MODALITIES) + 0.05
    assert figures["without face"]["accuracy"] < together


def test_an_emotion_without_pieces_is_named() -> None:
    with pytest.raises(ValueError, match="surprise, neutral"):
        Pool.of([0, 1, 2, 3, 4], [(_reading(label, 0.5),) for label in range(5)])


def test_sources_are_split_in_a_half_and_two_quarters() -> None:
    sides = [side_of(f"person {number}") for number in range(2_000)]
    shares = {"measuring": 0.5, "fitting": 0.25, "training": 0.25}
    assert {side: sides.count(side) / len(sides) for side in SIDES} == pytest.approx(shares, abs=0.04)


def test_readings_are_made_once_for_a_model_and_its_examples(tmp_path: Path) -> None:
    store = ModelStore(make_store(tmp_path / "store"))
    shelf = Shelf(tmp_path / "readings", store, store.bundle("default"))
    made: list[int] = []

    def read() -> list[Kept]:
        made.append(1)
        return [Kept(np.ones((2, 3), np.float32), np.zeros((2, 7), np.float32))] * 2

    examples = [Example("happy", "mine", "valid", path=Path(f"{number}.png")) for number in range(2)]
    first, again = (shelf.kept("face", examples, read) for _ in range(2))
    assert len(made) == 1 and len(first) == 2 and np.array_equal(first[1].embeddings_NE, again[1].embeddings_NE)
    shelf.kept("face", examples[:1], read)
    draft = store.manifest("face@1").model_dump(include=set(Draft.model_fields)) | {"temperature": 2.0}
    store.publish(Draft(**draft), store.weights("face@1"), "")
    replace(shelf, bundle=shelf.bundle.with_model("face", "face@2")).kept("face", examples, read)
    assert len(made) == 3
