import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ml.errors import InvalidManifest
from ml.networks.face import FaceConfig, FaceNet
from ml.networks.face_ensemble import build_ensemble
from ml.networks.registry import config_to_dict
from ml.registry import ModelStore
from ml.training import cli
from ml.training.datasets.example import Example
from ml.training.recipes.face.config import FaceTrainConfig
from ml.training.recipes.face.data import build_face_data, list_examples
from ml.training.recipes.face.heads import HeadBatch, freeze_backbones, head_loss, open_start, pooled_features
from ml.vocabulary import EMOTIONS

SMALL = FaceConfig(size=32, widths=(16, 16), depths=(1, 1), embedding=8)


def ensemble(*views: str) -> torch.nn.Module:
    torch.manual_seed(0)
    nets = [FaceNet(SMALL), FaceNet(FaceConfig(size=16, widths=(16, 24), depths=(1, 1), embedding=4))]
    return build_ensemble([("face_senet", config_to_dict(net.config), net) for net in nets], views)  # type: ignore[arg-type]


def crops(count: int) -> torch.Tensor:
    random = np.random.default_rng(0)
    return torch.from_numpy(random.integers(0, 255, (count, 32, 32), dtype=np.uint8))


@pytest.mark.parametrize("views", [(), ("plain", "mirrored")])
def test_classify_of_pooled_features_is_the_forward_pass(views: tuple[str, ...]) -> None:
    network, images = ensemble(*views), crops(3).unsqueeze(1).float() / 255
    with torch.inference_mode():
        for apart, whole in zip(network.classify(network.pool(images)), network(images), strict=True):  # type: ignore[operator]
            assert torch.allclose(apart, whole, atol=1e-5)


def test_pool_refuses_members_with_several_views() -> None:
    with pytest.raises(ValueError, match="several views"):
        ensemble("plain", "both").pool(torch.zeros(1, 1, 32, 32))  # type: ignore[operator]


def test_training_heads_changes_neither_backbones_nor_norms() -> None:
    network = ensemble()
    freeze_backbones(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.inference_mode():
        pooled = network.pool(crops(16).unsqueeze(1).float() / 255)  # type: ignore[operator]
    batch = HeadBatch(pooled.clone(), torch.eye(7)[torch.arange(16) % 7], torch.zeros(16, 7), torch.ones(16))
    optimizer = torch.optim.SGD([each for each in network.parameters() if each.requires_grad], lr=0.5)
    network.train()
    head_loss(network, batch).backward()
    optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.split(".")[2] in ("embed", "head") for name in changed)
    assert not any("running" in name for name in changed)


def test_pooled_features_are_kept(tmp_path: Path) -> None:
    network, config = ensemble(), FaceTrainConfig(data=tmp_path, cache=tmp_path / "cache", start="face@1")
    examples = [Example("happy", "own", "train", path=tmp_path / f"{place}.png") for place in range(3)]
    faces = build_face_data(crops(3), examples)
    first = pooled_features(network, faces, config)
    assert first.shape == (3, 40) and torch.equal(first, pooled_features(ensemble(), faces, config))
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_open_start_needs_a_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="--start"):
        open_start(FaceTrainConfig(data=tmp_path, tune="heads"))


def test_weights_of_data_sets_are_of_each_as_a_whole() -> None:
    examples = [Example("happy", "large", "train")] * 6 + [Example("sad", "small", "train")] * 2
    weights = build_face_data(crops(8), examples, None, {"large": 1.0, "small": 0.5}).weights
    assert float(weights.mean()) == pytest.approx(1)
    assert float(weights[:6].sum()) == pytest.approx(2 * float(weights[6:].sum()))


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="NAME=WEIGHT"):
        _ = FaceTrainConfig(data=tmp_path, dataset_weights=("fer2013",)).weight_by_dataset


def test_people_who_are_left_out_are_test_examples(tmp_path: Path) -> None:
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "dataset", "split"])
        for place, name in enumerate(("Anna_1", "Anna_2", "Bert_1")):
            cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((8, 8), place, np.uint8))
            rows.writerow([f"{name}.png", EMOTIONS[place], "indian_film", "train"])
    listed = list_examples(FaceTrainConfig(data=tmp_path, leave_out=("indian_film/Anna",)))
    assert [example.split for example in listed] == ["test", "test", "train"]


@pytest.mark.slow
def test_tuned_heads_are_published_with_the_origin_of_their_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, data = np.random.default_rng(0), tmp_path / "faces"
    data.mkdir()
    with (data / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "dataset", "split"])
        for number in range(140):
            name, dataset = f"P{number % 5}_{number}.png", ("fer2013", "indian_film")[number % 2]
            cv2.imwrite(str(data / name), random.integers(0, 255, (40, 40), dtype=np.uint8))
            split = "valid" if number % 10 == 0 else "train"
            rows.writerow([name, EMOTIONS[number % 7], dataset, split])
    monkeypatch.chdir(tmp_path)

    def run(verb: str, *words: str) -> None:
        arguments = ["face", "--data", str(data), "--store", "store", "--epochs", "1", "--batch-size", "16", *words]
        args = cli.parser(verb).parse_args(arguments)
        args.run(args)

    run("train", "--out", "first", "--widths", "16", "16", "16", "24", "--datasets", "fer2013")
    run("publish", "--out", "first")
    tuning = ("--out", "heads", "--start", "face@1", "--tune", "heads")
    run("train", *tuning, "--dataset-weights", "fer2013=1", "indian_film=.2", "--leave-out", "indian_film/P1")
    run("publish", *tuning)
    manifest = ModelStore(tmp_path / "store").manifest("face@2")
    assert "--tune heads" in manifest.command and "--leave-out indian_film/P1" in manifest.command
    assert manifest.metrics["indian_film"]["n"] == 14, "the person who was left out"
    assert [name.partition(":")[0] for name in manifest.data] == ["fer2013", "indian_film"]
    first, second = (ModelStore(tmp_path / "store").network(name).state_dict() for name in ("face@1", "face@2"))
    assert all(torch.equal(first[name], second[name]) for name in first if name.startswith("backbone"))
    assert not torch.equal(first["head.1.weight"], second["head.1.weight"])
