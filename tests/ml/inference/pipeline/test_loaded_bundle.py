"""The table of roles, and what all predictors have in common."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ml.errors import ModelStoreError
from ml.inference.api import EmotionOutputs, Role
from ml.inference.fusion.predictor import FusionPredictor
from ml.inference.pipeline.bundle import ROLES, LoadedBundle, load_order
from ml.registry import Bundle, ModelStore
from ml.registry.manifest import DETAILS
from ml.vocabulary import MODALITIES
from tests.published_models import published_analyzer
from tests.toy_models import LoudIsAngry, ToyPredictor, make_store, with_predictors

CPU = torch.device("cpu")


@pytest.fixture
def models(tmp_path: Path) -> LoadedBundle:
    """Bundle with a face network of random weights alone."""
    store = ModelStore(make_store(tmp_path))
    return LoadedBundle.load(store, store.bundle("default").model_copy(update={"whisper": None}), device=CPU)


def test_roles_are_the_fields_of_a_bundle() -> None:
    others = {"name", "whisper", "further_text", *DETAILS}
    assert set(ROLES) == set(Bundle.model_fields) - others == {*MODALITIES, "fusion"}


def test_load_order_puts_each_role_after_those_it_depends_on() -> None:
    order = load_order()
    assert sorted(order) == sorted(ROLES)
    for role, predictor in ROLES.items():
        assert all(order.index(source) < order.index(role) for source in predictor.depends)


def test_load_gives_each_predictor_its_reference_and_falls_back_for_the_fusion(models: LoadedBundle) -> None:
    assert set(models.predictors) == {"face", "fusion"}
    assert models.predictors["face"].identity == models.versions.face == "face@1"
    assert models.fusion.identity is None
    assert models.fusion.network.config.gated is False


@pytest.mark.slow
def test_warm_up_runs_every_published_model_with_the_outputs_it_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = replace(published_analyzer("light").models, whisper=None)
    upstream: list[Mapping[Role, EmotionOutputs]] = []
    example = FusionPredictor._example
    monkeypatch.setattr(
        FusionPredictor, "_example", lambda self, given: (upstream.append(given), example(self, given))[1]
    )
    loaded.warm_up()
    (given,) = upstream
    assert set(given) == {role for role in MODALITIES if role in loaded.predictors}


def test_warm_up_refuses_a_model_that_answers_with_no_probabilities(models: LoadedBundle) -> None:
    class Broken(LoudIsAngry):
        def _example(self, upstream: Mapping[Role, EmotionOutputs]) -> NDArray[np.float32]:
            return np.zeros(1, np.float32)

        def _predict(self, samples: Sequence[NDArray[np.float32]]) -> EmotionOutputs:
            return EmotionOutputs(np.zeros((1, 1), np.float32), np.full((1, 7), np.nan, np.float32))

    with pytest.raises(ModelStoreError, match="the audio model of the bundle default answers with no probabilities"):
        with_predictors(models, audio=Broken()).warm_up()


def test_predict_is_locked_against_other_threads() -> None:
    class Counting(ToyPredictor[int, EmotionOutputs]):
        inside, most = 0, 0

        def _predict(self, samples: Sequence[int]) -> EmotionOutputs:
            self.inside += 1
            self.most = max(self.most, self.inside)
            threading.Event().wait(0.005)
            self.inside -= 1
            return EmotionOutputs(np.zeros((len(samples), 1), np.float32), np.zeros((len(samples), 7), np.float32))

    predictor = Counting()
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(predictor.predict, [[1]] * 12))) == 12
    assert predictor.most == 1
