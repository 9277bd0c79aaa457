import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ml.__main__ import main
from ml.errors import InvalidManifest
from ml.registry import ModelStore
from ml.training.calibration import Calibration, calibrate, fingerprint
from ml.training.config import TrainConfig
from ml.training.datasets.example import Example
from ml.training.options import option
from ml.training.recipes import recipe
from ml.training.recipes.face.config import FaceTrainConfig
from ml.training.recipes.recipe import HeldOut
from ml.training.recipes.text.config import TextTrainConfig
from ml.vocabulary import EMOTIONS
from tests.toy_models import make_store


def held_out(sharpness: float, split: str = "valid") -> HeldOut:
    """Logits whose softmax would be true, made too sure by a factor."""
    torch.manual_seed(0)
    true = torch.randn(4_000, 7) * 2
    labels = torch.distributions.Categorical(logits=true).sample()
    return HeldOut(true * sharpness, [Example(EMOTIONS[int(label)], "made", split) for label in labels])  # type: ignore[arg-type]


def test_calibrate_recovers_the_temperature(tmp_path: Path) -> None:
    found = calibrate(held_out(3.0))
    assert found.temperature == pytest.approx(3.0, rel=0.05)
    assert found.ece_before > 0.1 and found.ece_after < 0.03 and found.n == 4_000
    found.write(tmp_path, "a run")
    assert Calibration.read(tmp_path, "a run") == found
    assert Calibration.read(tmp_path, "another run") is None
    assert Calibration.read(tmp_path / "none", "a run") is None


def beside(one: HeldOut, other: HeldOut) -> HeldOut:
    others = [replace(example, dataset="other") for example in other.examples]
    return HeldOut(torch.cat([one.logits_NC, other.logits_NC]), [*one.examples, *others])


def test_calibrate_weighs_data_sets_alike() -> None:
    both = beside(held_out(1.0), held_out(3.0).select(list(range(400))))
    alike = HeldOut(both.logits_NC, [replace(example, dataset="made") for example in both.examples])
    assert calibrate(alike).temperature < 1.5 < calibrate(both).temperature


def test_calibrate_data_set_without_a_label_counts_only_if_all_lack_one() -> None:
    whole, sure = held_out(1.0), held_out(3.0)
    lacking = [row for row, example in enumerate(sure.examples) if example.label != "fear"]
    assert calibrate(beside(whole, sure.select(lacking))).temperature == pytest.approx(calibrate(whole).temperature)
    known = [row for row, example in enumerate(whole.examples) if example.label != "sad"]
    assert calibrate(beside(whole.select(known), sure.select(lacking))).temperature > 1.5


def test_calibrate_without_validation_part_is_refused() -> None:
    with pytest.raises(InvalidManifest, match="no validation part"):
        calibrate(held_out(1.0, "test"))


def make_config(folder: Path, config_type: type[TrainConfig] = FaceTrainConfig, **changed: Any) -> TrainConfig:
    """Return the configuration of a run in `folder`, on a list."""
    (folder / "run").mkdir(exist_ok=True)
    (folder / "run" / "history.json").write_text("{}")
    (folder / "list.csv").write_text("path,label")
    folders = {"out": folder / "run", "data": folder / "list.csv", "store": folder / "store"}
    return config_type(**folders | changed)


@pytest.mark.parametrize(
    ("config_type", "changed"),
    [
        (FaceTrainConfig, {"ensemble_with": ("face@2",)}),
        (TextTrainConfig, {"soup_with": ("text@1",)}),
        (TextTrainConfig, {"soup_share": 0.2}),
        (FaceTrainConfig, {"served": True}),
        (FaceTrainConfig, {"data": Path("other")}),
    ],
)
def test_fingerprint_changes_with_models_and_data(
    config_type: type[TrainConfig], changed: dict[str, Any], tmp_path: Path
) -> None:
    before = fingerprint(make_config(tmp_path, config_type))
    assert fingerprint(make_config(tmp_path, config_type, name="mine", threads=2)) == before
    assert fingerprint(make_config(tmp_path, config_type, **changed)) != before


def test_fingerprint_of_an_earlier_release_is_equal(tmp_path: Path) -> None:
    """It was made of the text of command line arguments, by these keys; those that a recipe does not have were None."""
    absent = dict.fromkeys(("beside", "soup", "soup_share", "models", "whisper", "store", "served", "crops"), "None")
    store = {"store": str(tmp_path / "store")}
    for config, named in (
        (make_config(tmp_path), {"beside": "[]", "served": "False", "crops": "False"}),
        (
            make_config(tmp_path, ensemble_with=("face@2",)),
            {"beside": "['face@2']", "served": "False", "crops": "False"},
        ),
        (make_config(tmp_path, TextTrainConfig, soup_with=("text@1",)), {"soup": "['text@1']", "soup_share": "None"}),
    ):
        settings = {"fit": 2, "data": str((tmp_path / "list.csv").resolve()), **absent, **store, **named}
        content = json.dumps(settings).encode() + b"{}" + b"path,label"
        assert fingerprint(config) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("file", ["run/history.json", "list.csv"])
def test_fingerprint_changes_with_run_and_list(file: str, tmp_path: Path) -> None:
    config = make_config(tmp_path)
    before = fingerprint(config)
    (tmp_path / file).write_text("more")
    assert fingerprint(config) != before


@dataclass(frozen=True, kw_only=True)
class ToyConfig(TrainConfig):
    data: Path = option(help="list", default=Path("list.csv"))
    out: Path = option(help="run", default=Path("run"))
    store: Path = option(help="store", default=Path("store"))
    ensemble_with: tuple[str, ...] = option(help="others", alias="--beside", default=())


class Toy:
    """A recipe whose nets are the surer, the more stand beside the run."""

    def __init__(self, store: Path) -> None:
        self.store, self.asked, self.temperatures = ModelStore(store), 0, list[float]()

    config_type = ToyConfig

    def held_out(self, config: ToyConfig, splits: object) -> HeldOut:
        self.asked += 1
        return held_out(2.0 + len(config.ensemble_with))

    def publish(self, config: ToyConfig, temperature: float, folds: object) -> str:
        self.temperatures.append(temperature)
        return "face@1"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """With a finished run."""
    monkeypatch.chdir(tmp_path)
    make_config(tmp_path)
    (tmp_path / "run" / "checkpoint.pt").touch()
    toy = Toy(make_store(tmp_path / "store"))
    monkeypatch.setattr(recipe, "find", lambda _: toy)
    return toy


def test_publish_fits_again_after_a_change(toy: Toy) -> None:
    for words in ([], [], ["--beside", "face@1"]):
        assert main(["publish", "face", *words]) == 0
    assert toy.temperatures == pytest.approx([2.0, 2.0, 3.0], rel=0.05) and toy.asked == 2
    Path("run/history.json").write_text("a resumed run")
    assert main(["publish", "face"]) == 0 and toy.asked == 3


def test_publish_wrong_bundle_publishes_nothing(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish", "face", "--bundle", "mine", "--base", "nowhere"]) == 1
    assert "nowhere" in capsys.readouterr().err and not toy.temperatures
    assert main(["publish", "face", "--bundle", "mine"]) == 0
    assert toy.store.bundle("mine").face == "face@1"


def test_publish_run_without_a_finished_epoch_is_refused(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    Path("run/checkpoint.pt").unlink()
    for verb in ("calibrate", "publish"):
        assert main([verb, "face"]) == 1
        assert "train first" in capsys.readouterr().err and not toy.asked
