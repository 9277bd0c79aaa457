"""Words as served: sentences → emotion, sentiment and an embedding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ml.inference.api import ModalityFeatures, TextReadingFeatures
from ml.inference.runtime.batch_metrics import record_batch
from ml.inference.runtime.device import autocast, to_device
from ml.networks.text import TextConfig, TextNet
from ml.networks.tokens import SentenceTokenizer, TokenBatch, Tokens, padded
from ml.registry import ModelStore
from ml.vocabulary import EMOTIONS, SENTIMENTS

TOKENIZER = "tokenizer.json"
BATCH = 64


@dataclass(frozen=True)
class TextOutputs:
    """Embeddings [N, E], calibrated log-probabilities [N, 7] and probabilities of the three sentiments [N, 3]."""

    embeddings_NE: NDArray[np.float32]
    log_probabilities_NC: NDArray[np.float32]
    sentiment_N3: NDArray[np.float32]


class TextPredictor:
    """Sentences → how they read. Deterministic: neighbours in a batch change nothing but the last digits."""

    def __init__(
        self,
        network: TextNet,
        tokenizer: SentenceTokenizer,
        temperature: float,
        device: torch.device,
        languages: Sequence[str] = ("en",),
    ) -> None:
        self._network = network.to(device).eval()
        self._tokenizer = tokenizer
        self._temperature = temperature
        self._device = device
        self.languages = tuple(languages)
        """ISO 639 codes of the languages that it reads."""

    @classmethod
    def load(cls, store: ModelStore, reference: str, device: torch.device) -> Self:
        """Raises ModelStoreError when the store has no such model, or it is damaged."""
        manifest = store.manifest(reference)
        network = cast(TextNet, store.network(reference))
        if isinstance(network, TextNet):
            network.encoder.embeddings.word_embeddings.half()  # as the store keeps it: half of the net's memory
        tokenizer = open_tokenizer(network.config, store.file(reference, TOKENIZER))
        return cls(network, tokenizer, manifest.temperature, device, manifest.preprocessing["languages"])

    @property
    def embedding_size(self) -> int:
        return self._network.config.hidden

    def read(self, sentences: Sequence[str], before: Sequence[str] = ()) -> list[TextReadingFeatures]:
        """One reading for each sentence, as the join takes them. `before`: what was said before each."""
        found = self.predict(sentences, before)
        rows = zip(found.embeddings_NE, found.log_probabilities_NC, found.sentiment_N3, strict=True)
        return [
            TextReadingFeatures(ModalityFeatures(embedding, logs), sentiment) for embedding, logs, sentiment in rows
        ]

    @torch.inference_mode()
    def predict(self, sentences: Sequence[str], before: Sequence[str] = ()) -> TextOutputs:
        """Any strings. One without words is no evidence: uniform, with an embedding of zeros. `before`: what was said
        before each, which only some nets look at."""
        outputs = _no_evidence(len(sentences), self.embedding_size)
        for batch in self._batches(self._tokenizer.encode(sentences, before)):
            record_batch("text", len(batch.rows))
            ids_NT, mask_NT = (
                to_device(torch.from_numpy(part), self._device) for part in (batch.ids_NT, batch.mask_NT)
            )
            with autocast(self._device):
                found = self._network(ids_NT, mask_NT)
            embeddings_NE, emotions_NC, sentiments_N3 = (part.float() for part in found)
            outputs.embeddings_NE[batch.rows] = embeddings_NE.cpu().numpy()
            outputs.log_probabilities_NC[batch.rows] = (emotions_NC / self._temperature).log_softmax(-1).cpu().numpy()
            outputs.sentiment_N3[batch.rows] = sentiments_N3.softmax(-1).cpu().numpy()
        return outputs

    def _batches(self, tokens: Sequence[Tokens]) -> Iterator[TokenBatch]:
        """Sentences with words, those of about one length together."""
        rows = sorted((row for row, found in enumerate(tokens) if found), key=lambda row: (len(tokens[row]), row))
        return (padded(tokens, rows[first : first + BATCH]) for first in range(0, len(rows), BATCH))


def open_tokenizer(config: TextConfig, path: Path) -> SentenceTokenizer:
    """What cuts sentences for a net of this shape, from a `tokenizer.json`."""
    return SentenceTokenizer.read(path, config.positions, config.before)


def _no_evidence(count: int, size: int) -> TextOutputs:
    return TextOutputs(
        embeddings_NE=np.zeros((count, size), np.float32),
        log_probabilities_NC=np.full((count, len(EMOTIONS)), -np.log(len(EMOTIONS)), np.float32),
        sentiment_N3=np.full((count, len(SENTIMENTS)), 1 / len(SENTIMENTS), np.float32),
    )
