"""Sentences, and what was said before them, as tokens. The made tokenizer numbers words: `w7` is 7."""

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from ml.networks.tokens import CONTEXT_TOKEN, MAX_CHARACTERS, SENTENCE_TOKEN, SentenceTokenizer, Tokens, pad_tokens

FIRST, END = 100, 101


def tokenizer(max_tokens: int, most_before: int = 0) -> SentenceTokenizer:
    marks = {"[CLS]": FIRST, "[SEP]": END}
    made = Tokenizer(WordLevel(marks | {f"w{number}": number for number in range(50)} | {"?": 99}, unk_token="?"))
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=list(marks.items())
    )
    made.enable_truncation(2)
    made.enable_padding(length=20)
    return SentenceTokenizer(made, max_tokens, most_before)


def test_encode_cuts_a_sentence_at_its_end_and_its_context_at_its_start() -> None:
    long = " ".join(f"w{number}" for number in range(1, 10))
    assert tokenizer(5, 4).encode(["w1 w2", long], [long, "w5"]) == [
        Tokens((FIRST, 1, 2, END), (7, 8, 9, END)),
        Tokens((FIRST, 1, 2, 3, END), (5, END)),
    ]
    (found,) = tokenizer(5, 4).encode(["w1"], ["w2 " * MAX_CHARACTERS + "w7 w8 w9"])
    assert found.context == (7, 8, 9, END)


@pytest.mark.parametrize("said", ["", "  ", "https://example.com"])
def test_encode_text_without_words_has_no_tokens(said: str) -> None:
    found = tokenizer(5, 4).encode([said, "w1"], ["w2", said])
    assert found == [Tokens(), Tokens((FIRST, 1, END))] and not found[0]


def test_encode_without_context_tokens_ignores_the_context() -> None:
    assert tokenizer(5).encode(["w1"], ["w2"]) == tokenizer(5, 4).encode(["w1"]) == [Tokens((FIRST, 1, END))]


def test_pad_tokens_mask_separates_sentence_and_context() -> None:
    tokens = [Tokens((FIRST, 1, END), (2, END)), Tokens((9,)), Tokens((FIRST, 3, 4, END))]
    batch = pad_tokens(tokens, [2, 0])
    assert batch.rows == [2, 0]
    assert np.array_equal(batch.ids_NT, [[FIRST, 3, 4, END, 0], [FIRST, 1, END, 2, END]])
    assert np.array_equal(batch.mask_NT, [[SENTENCE_TOKEN] * 4 + [0], [SENTENCE_TOKEN] * 3 + [CONTEXT_TOKEN] * 2])
