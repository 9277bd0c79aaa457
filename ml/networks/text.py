"""Text networks: a small BERT encoder, the mean over its tokens, and heads for emotions and sentiment.

The English one has the shape of MiniLM (Wang et al. 2020), six layers of 384; the one for many languages that of
multilingual-e5-small (Wang et al. 2024), twelve layers. Both starts were trained so that the mean over the tokens
represents the sentence; no pooler is needed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ml.networks import e5
from ml.networks.bert import BertEncoder
from ml.networks.registry import register
from ml.networks.tokens import SENTENCE_TOKEN
from ml.vocabulary import EMOTIONS, SENTIMENTS

DIMENSIONS = ("valence", "arousal", "dominance")
"""Dimensions of affect (Russell and Mehrabian 1977), each −1 … 1."""


@dataclass(frozen=True)
class TextConfig:
    """Shape of a TextNet.

    `positions`: maximum tokens of a sentence, with the two that mark its ends. `before`: maximum tokens of the context
    before it, with the one that ends them; 0 reads each sentence alone.
    """

    vocabulary: int = 30522
    hidden: int = 384
    layers: int = 6
    heads: int = 12
    intermediate: int = 1536
    positions: int = 64
    before: int = 0
    dropout: float = 0.1


@dataclass(frozen=True)
class MultilingualTextConfig(TextConfig):
    """Shape of a MultilingualTextNet. Its word table is that of a package, not of the model store."""

    vocabulary: int = e5.VOCABULARY
    layers: int = e5.LAYERS


class TextNet(nn.Module):
    """Token ids and mask [N, T] → (embeddings [N, hidden], emotion logits [N, 7], sentiment logits [N, 3]).

    The mask is 1 for tokens of the sentence, which are averaged, 2 for the context before it, 0 for padding.
    """

    def __init__(self, config: TextConfig, words: nn.Module | None = None, encoder_dropout: bool = True) -> None:
        super().__init__()
        self.config = config
        self.encoder = BertEncoder(
            vocabulary=config.vocabulary,
            hidden=config.hidden,
            layers=config.layers,
            heads=config.heads,
            intermediate=config.intermediate,
            positions=config.positions + config.before,
            dropout=config.dropout if encoder_dropout else 0.0,
            words=words,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.emotion = nn.Linear(config.hidden, len(EMOTIONS))
        self.sentiment = nn.Linear(config.hidden, len(SENTIMENTS))

    def forward(self, ids_NT: Tensor, mask_NT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden_NTH = self.encoder(ids_NT, mask_NT).float()
        own_NT = mask_NT == SENTENCE_TOKEN
        weights_NT1 = (own_NT / own_NT.sum(dim=1, keepdim=True)).unsqueeze(-1)
        embeddings_NH = (hidden_NTH * weights_NT1).sum(dim=1)
        kept_NH = self.dropout(embeddings_NH)
        return embeddings_NH, self.emotion(kept_NH), self.sentiment(kept_NH)


class MultilingualTextNet(TextNet):
    """Text network over the word table of multilingual-e5-small, with a head for the dimensions of affect.

    Dropout is before the heads alone: in the encoder it takes a third of the time of training.
    """

    def __init__(self, config: MultilingualTextConfig) -> None:
        super().__init__(config, e5.QuantizedWords(), encoder_dropout=False)
        self.affect = nn.Linear(config.hidden, len(DIMENSIONS))

    def dimensions(self, embeddings_NH: Tensor) -> Tensor:
        """Return valence, arousal and dominance [N, 3] of embeddings, not yet clipped to −1 … 1."""
        return self.affect(embeddings_NH)


def load_pretrained_encoder(network: TextNet, weights: dict[str, Tensor]) -> None:
    """Load the weights of a published BERT encoder of this shape, without its pooler and further positions.

    Raises KeyError if a weight is missing.
    """
    own = network.encoder.state_dict()
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(weights[name][: len(parameter)] if "position_embeddings" in name else weights[name])


register("text_minilm", TextConfig, TextNet)
register("text_e5", MultilingualTextConfig, MultilingualTextNet)
