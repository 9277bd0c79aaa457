import pytest
import torch

from ml.networks import torchaudio_compat  # noqa: F401  (seated before transformers imports torchaudio)
from ml.networks.bert import BertEncoder
from ml.networks.tokens import CONTEXT_TOKEN


@pytest.fixture(scope="module")
def encoders() -> tuple[BertEncoder, torch.nn.Module]:
    """Ours and the library's, with the same weights: they are named alike."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    ours = BertEncoder(vocabulary=50, hidden=24, layers=2, heads=3, intermediate=48, positions=12, dropout=0.1)
    config = BertConfig(
        vocab_size=50,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=48,
        max_position_embeddings=12,
    )
    theirs = BertModel(config, add_pooling_layer=False)
    theirs.load_state_dict(ours.state_dict())
    return ours.eval(), theirs.eval()


def test_bert_encoder_equals_transformers(encoders: tuple[BertEncoder, torch.nn.Module]) -> None:
    ours, theirs = encoders
    ids = torch.randint(1, 50, (3, 9))
    mask = torch.ones_like(ids)
    mask[1, 5:] = mask[2, 1:] = 0
    mask[0, 4:] = mask[1, 3:5] = CONTEXT_TOKEN
    with torch.inference_mode():
        told = {"attention_mask": mask.bool().long(), "token_type_ids": (mask == CONTEXT_TOKEN).long()}
        found, expected = ours(ids, mask), theirs(input_ids=ids, **told).last_hidden_state
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], rtol=1e-4, atol=1e-5)


def test_bert_encoder_has_gradients(encoders: tuple[BertEncoder, torch.nn.Module]) -> None:
    ours, _ = encoders
    ids = torch.randint(1, 50, (2, 5))
    ours.train()
    first, second = (ours(ids, torch.ones_like(ids)) for _ in range(2))
    assert not torch.equal(first, second)  # it drops out
    first.sum().backward()
    assert all(parameter.grad is not None for parameter in ours.parameters())
