import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ml.errors import InvalidManifest
from ml.networks.face_identity import IDENTITY_SIZE, IdentityConfig, IdentityNet
from ml.training.recipes.identity.data import varied
from ml.training.recipes.identity.figures import PAIRS, pair_figures, pairs_of
from ml.training.recipes.identity.start import load_start, measure_norms, read_arrays

PEOPLE = [f"person {number // 6}" for number in range(360)]


def start_file(folder: Path) -> Path:
    """Write random weights in the layout of face-api.js and return their manifest."""
    chooser = np.random.default_rng(0)
    names = [f"conv32_{number}" for number in (1, 2, 3)] + ["conv64_down", "conv64_1", "conv64_2", "conv64_3"]
    names += ["conv128_down", "conv128_1", "conv128_2", "conv256_down", "conv256_1", "conv256_2", "conv256_down_out"]
    layers, before = {"conv32_down": (7, 3, 32)}, 32
    for name in names:
        channels = int(name[4:].split("_")[0])
        layers |= {f"{name}/conv1": (3, before, channels), f"{name}/conv2": (3, channels, channels)}
        before = channels
    shapes: dict[str, tuple[int, ...]] = {"fc": (256, IDENTITY_SIZE)}
    for name, (side, channels_in, channels) in layers.items():
        shapes |= {f"{name}/conv/filters": (side, side, channels_in, channels), f"{name}/conv/bias": (channels,)}
        shapes |= {f"{name}/scale/weights": (channels,), f"{name}/scale/biases": (channels,)}
    content, entries = b"", []
    for name, shape in shapes.items():
        kept = {"dtype": "uint8", "scale": 0.002, "min": -0.2}
        content += chooser.integers(0, 255, int(np.prod(shape)), dtype=np.uint8).tobytes()
        entries.append({"name": name, "shape": shape, "dtype": "float32", "quantization": kept})
    (folder / "start.bin").write_bytes(content)
    path = folder / "start.json"
    path.write_text(json.dumps([{"paths": ["start.bin"], "weights": entries}]))
    return path


def test_load_start_fills_every_layer_and_measured_norms_change_no_answer(tmp_path: Path) -> None:
    network = IdentityNet(IdentityConfig(112)).eval()
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    load_start(network, read_arrays(start_file(tmp_path)))
    assert all(
        not torch.equal(value, fresh[name])
        for name, value in network.state_dict().items()
        if name.endswith((".weight", ".bias"))
    )
    chips = torch.rand(4, 1, 112, 112)
    with torch.inference_mode():
        before = network.features(chips)
        measure_norms(network, chips)
        after = network.features(chips)
    assert torch.allclose(before, after, rtol=1e-2, atol=1e-3 * float(before.abs().max()))
    assert float(network.stem.norm.running_var.mean()) != 1.0  # type: ignore[union-attr]


@pytest.mark.parametrize("content", ["{}", "[{}]", "no", '[{"paths": ["missing.bin"], "weights": []}]'])
def test_read_arrays_refuses_other_files(tmp_path: Path, content: str) -> None:
    path = tmp_path / "start.json"
    path.write_text(content)
    with pytest.raises(InvalidManifest):
        read_arrays(path)


def test_pairs_are_the_same_each_time_half_of_one_person_and_none_twice() -> None:
    pairs, is_same = pairs_of(PEOPLE)
    again, _ = pairs_of(PEOPLE)
    assert np.array_equal(pairs, again)
    assert len(pairs) <= PAIRS
    assert is_same.mean() == 0.5
    assert all(
        (PEOPLE[one] == PEOPLE[other]) == same for (one, other), same in zip(pairs.tolist(), is_same, strict=True)
    )
    assert len({tuple(sorted(pair)) for pair in pairs[is_same].tolist()}) == is_same.sum()


def test_pair_figures_of_vectors_that_tell_people_apart_and_of_chance() -> None:
    chooser = np.random.default_rng(0)
    own = {person: chooser.normal(size=IDENTITY_SIZE) for person in PEOPLE}
    clear = np.array([own[person] + 0.1 * chooser.normal(size=IDENTITY_SIZE) for person in PEOPLE], np.float32)
    chance = chooser.normal(size=(len(PEOPLE), IDENTITY_SIZE)).astype(np.float32)
    figures, guessed = (
        pair_figures(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), PEOPLE) for vectors in (clear, chance)
    )
    assert figures["accuracy"] > 0.99
    assert figures["found_at_0.001"] > 0.99
    assert guessed["accuracy"] < 0.6
    assert figures["people"] == 60


def test_varied_crops_keep_their_shape_and_differ() -> None:
    crop = np.random.default_rng(0).integers(0, 255, (96, 96), dtype=np.uint8)
    chooser = np.random.default_rng(1)
    views = [varied(crop, chooser) for _ in range(20)]
    assert {view.shape for view in views} == {(96, 96)}
    assert {view.dtype for view in views} == {np.dtype(np.uint8)}
    assert len({view.tobytes() for view in views}) > 15
