"""What ships: every bundle is whole, its figures are given, and it reads a real face and real speech."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from ml.errors import ModelStoreError
from ml.inference.pipeline.bundle import LoadedBundle, pick_device
from ml.registry import ModelStore
from ml.registry.manifest import DETAILS
from ml.results import Options
from ml.vocabulary import EMOTIONS, MODALITIES
from tests.face_files import make_scenes, nobody, portrait
from tests.published_models import published_analyzer
from tests.speech_files import say, silence

STORE = ModelStore(Path(__file__).parents[1] / "model_store")
BUNDLES = sorted(path.stem for path in STORE.root.glob("bundles/*.json"))
REFERENCES = [f"{name}@{version}" for name in STORE.names() for version in STORE.versions(name)]
MODEL_BYTES = {"text": 48 * 2**20, "audio": 45 * 10**6}
"""At most 25 MiB for any other."""


def test_what_ships_is_there_and_small() -> None:
    assert "default" in BUNDLES
    assert sum(path.stat().st_size for path in STORE.root.rglob("*") if path.is_file()) < 160 * 10**6


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_model_has_weights_figures_card_and_licence(reference: str) -> None:
    manifest = STORE.manifest(reference)
    weights = STORE.file(reference, "weights.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == manifest.sha256
    assert len(weights) <= MODEL_BYTES.get(manifest.name, 25 * 2**20)
    assert manifest.licence.note and manifest.data and manifest.command
    card = STORE.file(reference, "card.md").read_text()
    if manifest.name in DETAILS:
        assert manifest.labels != EMOTIONS and manifest.metrics and "## Figures" in card
        return
    assert manifest.labels == EMOTIONS
    for name, figures in manifest.metrics.items():
        if "accuracy" not in figures:  # correlations, which have a paragraph
            assert f"ratings of {name}, {figures['n']:,} examples" in card
            continue
        assert f"| {name} | {figures['n']:,} | {figures['accuracy']:.3f} [" in card
    assert manifest.licence.name in card


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_is_refused_where_commerce_is_meant(name: str) -> None:
    with pytest.raises(ModelStoreError, match="commercial"):
        LoadedBundle.load(STORE, STORE.bundle(name), device=pick_device("cpu"), licences="commercial")


@pytest.mark.slow
@pytest.mark.parametrize("name", BUNDLES)
def test_a_talking_face_is_read_by_all_modalities(name: str, tmp_path: Path) -> None:
    spoken = say("I am so happy to see you all here today, this is wonderful!")
    sound = np.concatenate([spoken, silence(2)])[: 16_000 * 6]
    path = make_scenes(tmp_path / "talk.mp4", [(portrait(), 4), (nobody(), 2)], sound)
    analyzer = published_analyzer(name)
    together = Options(people=False)  # the mouth of a picture does not move: it is not the one who speaks
    first, second = (analyzer.analyze(path, together) for _ in range(2))
    assert first.windows == second.windows
    window = first.windows[0]
    assert window.missing == () and {name for name in MODALITIES if getattr(window.modalities, name)} == set(MODALITIES)
    assert window.modalities.face and window.modalities.face.coverage > 0.9
    assert sum(window.probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert window.modalities.text and window.modalities.text.probabilities["happy"] > 0.5
    assert first.models.licence != "commercial"
