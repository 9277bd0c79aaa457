"""The text net: a small BERT encoder, the mean over its tokens, and a head for emotions and one for sentiment.

The shape is MiniLM's (Wang et al. 2020), six layers of 384; sentence-transformers' training left it with a mean over
tokens that means the sentence, so that no pooler is needed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ml.networks.bert import BertEncoder
from ml.networks.registry import register
from ml.networks.tokens import SENTENCE
from ml.vocabulary import EMOTIONS, SENTIMENTS


@dataclass(frozen=True)
class TextConfig:
    """`positions`: the most tokens of a sentence, with the two that mark its ends. `before`: the most tokens of what
    was said before it, with the one that ends them; 0: each sentence is read alone."""

    vocabulary: int = 30522
    hidden: int = 384
    layers: int = 6
    heads: int = 12
    intermediate: int = 1536
    positions: int = 64
    before: int = 0
    dropout: float = 0.1


class TextNet(nn.Module):
    """Token ids and mask [N, T] → (embeddings [N, hidden], emotion logits [N, 7], sentiment logits [N, 3]).

    The mask is 1 for the sentence, whose tokens are averaged, 2 for what was said before it, 0 for what is filled up.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = BertEncoder(
            vocabulary=config.vocabulary,
            hidden=config.hidden,
            layers=config.layers,
            heads=config.heads,
            intermediate=config.intermediate,
            positions=config.positions + config.before,
            dropout=config.dropout,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.emotion = nn.Linear(config.hidden, len(EMOTIONS))
        self.sentiment = nn.Linear(config.hidden, len(SENTIMENTS))

    def forward(self, ids_NT: Tensor, mask_NT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden_NTH = self.encoder(ids_NT, mask_NT).float()
        own_NT = mask_NT == SENTENCE
        weights_NT1 = (own_NT / own_NT.sum(dim=1, keepdim=True)).unsqueeze(-1)
        embeddings_NH = (hidden_NTH * weights_NT1).sum(dim=1)
        kept_NH = self.dropout(embeddings_NH)
        return embeddings_NH, self.emotion(kept_NH), self.sentiment(kept_NH)


def load_start(network: TextNet, weights: dict[str, Tensor]) -> None:
    """Seats the weights of a published BERT encoder of this shape: every one of them is needed. Its pooler and the
    positions beyond ours are left out."""
    own = network.encoder.state_dict()
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(weights[name][: len(parameter)] if "position_embeddings" in name else weights[name])


register("text_minilm", TextConfig, TextNet)
