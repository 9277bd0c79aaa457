import shutil
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from ml.errors import InvalidManifest
from ml.inference.text.predictor import TextPredictor, TextSample
from ml.networks.text import TextConfig, TextNet
from ml.networks.tokens import Tokens
from ml.registry import ModelStore
from ml.training import cli
from ml.training.datasets.example import Example
from ml.training.loop import history
from ml.training.recipes.recipe import CHOSEN_BY
from ml.training.recipes.text import recipe
from ml.training.recipes.text.data import Sentences, read_data, take_limited
from ml.training.recipes.text.recipe import TextBatch, epoch_rows, loss
from ml.training.recipes.text.starts import STARTS

NAMES = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
WORDS = ("furious", "revolting", "terrified", "delighted", "weeping", "astonished", "at the office")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """GoEmotions in small: eight sentences of each label to train on, four to measure on."""
    folder = tmp_path / "text" / "goemotions"
    folder.mkdir(parents=True)
    (folder / "labels.txt").write_text("anger\ndisgust\nfear\njoy\nsadness\nsurprise\nneutral\n")
    for name, numbers in (("train", range(8)), ("dev", range(8, 12))):
        lines = [f"Number {n} of us is {word} now\t{label}\tx" for n in numbers for label, word in enumerate(WORDS)]
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path


