"""BERT's encoder (Devlin et al. 2019), with parameters named as in published weights.

transformers has it too, but its import takes 150 MB and seconds: more than all networks here together.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, scaled_dot_product_attention

from ml.networks.tokens import CONTEXT_TOKEN

NORM_EPSILON = 1e-12
INIT_DEVIATION = 0.02


class _Embeddings(nn.Module):
    def __init__(self, words: nn.Module, hidden: int, positions: int, dropout: float) -> None:
        super().__init__()
        self.word_embeddings = words
        self.position_embeddings = nn.Embedding(positions, hidden)
        self.token_type_embeddings = nn.Embedding(2, hidden)
        self.LayerNorm = nn.LayerNorm(hidden, NORM_EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids_NT: Tensor, kinds_NT: Tensor) -> Tensor:
        places_TH = self.position_embeddings.weight[: ids_NT.shape[1]]
        words_NTH = self.word_embeddings(ids_NT).to(places_TH.dtype)
        summed_NTH = words_NTH + self.token_type_embeddings(kinds_NT) + places_TH
        return self.dropout(self.LayerNorm(summed_NTH))


class _SelfAttention(nn.Module):
    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value = (nn.Linear(hidden, hidden) for _ in range(3))

    def forward(self, x_NTH: Tensor, mask_N11T: Tensor) -> Tensor:
        count, tokens, hidden = x_NTH.shape
        query, key, value = (
            layer(x_NTH).view(count, tokens, self.heads, -1).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        if self.training:
            attended = _attend(query, key, value, mask_N11T, self.dropout)
        else:
            attended = scaled_dot_product_attention(query, key, value, attn_mask=mask_N11T)
        return attended.transpose(1, 2).reshape(count, tokens, hidden)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask_N11T: Tensor, dropout_share: float) -> Tensor:
    """Return the attended values [N, heads, T, size].

    For sentences, these three steps train in half of the time that the gradient of torch's fused attention takes.
    """
    scores_NHTT = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
    shares_NHTT = scores_NHTT.masked_fill(~mask_N11T, torch.finfo(scores_NHTT.dtype).min).softmax(-1).to(value.dtype)
    return dropout(shares_NHTT, dropout_share) @ value


class _Output(nn.Module):
    """Projection back to the hidden size, added to the residual."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width, hidden)
        self.LayerNorm = nn.LayerNorm(hidden, NORM_EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_NTW: Tensor, residual_NTH: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(x_NTW)) + residual_NTH)


class _Attention(nn.Module):
    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.self = _SelfAttention(hidden, heads, dropout)
        self.output = _Output(hidden, hidden, dropout)

    def forward(self, x_NTH: Tensor, mask_N11T: Tensor) -> Tensor:
        return self.output(self.self(x_NTH, mask_N11T), x_NTH)


class _Intermediate(nn.Module):
    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, width)

    def forward(self, x_NTH: Tensor) -> Tensor:
        return gelu(self.dense(x_NTH))


class _Layer(nn.Module):
    def __init__(self, hidden: int, heads: int, width: int, dropout: float) -> None:
        super().__init__()
        self.attention = _Attention(hidden, heads, dropout)
        self.intermediate = _Intermediate(hidden, width)
        self.output = _Output(width, hidden, dropout)

    def forward(self, x_NTH: Tensor, mask_N11T: Tensor) -> Tensor:
        x_NTH = self.attention(x_NTH, mask_N11T)
        return self.output(self.intermediate(x_NTH), x_NTH)


class _Layers(nn.Module):
    def __init__(self, count: int, hidden: int, heads: int, width: int, dropout: float) -> None:
        super().__init__()
        self.layer = nn.ModuleList(_Layer(hidden, heads, width, dropout) for _ in range(count))

    def forward(self, x_NTH: Tensor, mask_N11T: Tensor) -> Tensor:
        for layer in self.layer:
            x_NTH = layer(x_NTH, mask_N11T)
        return x_NTH


class BertEncoder(nn.Module):
    """Token ids [N, T] and mask [N, T] → hidden states [N, T, hidden].

    The mask is 1 for tokens of the sentence, 2 for tokens of the context before it, 0 for padding. `words`: module that
    looks embeddings up, ids [N, T] → [N, T, hidden]; by default a table that is part of the network.
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        hidden: int,
        layers: int,
        heads: int,
        intermediate: int,
        positions: int,
        dropout: float,
        words: nn.Module | None = None,
    ) -> None:
        super().__init__()
        table = words or nn.Embedding(vocabulary, hidden, padding_idx=0)
        self.embeddings = _Embeddings(table, hidden, positions, dropout)
        self.encoder = _Layers(layers, hidden, heads, intermediate, dropout)
        self.apply(_initialize)

    def forward(self, ids_NT: Tensor, mask_NT: Tensor) -> Tensor:
        return self.encoder(
            self.embeddings(ids_NT, (mask_NT == CONTEXT_TOKEN).long()), mask_NT.bool()[:, None, None, :]
        )


@torch.no_grad()
def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        module.weight.normal_(std=INIT_DEVIATION)
    if isinstance(module, nn.Linear):
        module.bias.zero_()
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        module.weight[module.padding_idx].zero_()
