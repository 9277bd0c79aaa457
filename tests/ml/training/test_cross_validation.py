from pathlib import Path

import pytest

from ml.__main__ import main
from ml.errors import InvalidManifest
from ml.registry import Manifest
from ml.training import cli
from ml.training.cross_validation import fold_config
from ml.training.datasets.example import Example
from ml.training.datasets.manifest import read_examples, write_examples
from ml.training.recipes.audio.config import AudioTrainConfig
from ml.training.recipes.face.config import FaceTrainConfig
from tests.toy_models import make_store

AUDIO = "python -m ml train audio --architecture audio_cnn"
FACE = "python -m ml train face --epochs 9 --learning-rate 0.003 --size 64"
LEGACY = "python -m ml.training.recipes.face train --epochs 10"


def published(command: str) -> Manifest:
    return Manifest.model_construct(name="net", version=3, command=command)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list of four speakers."""
    examples = [Example("happy", "made", "train", path=tmp_path / f"{n}.wav", speaker=f"s{n}") for n in range(4)]
    write_examples(tmp_path / "list.csv", examples)
    return tmp_path / "list.csv"


def test_fold_config_list_gets_its_own_split(listed: Path) -> None:
    for fold in range(2):
        out = listed.parent / f"fold-{fold}"
        config = fold_config("audio", published(f"{AUDIO} --fold 0 --epochs 3"), listed, fold, 2, out, [])
        assert isinstance(config, AudioTrainConfig) and config.epochs == 3
        assert config.fold is None, "the recipe splits no list anew that is split"
        assert [e.split == "valid" for e in read_examples(config.data)] == [n % 2 == fold for n in range(4)]


@pytest.mark.parametrize("teacher", ["--taught-by", "--teacher"])
def test_fold_config_leaves_out_start_and_teacher(teacher: str, listed: Path) -> None:
    command = f"{FACE} {teacher} face@1 face@2 runs/a --warm-up 0.1 --start face@1 --votes 0.3"
    config = fold_config("face", published(f"{LEGACY}; then {command}"), listed, 0, 2, listed.parent, [])
    assert isinstance(config, FaceTrainConfig) and (config.start, config.teacher) == (None, ())
    assert (config.epochs, config.size, config.warm_up, config.votes_share) == (9, 64, 0.1, 0.3)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (f"{FACE} (stopped after 3)", ["--epochs", "3"]),
        (LEGACY, ["--epochs", "3", "--learning-rate", "0.01"]),
        (f"{FACE}; and {FACE} --size 96", ["--epochs", "3", "--learning-rate", "0.01"]),
        (f"{LEGACY}; then {LEGACY}; and {FACE}", ["--epochs", "3", "--learning-rate", "0.01"]),
    ],
)
def test_fold_config_incomplete_command_names_missing_options(command: str, told: list[str], listed: Path) -> None:
    for lacking in range(0, len(told), 2):
        with pytest.raises(InvalidManifest, match=f"net@3 .*--set .*{told[lacking].removeprefix('--')}=…"):
            extra = told[:lacking] + told[lacking + 2 :]
            fold_config("face", published(command), listed, 0, 2, listed.parent, extra)
    assert fold_config("face", published(command), listed, 0, 2, listed.parent, told).epochs == 3


@pytest.mark.parametrize(
    ("command", "extra", "told"),
    [
        (f"{FACE} --gone 3", [], "--gone 3; --set changes it"),
        (f"{FACE} --size large", [], "--size"),
        (FACE, ["--epoch", "3"], "--epoch 3"),
        (FACE, ["--fold", "1"], "each fold in turn"),
    ],
)
def test_fold_config_unknown_words_are_named(command: str, extra: list[str], told: str, listed: Path) -> None:
    with pytest.raises(InvalidManifest, match=told):
        fold_config("face", published(command), listed, 0, 2, listed.parent, extra)


def test_fold_config_collected_voices_need_five_folds(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="--folds 5"):
        fold_config("audio", published(AUDIO), tmp_path, 0, 4, tmp_path, [])
    config = fold_config("audio", published(f"{AUDIO} --fold 0"), tmp_path, 2, 5, tmp_path, [])
    assert isinstance(config, AudioTrainConfig) and config.fold == 2


def test_evaluate_set_changes_options_of_zero_one_and_several_values(
    listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, given = make_store(listed.parent / "store"), []

    def stop(*words: object) -> None:
        given.extend(words[-1])  # type: ignore[arg-type]
        raise InvalidManifest("seen")

    monkeypatch.setattr(cli, "evaluate_folds", stop)
    words = ["evaluate", "face", "--folds", "2", "--manifest", str(listed), "--store", str(store), "--crops"]
    assert main([*words, "--set", "epochs=2", "served=", "widths=16 16 16 24"]) == 1
    assert given[:3] == ["--store", str(store), "--crops"]
    assert given[3:] == ["--epochs", "2", "--served", "--widths", "16", "16", "16", "24"]
