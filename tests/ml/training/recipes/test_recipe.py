"""What all recipes share: parts to measure, and licences."""

import inspect
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ml.errors import InvalidManifest
from ml.registry import ModelStore
from ml.training.config import TrainConfig
from ml.training.datasets.example import Example
from ml.training.recipes.audio import recipe as audio
from ml.training.recipes.audio.config import AudioTrainConfig
from ml.training.recipes.face import recipe as face
from ml.training.recipes.face.config import FaceTrainConfig
from ml.training.recipes.fusion import recipe as fusion
from ml.training.recipes.fusion.config import FusionTrainConfig
from ml.training.recipes.recipe import SUBJECTS, Recipe, Subject, find, licence_of, parts_of, restrictions
from ml.training.recipes.text import recipe as text
from ml.training.recipes.text.config import TextTrainConfig
from tests.toy_models import publish_face


def test_parts_of_separates_validation_from_test() -> None:
    examples = [
        Example("happy", "one", "valid"),
        Example("sad", "one", "test"),
        Example("sad", "two", "test"),
        Example("happy", "one", "valid"),
    ]
    assert parts_of(examples) == {"one, test": [1], "one, valid": [0, 3], "two": [2]}


def test_licence_of_restricted_models_refuse_commercial_use(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    research, free = publish_face(store), publish_face(store, commercial=True)
    run = tmp_path / "run"
    run.mkdir()
    (run / "history.json").write_text(json.dumps({"settings": {"restricted": ["teacher@1 (research)"]}, "epochs": []}))
    assert restrictions(store, [free]) == []
    found = restrictions(store, [research, str(run), research, free])
    assert [name.split()[0] for name in found] == [research, "teacher@1"]

    config = TrainConfig(data=tmp_path, commercial=True, licence="CC0-1.0")
    assert licence_of(config, "note").commercial
    with pytest.raises(InvalidManifest, match=research):
        licence_of(config, "note", found)
    licence = licence_of(replace(config, commercial=False), "Research.", found)
    assert not licence.commercial and licence.note.startswith("Research. Made with") and "teacher@1" in licence.note


@pytest.mark.parametrize("subject", SUBJECTS)
def test_recipe_module_has_the_interface(subject: Subject) -> None:
    module = find(subject)
    for name in ("plans", "held_out", "publish", "space"):
        wanted, found = (list(inspect.signature(getattr(each, name)).parameters) for each in (Recipe, module))
        assert found == wanted[1:], name
    assert issubclass(module.config_type, TrainConfig)


def test_recipes_satisfy_the_protocol_statically() -> None:
    """The assignments are what a type checker reads."""
    recipes: tuple[Recipe[FaceTrainConfig], Recipe[AudioTrainConfig], Recipe[TextTrainConfig]] = (face, audio, text)
    joined: Recipe[FusionTrainConfig] = fusion
    assert len({*recipes, joined}) == len(SUBJECTS)
