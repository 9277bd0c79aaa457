"""Small random classifiers of transformers', from a hub on the loopback to a served bundle."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from ml.__main__ import main
from ml.errors import FetchFailed, ModelStoreError
from ml.inference.face.predictor import FaceSample
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.bundle import LoadedBundle
from ml.inference.text.predictor import TextSample
from ml.registry import Bundle, ModelStore
from ml.registry.cli import read_labels
from ml.vocabulary import EMOTIONS
from tests.face_files import portrait
from tests.hub_server import FakeHub, serving

SEVEN = {0: "anger", 1: "disgust", 2: "fear", 3: "joy", 4: "neutral", 5: "sadness", 6: "surprise"}
FOUR = {0: "neu", 1: "hap", 2: "ang", 3: "sad"}
MANY = {0: "joy", 1: "optimism", 2: "anger", 3: "sadness", 4: "curiosity"}


def repository(folder: Path, model: Any, **others: dict[str, Any]) -> dict[str, bytes]:
    """What a hub would hold of a model."""
    model.save_pretrained(folder)
    for name, content in others.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def face_files(folder: Path) -> dict[str, bytes]:
    from transformers import ViTConfig, ViTForImageClassification

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = ViTConfig(image_size=32, patch_size=8, id2label=SEVEN, **small)
    processor = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return repository(folder, ViTForImageClassification(config), preprocessor_config=processor)


def voice_files(folder: Path) -> dict[str, bytes]:
    from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_stride=(10, 16),
        conv_kernel=(10, 16),
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=8,
        id2label=FOUR,
    )
    extractor = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16_000, "do_normalize": True}
    return repository(folder, Wav2Vec2ForSequenceClassification(config), preprocessor_config=extractor)


def words_files(folder: Path) -> dict[str, bytes]:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import RobertaConfig, RobertaForSequenceClassification

    config = RobertaConfig(
        vocab_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=34,
        id2label=MANY,
        problem_type="multi_label_classification",
    )
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 3, "so": 4, "happy": 5}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    files = repository(folder, RobertaForSequenceClassification(config))
    return files | {"tokenizer.json": tokenizer.to_str().encode()}


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    torch.manual_seed(0)
    makers = {"some/Face_ViT": face_files, "some/voice": voice_files, "some/words": words_files}
    return {name: make(tmp_path_factory.mktemp("hub")) for name, make in makers.items()}


@pytest.fixture
def hub(repositories: dict[str, dict[str, bytes]]) -> Iterator[FakeHub]:
    held = {name: dict(files) for name, files in repositories.items()}
    with serving(FakeHub(held, tags=("license:apache-2.0", "en", "pytorch"))) as found:
        yield found


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    store = ModelStore(tmp_path / "store")
    (store.root / "bundles").mkdir(parents=True)
    store.write_bundle(Bundle(name="default", face=None, audio=None, text=None, fusion=None, whisper=None))
    return store


def fetch(hub: FakeHub, store: ModelStore, *words: str) -> int:
    return main(["fetch", *words, "--endpoint", hub.endpoint, "--store", str(store.root)])


def served(store: ModelStore, bundle: str) -> LoadedBundle:
    found = LoadedBundle.load(store, store.bundle(bundle), device=torch.device("cpu"), licences="commercial")
    found.warm_up()
    return found


def test_fetch_classifier_face_is_served(hub: FakeHub, store: ModelStore, tmp_path: Path) -> None:
    assert fetch(hub, store, "face", "some/Face_ViT", "--bundle", "mine") == 0
    assert store.bundle("mine").face == "face-vit@1"
    models = served(store, "mine")
    assert models.face and models.face.crop_size == 32 and models.versions.licence == "commercial"
    samples = [FaceSample(crop) for crop in np.random.default_rng(0).integers(0, 255, (2, 32, 32), dtype=np.uint8)]
    both, alone = models.face.predict(samples), models.face.predict(samples[1:])
    assert np.allclose(both.log_probabilities_NC[1], alone.log_probabilities_NC[0], atol=1e-4)
    assert "| angry | anger |" in store.file("face-vit@1", "card.md").read_text()
    cv2.imwrite(str(tmp_path / "someone.png"), portrait()[..., ::-1])
    result = Analyzer(models).analyze(tmp_path / "someone.png")
    assert (result.models.face, result.models.licence) == ("face-vit@1", "commercial") and result.overall.emotion


def test_fetch_classifier_voice_answers_as_transformers(hub: FakeHub, store: ModelStore, tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"neu": "neutral", "hap": "happy", "ang": "angry"}))
    assert fetch(hub, store, "audio", "some/voice", "--labels", str(labels), "--bundle", "mine") == 0
    models = served(store, "mine")
    assert models.audio
    sound = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    logs = models.audio.predict([sound, sound[:8_000]]).log_probabilities_NC
    assert np.exp(logs[:, EMOTIONS.index("fear")]).max() < 1e-3, "none of their labels means it"

    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for name, content in hub.repositories["some/voice"].items():
        (theirs / name).write_bytes(content)
    features = AutoFeatureExtractor.from_pretrained(theirs)(sound, sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        expected = AutoModelForAudioClassification.from_pretrained(theirs)(**features).logits.softmax(-1)[0]
    assert np.exp(logs[0, EMOTIONS.index("happy")]) == pytest.approx(float(expected[1]), abs=2e-3)


def test_fetch_classifier_text_with_several_labels_is_served(hub: FakeHub, store: ModelStore) -> None:
    told = ["optimism=happy", "curiosity="]
    assert fetch(hub, store, "text", "some/words", "--labels", *told, "--bundle", "mine") == 0
    models = served(store, "mine")
    assert models.text and models.text.languages == ("en",)
    found = models.text.predict([TextSample(text) for text in ("so happy", "", "happy " * 100)])
    assert np.allclose(np.exp(found.log_probabilities_NC).sum(1), 1, atol=1e-4)
    assert np.allclose(found.sentiment_N3.sum(1), 1, atol=1e-4)
    happy, angry = (np.exp(found.log_probabilities_NC[0, EMOTIONS.index(name)]) for name in ("happy", "angry"))
    assert happy > angry, "two of their labels mean it"


def test_fetch_classifier_names_labels_without_an_emotion(
    hub: FakeHub, store: ModelStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(hub, store, "text", "some/words") == 1
    assert "curiosity, optimism" in capsys.readouterr().err
    assert fetch(hub, store, "face", "some/Face_ViT", "--labels", "contempt=angry") == 1
    assert "contempt" in capsys.readouterr().err
    assert store.names() == []


def test_load_bundle_names_the_model_with_a_non_commercial_licence(hub: FakeHub, store: ModelStore) -> None:
    hub.tags = ("license:cc-by-nc-4.0",)
    assert fetch(hub, store, "face", "some/Face_ViT", "--bundle", "mine") == 0
    assert store.manifest("face-vit@1").licence.name == "cc-by-nc-4.0"
    with pytest.raises(ModelStoreError, match=r"refuses face-vit@1: .*python -m ml fetch"):
        served(store, "mine")
    words = ["--licence", "by contract", "--commercial", "--bundle", "mine"]
    assert fetch(hub, store, "face", "some/Face_ViT", *words) == 0
    assert served(store, "mine").versions.face == "face-vit@2"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda files: files.pop("model.safetensors"), "safetensors"),
        (lambda files: files.pop("preprocessor_config.json"), "preprocessor_config.json"),
        (lambda files: files.update({"config.json": b"{"}), "config.json"),
        (lambda files: files.update({"model.safetensors": b"no tensors"}), "no face classifier"),
        (lambda files: files.update({"config.json": json.dumps({"id2label": SEVEN}).encode()}), "no face classifier"),
        (lambda files: files.update({"config.json": b'{"id2label": {"LABEL_0": "happy"}}'}), "not numbered"),
        (lambda files: files.update({"config.json": b'{"id2label": ["happy"]}'}), "not numbered"),
    ],
    ids=["pickled", "no processor", "broken", "no weights", "no model", "no numbers", "a list"],
)
def test_fetch_classifier_refuses_what_cannot_be_served(
    hub: FakeHub, store: ModelStore, capsys: pytest.CaptureFixture[str], damage: Any, told: str
) -> None:
    damage(hub.repositories["some/Face_ViT"])
    assert fetch(hub, store, "face", "some/Face_ViT", "--bundle", "mine") == 1
    assert told in capsys.readouterr().err
    assert store.names() == []


def test_fetch_classifier_refuses_a_network_without_its_head(
    hub: FakeHub, store: ModelStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load, save

    weights = load(hub.repositories["some/Face_ViT"]["model.safetensors"])
    kept = {name: tensor for name, tensor in weights.items() if "classifier" not in name}
    hub.repositories["some/Face_ViT"]["model.safetensors"] = save(kept, {"format": "pt"})
    assert fetch(hub, store, "face", "some/Face_ViT") == 1
    assert "no weights for classifier" in capsys.readouterr().err


def test_fetch_command_refuses_invalid_names_and_labels(tmp_path: Path) -> None:
    assert main(["fetch", "face", "no-owner", "--store", str(tmp_path)]) == 1
    assert read_labels(["a=b=happy", "c="]) == {"a=b": "happy", "c": ""}
    with pytest.raises(FetchFailed, match="no JSON object"):
        read_labels([str(tmp_path / "none.json")])
