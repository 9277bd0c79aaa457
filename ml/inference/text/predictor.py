"""Text model as served: sentences → emotion, sentiment and an embedding."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self, cast

import numpy as np
import torch

from ml.inference.api import EmotionOutputs, Predictor, Role, TextOutputs
from ml.inference.runtime.batch_metrics import record_batch
from ml.inference.runtime.device import autocast, to_device
from ml.inference.runtime.sessions import open_network
from ml.networks import e5
from ml.networks.text import DIMENSIONS, MultilingualTextConfig, MultilingualTextNet, TextConfig, TextNet
from ml.networks.tokens import SentenceTokenizer, TextTokenizer, TokenBatch, Tokens, pad_tokens
from ml.networks.unigram import UnigramSentenceTokenizer, UnigramTokenizer
from ml.registry import Manifest, ModelStore
from ml.vocabulary import EMOTIONS, SENTIMENTS

TOKENIZER_FILE = "tokenizer.json"
TEXT_BATCH_SIZE = 64


class TextSample(NamedTuple):
    """Text to read, and what was said before it, which only some networks look at. Any strings.

    `language`: ISO 639 code of its language, if it is known.
    """

    text: str
    context: str = ""
    language: str | None = None


class TextPredictor(Predictor[TextSample, TextOutputs]):
    """Text model: sentences → expression.

    A text without words gets uniform probabilities, an embedding of zeros and dimensions of zeros. `languages`:
    ISO 639 codes of those that the model reads. `temperatures`: those of single languages, where they differ from
    `temperature`.

    A network for many languages also returns `dimensions_N3`: valence, arousal and dominance as readers of EmoBank
    rated them, learnt from English sentences alone. EmoBank's scale of 1 to 5 is mapped to −1 … 1 by (rating − 3) / 2,
    so 0 is its middle, 3; most sentences are rated within ±0.4. `has_dimensions` says which predictors do.
    """

    def __init__(
        self,
        network: TextNet,
        tokenizer: TextTokenizer,
        temperature: float,
        device: torch.device,
        languages: Sequence[str] = ("en",),
        temperatures: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self._network = network.to(device).eval()
        self._tokenizer = tokenizer
        self._temperature, self._temperatures = temperature, temperatures or {}
        self._device = device
        self.languages = tuple(languages)

    @classmethod
    def _load(cls, store: ModelStore, manifest: Manifest, device: torch.device) -> Self:
        network: TextNet = open_network(store, manifest)
        if isinstance(network, TextNet):
            network.encoder.embeddings.word_embeddings.half()  # as the store keeps it: half of the network's memory
        path = _tokenizer_path(network.config, store, manifest.reference)
        tokenizer = open_tokenizer(network.config, path)
        inputs = manifest.preprocessing
        temperatures = inputs.get("temperatures", {})
        return cls(network, tokenizer, manifest.temperature, device, inputs["languages"], temperatures)

    @property
    def embedding_size(self) -> int:
        return self._network.config.hidden

    @property
    def has_dimensions(self) -> bool:
        """Whether the outputs have valence, arousal and dominance."""
        return isinstance(self._network, MultilingualTextNet)

    @property
    def batch_size(self) -> int:
        return TEXT_BATCH_SIZE

    @torch.inference_mode()
    def _predict(self, samples: Sequence[TextSample]) -> TextOutputs:
        outputs = self._outputs_without_words(len(samples))
        temperatures_N1 = torch.tensor(
            [[self._temperatures.get(sample.language or "", self._temperature)] for sample in samples]
        )
        tokens = self._tokenizer.encode([sample.text for sample in samples], [sample.context for sample in samples])
        for batch in self._batches(tokens):
            record_batch("text", len(batch.rows))
            ids_NT, mask_NT = (
                to_device(torch.from_numpy(part), self._device) for part in (batch.ids_NT, batch.mask_NT)
            )
            with autocast(self._device):
                answers = self._network(ids_NT, mask_NT)
            embeddings_NE, emotions_NC, sentiments_N3 = (part.float() for part in answers)
            outputs.embeddings_NE[batch.rows] = embeddings_NE.cpu().numpy()
            calibrated_NC = emotions_NC.cpu() / temperatures_N1[batch.rows]
            outputs.log_probabilities_NC[batch.rows] = calibrated_NC.log_softmax(-1).numpy()
            outputs.sentiment_N3[batch.rows] = sentiments_N3.softmax(-1).cpu().numpy()
            if outputs.dimensions_N3 is not None:
                dimensions_N3 = cast(MultilingualTextNet, self._network).dimensions(embeddings_NE)
                outputs.dimensions_N3[batch.rows] = dimensions_N3.clamp(-1, 1).cpu().numpy()
        return outputs

    def _example(self, upstream: Mapping[Role, EmotionOutputs]) -> TextSample:
        return TextSample("Hello.")

    def _outputs_without_words(self, count: int) -> TextOutputs:
        return TextOutputs(
            embeddings_NE=np.zeros((count, self.embedding_size), np.float32),
            log_probabilities_NC=np.full((count, len(EMOTIONS)), -np.log(len(EMOTIONS)), np.float32),
            sentiment_N3=np.full((count, len(SENTIMENTS)), 1 / len(SENTIMENTS), np.float32),
            dimensions_N3=np.zeros((count, len(DIMENSIONS)), np.float32) if self.has_dimensions else None,
        )

    def _batches(self, tokens: Sequence[Tokens]) -> Iterator[TokenBatch]:
        """Yield batches of the texts with words, those of about one length together."""
        rows = sorted((row for row, own in enumerate(tokens) if own), key=lambda row: (len(tokens[row]), row))
        for first in range(0, len(rows), TEXT_BATCH_SIZE):
            yield pad_tokens(tokens, rows[first : first + TEXT_BATCH_SIZE])


def _tokenizer_path(config: TextConfig, store: ModelStore, reference: str) -> Path:
    multilingual = isinstance(config, MultilingualTextConfig)
    return e5.WEIGHTS.locate() if multilingual else store.file(reference, TOKENIZER_FILE)


def open_tokenizer(config: TextConfig, path: Path) -> TextTokenizer:
    """Return the tokenizer for a network of this shape: from a `tokenizer.json`, or from the weights file of e5."""
    if isinstance(config, MultilingualTextConfig):
        return UnigramSentenceTokenizer(UnigramTokenizer.from_file(path), config.positions, config.before)
    return SentenceTokenizer.from_file(path, config.positions, config.before)
