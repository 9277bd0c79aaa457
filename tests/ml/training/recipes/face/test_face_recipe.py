import csv
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ml.errors import InvalidManifest
from ml.explanation.face_attribution import grad_cam
from ml.inference.face.detector import FaceDetector
from ml.inference.face.predictor import FacePredictor, FaceSample
from ml.registry import ModelStore
from ml.training import cli
from ml.training.datasets.example import Example
from ml.training.loop import averaged_weights, history
from ml.training.recipes.face.augment import augment, random_shift
from ml.training.recipes.face.backbones import IMAGENET
from ml.training.recipes.face.config import FaceTrainConfig
from ml.training.recipes.face.data import (
    ABSENT_LABEL_OFFSET,
    build_face_data,
    load_crop,
    load_faces,
    read_side,
    served_crop,
)
from ml.training.recipes.face.recipe import FaceBatch, add_teacher_targets, mixup
from ml.vocabulary import EMOTIONS
from tests.face_files import nobody, portrait


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Noise pictures of each emotion: sixteen to train on, four to measure on."""
    random = np.random.default_rng(0)
    folder = tmp_path / "faces"
    folder.mkdir()
    with (folder / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "dataset", "split"])
        for number in range(20 * len(EMOTIONS)):
            name = f"{number}.png"
            cv2.imwrite(str(folder / name), random.integers(0, 255, (40, 40), dtype=np.uint8))
            rows.writerow([name, EMOTIONS[number % 7], "fer2013", "train" if number < 16 * 7 else "valid"])
    return folder


def _run(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> None:
    monkeypatch.chdir(folder)
    verb, *others = arguments
    small = ("--widths", "16", "16", "16", "24") if verb == "train" else ()
    args = cli.parser(verb).parse_args(["face", *others, *small, "--data", str(folder / "faces"), "--out", "run"])
    args.run(args)


def test_face_train_and_publish_gives_a_served_model(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = data.parent
    _run(monkeypatch, folder, "train", "--epochs", "1", "--batch", "56", "--threads", "1")
    assert len(history(folder / "run")) == 1
    _run(monkeypatch, folder, "publish", "--store", "store")
    store = ModelStore(folder / "store")
    assert store.manifest("face@1").metrics["fer2013"]["n"] == 28
    outputs = FacePredictor.load(store, "face@1", torch.device("cpu")).predict(
        [FaceSample(np.zeros((48, 48), np.uint8))]
    )
    assert np.exp(outputs.log_probabilities_NC).sum() == pytest.approx(1, abs=1e-5)

    _run(monkeypatch, folder, "publish", "--store", "store", "--beside", "face@1")
    assert store.manifest("face@2").architecture == "face_ensemble"
    both = FacePredictor.load(store, "face@2", torch.device("cpu"))
    crops = [np.random.default_rng(0).integers(0, 255, (48, 48), dtype=np.uint8)]
    twice, once = (
        FacePredictor.load(store, name, torch.device("cpu"))
        .predict([FaceSample(crop) for crop in crops])
        .log_probabilities_NC
        for name in ("face@2", "face@1")
    )
    assert np.allclose(twice, once, atol=2e-3), "a net beside itself answers as it does alone"
    assert both.embedding_size == 256 and grad_cam(both, crops).maps_NHW.shape == (1, 48, 48)


def imagenet(path: Path) -> dict[str, torch.Tensor]:
    """Weights in the layout of `efficientnet-lite0-57934424.pth`, saved under `path`."""
    torch.manual_seed(0)
    arrays: dict[str, torch.Tensor] = {}

    def layer(convolution: str, norm: str, channels: int, groups_in: int, side: int) -> None:
        arrays[f"{convolution}.weight"] = torch.randn(channels, groups_in, side, side) / (groups_in * side**2) ** 0.5
        for name, value in {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}.items():
            arrays[f"{norm}.{name}"] = torch.full((channels,), value)
        arrays[f"{norm}.num_batches_tracked"] = torch.tensor(1)

    layer("_conv_stem", "_bn0", 32, 3, 3)
    number, channels = 0, 32
    for widening, width, side, depth in (
        *((1, 16, 3, 1), (6, 24, 3, 2), (6, 40, 5, 2), (6, 80, 3, 3)),
        *((6, 112, 5, 3), (6, 192, 5, 4), (6, 320, 3, 1)),
    ):
        for _ in range(depth):
            name, wide = f"_blocks.{number}", channels * widening
            if widening > 1:
                layer(f"{name}._expand_conv", f"{name}._bn0", wide, channels, 1)
            layer(f"{name}._depthwise_conv", f"{name}._bn1", wide, 1, side)
            layer(f"{name}._project_conv", f"{name}._bn2", width, wide, 1)
            number, channels = number + 1, width
    layer("_conv_head", "_bn1", 1280, 320, 1)
    torch.save(arrays, path)
    return arrays


def test_face_train_loads_imagenet_and_learns_from_a_teacher(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = data.parent
    arrays = imagenet(folder / "start.pth")
    little = ("--epochs", "1", "--batch", "56", "--threads", "1", "--precision", "fp32")
    _run(monkeypatch, folder, "train", *little)
    _run(monkeypatch, folder, "publish", "--store", "store")
    shutil.rmtree(folder / "run")
    start = ("--imagenet", str(folder / "start.pth"), "--size", "32")
    _run(monkeypatch, folder, "train", *little, *start, "--taught-by", "face@1", "--store", "store")
    _run(monkeypatch, folder, "publish", "--store", "store", "--beside", "face@1")
    manifest = ModelStore(folder / "store").manifest("face@2")
    assert manifest.starts == (IMAGENET,) and "--teacher face@1" in manifest.command
    kernel = ModelStore(folder / "store").weights("face@2")["members.0.backbone.0.layer.conv.weight"]
    assert torch.allclose(kernel, arrays["_conv_stem.weight"].sum(1, keepdim=True), atol=2e-3), "the first stay"
    _run(monkeypatch, folder, "publish", "--store", "store", "--beside", "face@2")
    members = ModelStore(folder / "store").manifest("face@3").config["members"]
    kinds = [member["architecture"] for member in members]
    assert kinds == ["face_efficientnet", "face_efficientnet", "face_senet"], "each of several, none in another"
    _run(monkeypatch, folder, "publish", "--store", "store", "--beside", "face@2/face_senet")
    one = ModelStore(folder / "store").manifest("face@4")
    assert [member["architecture"] for member in one.config["members"]] == ["face_efficientnet", "face_senet"]
    assert one.command == manifest.command, "what made the one of several"
    assert "face@2 (" in one.licence.note


def test_face_train_starts_from_a_network_of_its_architecture_on_named_datasets(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = data.parent
    table = (data / "manifest.csv").read_text()
    rows = [f"{number}.png,{EMOTIONS[number % 7]},other,train" for number in range(56)]
    (data / "manifest.csv").write_text(table + "\n".join(rows) + "\n")
    little = ("--batch", "56", "--threads", "1", "--store", "store", "--epochs", "1", "--learning-rate", "1e-9")
    _run(monkeypatch, folder, "train", *little, "--sets", "fer2013")
    _run(monkeypatch, folder, "publish", "--store", "store")
    store = ModelStore(folder / "store")
    assert store.manifest("face@1").data == ("fer2013: 112 examples",), "the command names the sets, and the card"
    assert "--datasets fer2013 " in store.manifest("face@1").command
    _run(monkeypatch, folder, "publish", "--store", "store", "--beside", "face@1")
    (folder / "run").rename(folder / "first")
    for start, kernels in (("face@2", "face@1"), ("first", "face@1")):
        _run(monkeypatch, folder, "train", *little, "--start", start, "--taught-by", "face@1", "first")
        got = averaged_weights(folder / "run")["backbone.0.weight"]
        assert torch.allclose(got, store.weights(kernels)["backbone.0.weight"].float(), atol=2e-3)
        _run(monkeypatch, folder, "publish", "--store", "store")
        shutil.rmtree(folder / "run")
    with pytest.raises(InvalidManifest, match="no face_mobilenet"):
        _run(monkeypatch, folder, "train", *little, "--start", "face@2", "--backbone", "mobilenet")


def test_add_teacher_targets_mixes_half_of_the_answer(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = data.parent
    _run(monkeypatch, folder, "train", "--epochs", "1", "--batch", "56", "--threads", "1")
    _run(monkeypatch, folder, "publish", "--store", "store")
    crops = torch.randint(0, 256, (3, 48, 48), dtype=torch.uint8)
    faces = build_face_data(
        crops, [Example(label, name, "train") for label, name in (("happy", "one"), ("sad", "two"), ("sad", "one"))]
    )
    config = FaceTrainConfig(data=data, store=folder / "store", teacher=("face@1",), precision="fp32")
    told = add_teacher_targets(faces, config)
    assert torch.allclose(told.targets.sum(1), torch.ones(3))
    answers = 2 * told.targets - faces.targets
    assert answers[1, EMOTIONS.index("sad")] > 0.9, "the only label that its set has"
    assert answers[0, EMOTIONS.index("happy")] < 0.9 and (answers > 0).all()

    enlarged = crops.repeat_interleave(2, 1).repeat_interleave(2, 2)
    larger = build_face_data(enlarged, list(faces.examples), points=torch.rand(3, 468, 3))
    again = add_teacher_targets(larger, config)
    assert again.points is larger.points and again.crops is enlarged
    assert torch.allclose(again.targets, told.targets, atol=1e-5), "it is given what it knows: its size, no points"


def test_mixup_blends_pictures_and_targets_alike() -> None:
    torch.manual_seed(0)
    shades = torch.eye(4)
    drawn = FaceBatch(shades[:, None, :, None], shades, -3 * shades, shades.sum(1), torch.rand(4, 468, 3))
    found = mixup(drawn, 0.2)
    assert torch.equal(found.images_N1HW[:, 0, :, 0], found.targets_NC), "as much of the picture as of its target"
    assert torch.allclose(found.offsets_NC, -3 * found.targets_NC) and torch.allclose(found.weights_N, torch.ones(4))
    assert (found.targets_NC.diagonal() >= 0.5).all() and (found.targets_NC.diagonal() < 1).any()
    assert torch.allclose(found.targets_NC.sum(1), torch.ones(4))
    assert found.points_NP3 is drawn.points_NP3


def test_build_face_data_offsets_absent_labels() -> None:
    examples = [Example("happy", "three", "train"), Example("sad", "three", "train"), Example("fear", "one", "train")]
    faces = build_face_data(torch.zeros(3, 8, 8, dtype=torch.uint8), examples)
    offsets = dict(zip(EMOTIONS, faces.offsets[0].tolist(), strict=True))
    assert offsets["happy"] == offsets["sad"] == 0 and offsets["neutral"] == offsets["fear"] == ABSENT_LABEL_OFFSET
    assert (faces.offsets[2] == 0).sum() == 1


def test_face_train_refuses_a_checkpoint_of_another_run(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(monkeypatch, data.parent, "train", "--epochs", "1", "--batch", "56", "--threads", "1")
    with pytest.raises(InvalidManifest, match="another configuration"):
        _run(monkeypatch, data.parent, "train", "--epochs", "2", "--batch", "56", "--threads", "1")


def test_load_faces_caches_crops_of_unchanged_pictures(data: Path, tmp_path: Path) -> None:
    cache, other = tmp_path / "kept", tmp_path / "other"
    shutil.copytree(data, other)
    examples = [Example("sad", "fer2013", "train", path=data / f"{number}.png") for number in range(3)]
    crops = load_faces(examples, 48, cache).crops
    assert torch.equal(load_faces(examples, 48, cache).crops, crops) and len(list(cache.iterdir())) == 1
    assert torch.equal(load_faces(examples[::-1], 48, cache).crops, crops.flip(0))
    shutil.copyfile(data / "9.png", other / "0.png")
    others = [replace(example, path=other / str(example.path and example.path.name)) for example in examples]
    assert not torch.equal(load_faces(others, 48, cache).crops[0], crops[0])
    shutil.copyfile(data / "9.png", data / "0.png")
    assert not torch.equal(load_faces(examples, 48, cache).crops[0], crops[0])


def test_load_faces_interrupted_leaves_no_cache(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path, crops: np.ndarray) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    examples = [Example("sad", "fer2013", "train", path=data / "0.png")]
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(np, "save", broken)
        load_faces(examples, 48, tmp_path / "kept")
    assert len(load_faces(examples, 48, tmp_path / "kept").crops) == 1


def test_face_train_unreadable_data_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidManifest, match="--mixup is 0 or more"):
        _run(monkeypatch, data.parent, "train", "--epochs", "1", "--mixup", "-1")
    (data / "5.png").write_bytes(b"nothing")
    with pytest.raises(InvalidManifest, match=r"5\.png cannot be read"):
        _run(monkeypatch, data.parent, "train", "--epochs", "1")
    (data / "manifest.csv").write_text("path,label,dataset,split\n")
    with pytest.raises(InvalidManifest, match="lists no face"):
        _run(monkeypatch, data.parent, "train", "--epochs", "1")
    (data / "manifest.csv").unlink()
    with pytest.raises(InvalidManifest, match=r"no manifest\.csv"):
        _run(monkeypatch, data.parent, "train", "--epochs", "1")


def test_read_side_removes_held_out_duplicates_from_training(data: Path) -> None:
    shutil.copyfile(data / f"{16 * 7}.png", data / "0.png")
    config = FaceTrainConfig(data=data, cache=data.parent / "kept")
    learnt, held_out = (read_side(config, 48, training=side, landmarks=False) for side in (True, False))
    assert {example.path for example in learnt.examples} == {data / f"{number}.png" for number in range(1, 16 * 7)}
    assert len(held_out.crops) == 4 * 7


def test_augment_paints_the_surround_of_masked_faces() -> None:
    torch.manual_seed(0)
    masked = torch.zeros(64, 48, 48, dtype=torch.uint8)
    masked[:, 12:36, 12:36] = 200
    bright = torch.full((64, 48, 48), 200, dtype=torch.uint8)
    crops = torch.cat([masked, bright])
    plain = random_shift(crops, strength=0)
    assert plain[:64].mean() < 0.3 < plain[64:].mean()
    painted = augment(crops, torch.arange(128) < 64, strength=0)[:64]
    assert painted.mean() > plain[:64].mean() + 0.1
    left = augment(crops, torch.arange(128) < 64, strength=0, painted=0)[:64]
    assert left.mean() < plain[:64].mean() + 0.1


def test_random_shift_strength_zero_only_mirrors() -> None:
    crops = torch.randint(0, 256, (8, 48, 48), dtype=torch.uint8)
    images, plain = random_shift(crops, strength=0).squeeze(1), crops / 255
    same = torch.isclose(images, plain, atol=1e-4).all((1, 2)) | torch.isclose(images, plain.flip(-1), atol=1e-4).all(
        (1, 2)
    )
    assert same.all()


def test_random_shift_together_changes_frames_alike() -> None:
    torch.manual_seed(0)
    still = torch.randint(0, 256, (1, 48, 48), dtype=torch.uint8).expand(6, 48, 48)
    together, apart = random_shift(still, together=True), random_shift(still)
    assert torch.equal(together, together[:1].expand_as(together)), "a face that does not move still does not"
    assert (apart[1:] - apart[:1]).abs().amax(dim=(1, 2, 3)).min() > 0.05
    assert (together[0] - still[0] / 255).abs().max() > 0.05


def test_served_crop_large_pictures_are_cropped_as_in_the_service(tmp_path: Path) -> None:
    for name, image in {"large": portrait(), "wall": nobody()}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), image[..., ::-1])
    with FaceDetector(48) as detector:
        (face,) = detector.detect(portrait(), 1)
    large, wall = tmp_path / "large.png", tmp_path / "wall.png"
    assert np.array_equal(served_crop(Example("sad", "mine", "train", large), 48), face.crop)
    assert np.array_equal(served_crop(Example("sad", "mine_masked", "train", large), 48), load_crop(large, 48))
    assert np.array_equal(served_crop(Example("sad", "mine", "train", wall), 48), load_crop(wall, 48))
