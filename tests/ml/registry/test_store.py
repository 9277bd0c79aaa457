from pathlib import Path

import pytest
import torch

from ml.errors import ModelStoreError
from ml.networks import build
from ml.registry import Bundle, Licence, ModelDescription, ModelStore
from ml.vocabulary import EMOTIONS
from tests.toy_models import with_model


def draft(name: str = "face") -> ModelDescription:
    return ModelDescription(
        name=name,
        architecture="face_senet",
        config={},
        labels=EMOTIONS,
        preprocessing={},
        metrics={},
        data=("made",),
        command="none",
        licence=Licence(name="none", commercial=True, note="made in a test"),
    )


WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor([3])}


def test_publish_weights_are_read_back(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    assert store.publish(draft(), WEIGHTS, "# card", {"tokenizer.json": b"{}"}) == "face@1"
    loaded = store.weights("face@1")
    assert loaded["a"].dtype == torch.float32 and torch.equal(loaded["a"], WEIGHTS["a"])
    assert torch.equal(loaded["steps"], WEIGHTS["steps"])
    assert store.file("face@1", "tokenizer.json").read_bytes() == b"{}"
    assert store.manifest("face@1").licence.commercial


def test_publish_counts_versions_and_leaves_no_staging(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    assert [store.publish(draft(), WEIGHTS, "") for _ in range(3)] == ["face@1", "face@2", "face@3"]
    assert store.versions("face") == [1, 2, 3] and store.names() == ["face"]
    assert sorted(path.name for path in (tmp_path / "face").iterdir()) == ["1", "2", "3"]


def test_weights_damaged_raises(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    store.publish(draft(), WEIGHTS, "")
    path = tmp_path / "face" / "1" / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelStoreError, match="damaged"):
        store.weights("face@1")


def test_network_has_its_weights_or_raises(tmp_path: Path) -> None:
    store, made = ModelStore(tmp_path), build("face_senet", {})
    store.publish(draft(), made.half().state_dict(), "")
    found = store.network("face@1").state_dict()
    assert all(torch.equal(found[name], tensor.to(found[name].dtype)) for name, tensor in made.state_dict().items())
    store.publish(draft(), WEIGHTS, "")
    with pytest.raises(ModelStoreError, match="weights of face@2 do not fit"):
        store.network("face@2")


@pytest.mark.parametrize("reference", ["face", "face@", "@1", "face@x", "../face@1", "face@9"])
def test_manifest_of_a_wrong_reference_raises(tmp_path: Path, reference: str) -> None:
    with pytest.raises(ModelStoreError):
        ModelStore(tmp_path).manifest(reference)


def test_publish_too_large_weights_leaves_no_version(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    with pytest.raises(ModelStoreError, match="larger"):
        store.publish(draft(), {"a": torch.zeros(26 * 2**20)}, "")
    assert store.versions("face") == []


def test_write_bundle_replaces_the_whole_bundle(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    first = Bundle(name="default", face="face@1", audio=None, text=None, fusion=None)
    store.write_bundle(first)
    store.write_bundle(with_model(first, "face", "face@2"))
    assert store.bundle("default").models() == {"face": "face@2"}
    assert store.bundle("default").digest != first.digest
    with pytest.raises(ModelStoreError):
        store.bundle("other")


@pytest.mark.parametrize("name", ["My_Bundle", "../x", ""])
def test_replacing_with_an_invalid_name_raises(name: str) -> None:
    first = Bundle(name="default", face="face@1", audio=None, text=None, fusion="fusion@1")
    assert first.replacing("mine", "face", "face@2").fusion is None
    with pytest.raises(ModelStoreError, match="no bundle is named"):
        first.replacing(name, "face", "face@2")


def test_publish_int8_keeps_each_row_of_a_matrix_within_half_a_step(tmp_path: Path) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(6, 40) * torch.logspace(-4, 2, 6)[:, None]
    weights = {"layer.weight": matrix, "layer.bias": torch.ones(6), "zeros": torch.zeros(2, 3)}
    store = ModelStore(tmp_path)
    reference = store.publish(draft(), weights, "", int8=True)
    loaded = store.weights(reference)
    assert set(loaded) == set(weights) and loaded["layer.weight"].dtype == torch.float32
    steps = matrix.abs().amax(1, keepdim=True) / 127
    assert ((loaded["layer.weight"] - matrix).abs() <= 0.51 * steps).all()
    assert torch.equal(loaded["zeros"], weights["zeros"]) and torch.equal(loaded["layer.bias"], weights["layer.bias"])
    size = (tmp_path / "face" / "1" / "weights.safetensors").stat().st_size
    assert size < matrix.numel() + 1_000


def test_with_further_text_takes_the_place_of_an_earlier_version() -> None:
    bundle = Bundle(name="default", face=None, audio=None, text="text@4", fusion="fusion@6")
    further = bundle.with_further_text("mine", "text-multilingual@1").with_further_text("mine", "text-greek@1")
    assert (further.name, further.text, further.fusion) == ("mine", "text@4", "fusion@6")
    assert further.with_further_text("mine", "text-multilingual@2").further_text == (
        "text-greek@1",
        "text-multilingual@2",
    )
    assert "further_text" not in further.models() and further.digest != bundle.digest
