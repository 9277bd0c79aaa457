"""Movements and vocal bursts through the whole pipeline, with networks of random weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.context import AnalysisContext, cache_in
from ml.movements import MOVEMENTS
from ml.networks import config_to_dict
from ml.networks.bursts import BurstConfig, BurstNet
from ml.networks.movements import MovementConfig, MovementNet
from ml.registry import Licence, ModelDescription, ModelStore
from ml.results import Options, Result
from ml.vocabulary import BURSTS
from tests.face_files import make_scenes, portrait
from tests.toy_models import make_store

RIGID = (10, 33, 133, 362, 263, 6, 127, 356)
pytestmark = pytest.mark.slow


def publish(store: ModelStore, name: str, architecture: str, network: Any, **changes: Any) -> str:
    description = ModelDescription(
        name=name,
        architecture=architecture,
        config=config_to_dict(network.config),
        metrics={},
        data=("none",),
        command="none",
        licence=Licence(name="none", commercial=False, note="random weights of a test"),
        **changes,
    )
    return store.publish(description, network.state_dict(), "")


@pytest.fixture(scope="module")
def analyzer(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    """Analyzer of a bundle with models of details, whose burst model takes every sound for a laugh."""
    torch.manual_seed(0)
    store = ModelStore(make_store(tmp_path_factory.mktemp("store")))
    movements = MovementNet(MovementConfig(hidden=16, eye=4, rigid=RIGID))
    movements.reference_RD.copy_(torch.randn(len(RIGID), 3))
    bursts = BurstNet(BurstConfig(widths=(4, 4, 4, 4), hidden=8))
    torch.nn.init.constant_(bursts.bursts.bias, -9)
    bursts.bursts.bias.data[BURSTS.index("laugh")] = 9
    details = {
        "movements": publish(store, "movements", "face_movements", movements, labels=MOVEMENTS, preprocessing={}),
        "bursts": publish(
            store,
            "bursts",
            "vocal_bursts",
            bursts,
            labels=BURSTS,
            preprocessing={"thresholds": dict.fromkeys(BURSTS, 0.5)},
        ),
    }
    store.write_bundle(store.bundle("default").model_copy(update=details))
    return Analyzer.load(store.root, device="cpu")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sound = np.random.default_rng(0).normal(0, 3000, 16_000 * 3).astype(np.int16)
    return make_scenes(tmp_path_factory.mktemp("film") / "film.mp4", [(portrait(), 3)], sound)


def analyze(analyzer: Analyzer, film: Path, folder: Path, **options: Any) -> Result:
    context = AnalysisContext(save_to=folder / "kept", cached=cache_in(folder / "kept"))
    return analyzer.analyze(film, Options(people=False, **options), context)


def test_movements_and_bursts_are_in_the_result_and_in_the_kept_features(
    analyzer: Analyzer, film: Path, tmp_path: Path
) -> None:
    result = analyze(analyzer, film, tmp_path, movements=True)
    frame = result.faces[0].frames[0]
    assert frame.movements and frame.pose and frame.gaze and frame.eyes_open and frame.mouth_open is not None
    assert [burst.kind for burst in result.bursts] == ["laugh"]
    assert result.models.movements == "movements@1" and result.models.bursts == "bursts@1"
    assert Result.model_validate_json(result.model_dump_json()).faces == result.faces
    again = analyze(analyzer, film, tmp_path, movements=True)
    assert (again.faces, again.bursts) == (result.faces, result.bursts)
    less = analyze(analyzer, film, tmp_path, bursts=False)
    assert less.bursts == () and less.faces[0].frames[0].movements is None


def test_details_that_were_not_requested_are_found_in_a_kept_analysis(
    analyzer: Analyzer, film: Path, tmp_path: Path
) -> None:
    first = analyze(analyzer, film, tmp_path, bursts=False)
    assert first.bursts == () and first.faces[0].frames[0].movements is None
    second = analyze(analyzer, film, tmp_path, movements=True)
    assert second.bursts and second.faces[0].frames[0].movements
