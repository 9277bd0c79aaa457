import torch

from ml.networks.fusion import FRAME_QUALITIES, WINDOW_QUALITIES, Fusion, FusionConfig, FusionInput


def _windows(count: int, seed: int = 0) -> FusionInput:
    torch.manual_seed(seed)
    return FusionInput(
        evidence_NMC=torch.randn(count, 3, 7).log_softmax(-1),
        mask_NM=(torch.rand(count, 3) < 0.7).float(),
        frames_NTC=torch.randn(count, 5, 7).log_softmax(-1),
        frame_mask_NT=(torch.rand(count, 5) < 0.7).float(),
        frame_quality_NTQ=torch.rand(count, 5, len(FRAME_QUALITIES)),
        quality_NQ=torch.rand(count, len(WINDOW_QUALITIES)),
    )


def test_fusion_untrained_gates_are_the_addition() -> None:
    gated, addition = Fusion(FusionConfig()).eval(), Fusion(FusionConfig(gated=False)).eval()
    windows = _windows(32)
    assert torch.equal(gated(windows), addition(windows))


def test_fusion_one_modality_comes_out_as_it_went_in() -> None:
    network = Fusion(FusionConfig()).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    windows = _windows(9)._replace(mask_NM=torch.eye(3).repeat(3, 1))
    logits = network(windows)
    for row in range(9):
        assert torch.allclose(logits[row], windows.evidence_NMC[row, row % 3])


def test_gate_is_between_a_half_and_two_and_reads_no_masked_value() -> None:
    network = Fusion(FusionConfig()).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    windows = _windows(16)
    gates, _ = network.gate(windows, windows.evidence_NMC)
    assert float(gates.min()) >= 0.5 and float(gates.max()) <= 2
    hidden = windows.frame_mask_NT.unsqueeze(-1) == 0
    changed = windows._replace(frames_NTC=torch.where(hidden, -50.0, windows.frames_NTC))
    assert torch.allclose(network(windows), network(changed), atol=1e-5)


def test_fusion_unknown_qualities_are_finite() -> None:
    network = Fusion(FusionConfig()).eval()
    windows = _windows(4)
    unknown = windows._replace(quality_NQ=torch.full_like(windows.quality_NQ, torch.nan))
    assert torch.isfinite(network(unknown)).all()
