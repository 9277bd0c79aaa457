import pytest
import torch

from ml.networks import build, config_to_dict
from ml.networks.audio import AudioCnnConfig, SpeechEncoderConfig, sinusoidal_positions
from ml.networks.mel import log_mel
from ml.networks.speech_mixture import SpeechMixtureConfig, mean_of_neighbours

SMALL = SpeechEncoderConfig(hidden=32, layers=2, heads=2, intermediate=64, embedding=16)

SMALL_MIXTURE = SpeechMixtureConfig(hidden=32, lower=2, upper=1, heads=2, intermediate=64, read_layers=(1, 2))


@pytest.mark.parametrize(
    ("name", "config"),
    [("speech_encoder", SMALL), ("speech_mixture", SMALL_MIXTURE), ("audio_cnn", AudioCnnConfig())],
)
def test_audio_network_row_does_not_depend_on_other_rows(
    name: str, config: SpeechEncoderConfig | SpeechMixtureConfig | AudioCnnConfig
) -> None:
    torch.manual_seed(1)
    network = build(name, config_to_dict(config))
    short, long = torch.randn(12_345) * 0.1, torch.randn(60_000) * 0.1
    alone = log_mel([short], config.frames or None)
    together = log_mel([short, long], config.frames or None)
    with torch.inference_mode():
        embedding, logits = network(alone.maps_NMT, alone.mask_NT)
        embeddings, both = network(together.maps_NMT, together.mask_NT)
    assert embedding.shape == (1, config.embedding) and logits.shape == (1, 7)
    assert torch.allclose(logits[0], both[0], atol=1e-4)
    assert torch.allclose(embedding[0], embeddings[0], atol=1e-4)
    assert not torch.allclose(both[0], both[1], atol=1e-4)


def test_sinusoidal_positions_are_sines_then_cosines() -> None:
    positions = sinusoidal_positions(10, 8)
    assert torch.equal(positions[0], torch.tensor([0.0] * 4 + [1.0] * 4))
    assert torch.allclose(positions[3, 0], torch.sin(torch.tensor(3.0)))
    assert torch.allclose(positions[3, 7], torch.cos(torch.tensor(3e-4)))


def test_mean_of_neighbours_ignores_frames_that_are_no_sound() -> None:
    frames, mask = torch.arange(5.0).view(1, 5, 1), torch.tensor([[True, True, True, False, False]])
    means, kept = mean_of_neighbours(frames, mask, 2)
    assert means[0, :2, 0].tolist() == [0.5, 2.0] and kept.tolist() == [[True, True, False]]