def _run(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> None:
    monkeypatch.chdir(folder)
    verb, *others = arguments
    args = cli.parser(verb).parse_args(["text", *others, "--data", str(folder / "text"), "--out", "run"])
    args.run(args)


def test_text_train_and_publish_gives_a_served_model(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(monkeypatch, data, "train", "--sets", "goemotions", "--epochs", "2", "--batch", "14", "--consistency", "1")
    assert [CHOSEN_BY in epoch for epoch in history(data / "run")] == [True, True]
    _run(monkeypatch, data, "publish", "--store", "store")
    manifest = ModelStore(data / "store").manifest("text@1")
    assert manifest.metrics["goemotions"]["n"] == 28
    assert manifest.command.endswith(" --consistency 1.0")
    assert manifest.licence.commercial, "GoEmotions alone permits commercial use"
    predictor = TextPredictor.load(ModelStore(data / "store"), "text@1", torch.device("cpu"))
    outputs = predictor.predict([TextSample("We are delighted now"), TextSample("")])
    assert np.exp(outputs.log_probabilities_NC).sum(axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_text_train_context_tokens_reads_preceding_sentences(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        f"We are {word} now,A,{name},neutral,{n},{n}" for n in range(3) for name, word in zip(NAMES, WORDS, strict=True)
    ]
    (data / "text" / "meld").mkdir()
    for name in ("train", "dev"):
        table = "\n".join(["Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID", *rows])
        (data / "text" / "meld" / f"{name}_sent_emo.csv").write_text(table.replace("now", name))
    sets = ("--sets", "goemotions", "meld")
    _run(monkeypatch, data, "train", *sets, "--before", "9", "--epochs", "1", "--batch", "14")
    _run(monkeypatch, data, "publish", "--store", "store")
    store = ModelStore(data / "store")
    manifest = store.manifest("text@1")
    assert manifest.config["before"] == 9 and " --context-tokens 9" in manifest.command
    assert "the last 9 tokens" in (data / "store" / "text" / "1" / "card.md").read_text()
    predictor = TextPredictor.load(store, "text@1", torch.device("cpu"))
    samples = [TextSample("We go", context) for context in ("", "I am delighted", "I am delighted")]
    alone, after, same = predictor.predict(samples).log_probabilities_NC
    assert np.abs(after - alone).max() > 1e-3 and after == pytest.approx(same, abs=1e-5)


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train a network of one narrow layer, which starts from random weights."""
    small = replace(STARTS["minilm"], shape=partial(TextConfig, hidden=24, layers=1, heads=2, intermediate=48))
    monkeypatch.setitem(STARTS, "minilm", small)
    monkeypatch.setattr(recipe, "load_pretrained_encoder", lambda *_: None)


@pytest.mark.usefixtures("small_network")
def test_text_publish_soup_averages_the_weights(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(monkeypatch, data, "train", "--sets", "goemotions", "--epochs", "1", "--batch", "14")
    _run(monkeypatch, data, "publish", "--store", "store")
    shutil.move(data / "run", data / "other")
    _run(monkeypatch, data, "train", "--sets", "goemotions", "--epochs", "1", "--batch", "14", "--seed", "1")
    _run(monkeypatch, data, "publish", "--store", "store")
    _run(monkeypatch, data, "publish", "--store", "store", "--soup", "text@1")
    store = ModelStore(data / "store")
    first, second, soup = (store.weights(f"text@{version}")["emotion.weight"].float() for version in (1, 2, 3))
    assert not torch.equal(first, second), "another seed is another net"
    assert torch.allclose(soup, (first + second) / 2, atol=1e-3)
    assert store.manifest("text@3").command.count("train text") == 2
    _run(monkeypatch, data, "publish", "--store", "store", "--soup", "other")
    of_runs = store.weights("text@4")["emotion.weight"].float()
    assert torch.allclose(of_runs, soup, atol=1e-3), "of a run as of what was published of it"
    assert store.manifest("text@4").command == store.manifest("text@3").command
    _run(monkeypatch, data, "publish", "--store", "store", "--soup", "other", "--soup-share", "0.25")
    mixed = store.weights("text@5")["emotion.weight"].float()
    assert torch.allclose(mixed, 0.75 * second + 0.25 * first, atol=1e-3)
    assert store.manifest("text@5").command.endswith("; weights averaged, 0.75 : 0.25")
    with pytest.raises(InvalidManifest, match="--soup-share"):
        _run(monkeypatch, data, "publish", "--store", "store", "--soup", "other", "--soup-share", "1")
    shutil.rmtree(data / "run")
    _run(monkeypatch, data, "train", "--sets", "goemotions", "--epochs", "1", "--batch", "14", "--before", "9")
    with pytest.raises(InvalidManifest, match="other has another shape"):
        _run(monkeypatch, data, "publish", "--store", "store", "--soup", "other")


def test_text_loss_consistency_penalises_different_readings() -> None:
    torch.manual_seed(0)
    small = TextConfig(vocabulary=50, hidden=12, layers=1, heads=2, intermediate=24, positions=8, dropout=0.0)
    batch = TextBatch(
        ids_NT=torch.randint(0, 50, (6, 8)),
        mask_NT=torch.ones(6, 8, dtype=torch.long),
        targets_NC=torch.eye(7)[:6],
        weights_N=torch.ones(6),
        sentiments_N=torch.full((6,), 1),
        dimensions_N3=torch.full((6, 3), torch.nan),
    )
    same = TextNet(small).train()
    assert torch.allclose(loss(same, batch, 5.0), loss(same, batch)), "without dropout both are one"
    shaken = TextNet(replace(small, dropout=0.5)).train()
    plain, drawn = (torch.stack([loss(shaken, batch, weight) for _ in range(50)]).mean() for weight in (1e-9, 5.0))
    assert drawn > plain


def test_read_data_duplicates_are_held_out(data: Path) -> None:
    train = data / "text" / "goemotions" / "train.tsv"
    train.write_text(train.read_text() + "number 8 of us IS furious now\t0\tx\nFine\t6\tx\n")
    training, held_out = read_data(data / "text", ["goemotions"])
    assert len(training) == 7 * 8 + 1 and len(held_out) == 7 * 4


def test_take_limited_bounds_each_language_of_a_set() -> None:
    examples = [
        Example("sad", f"brighter-{code}", "train", text=f"{code} {number}", language=code)
        for code in ("deu", "esp")
        for number in range(9)
    ] + [Example("sad", "goemotions", "train", text=str(number), language="en") for number in range(9)]
    taken = take_limited(examples, {"brighter": 4})
    assert Counter(example.dataset for example in taken) == {"brighter-deu": 4, "brighter-esp": 4, "goemotions": 9}
    assert taken == take_limited(examples[::-1], {"brighter": 4}), "the order of the file does not matter"


def test_epoch_rows_parts_of_a_pass_have_each_row_once() -> None:
    passes = [torch.cat([epoch_rows(12, epoch, 3, seed=1) for epoch in epochs]) for epochs in ((0, 1, 2), (3, 4, 5))]
    assert all(sorted(rows.tolist()) == list(range(12)) for rows in passes)
    assert not torch.equal(*passes)


def test_sentences_without_tokens_are_left_out() -> None:
    examples = [Example("sad", "goemotions", "train", text=text) for text in ("Fine", "https://example.com")]
    kept = Sentences([Tokens((1, 2)), Tokens()], examples).with_words()
    assert kept.examples == examples[:1] and len(kept.tokens) == 1
