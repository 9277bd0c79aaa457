"""Training data and figures of the vocal bursts."""

import numpy as np
import torch

from ml.networks.bursts import BANDS, BurstConfig, BurstNet
from ml.training.recipes.bursts.data import Clip, Mixer, active_frames
from ml.training.recipes.bursts.figures import HeardClip, burst_figures, burst_table, choose_thresholds
from ml.training.recipes.bursts.recipe import hear
from ml.vocabulary import BURSTS, Burst


def clip(kind: Burst | None, label: str = "speech", frames: int = 160, fold: int = 0) -> Clip:
    powers = np.random.default_rng(frames).exponential(0.01, (frames, BANDS)).astype(np.float16)
    active = np.full(frames, kind is not None or label != "speech")
    return Clip(powers, kind, label, "toy", f"speaker-{fold}", fold, active)


def heard(own: Clip, kind: Burst | None, probability: float = 0.9) -> HeardClip:
    probabilities = np.zeros((40, len(BURSTS)), np.float32)
    if kind:
        probabilities[10:20, BURSTS.index(kind)] = probability
    return HeardClip(own, probabilities)


def test_active_frames_are_loud_ones_with_the_short_pauses_between_them() -> None:
    powers = np.full((200, BANDS), 1e-6, np.float16)
    powers[50:80] = powers[90:100] = powers[180:190] = 0.1
    active = active_frames(powers)
    assert active[50:100].all() and active[180:190].all()
    assert not active[:50].any() and not active[101:180].any() and not active[190:].any()


def test_mixer_makes_batches_of_powers_and_targets() -> None:
    np.random.seed(0)
    mixer = Mixer([clip("laugh", "laughing"), clip(None, "yawning", 400)], [clip(None), clip(None, frames=300)])
    batches = list(mixer.batches(8, 3))
    powers, targets = (torch.cat(each) for each in zip(*batches, strict=True))
    assert powers.shape == (24, 192, BANDS) and targets.shape == (24, 24, len(BURSTS))
    assert powers.isfinite().all() and (powers >= 0).all()
    assert set(targets.unique().tolist()) == {0.0, 1.0}
    assert targets.sum((0, 1)).nonzero().flatten().tolist() == [BURSTS.index("laugh")]


def test_hear_gives_probabilities_of_each_step_of_a_clip_of_any_length() -> None:
    torch.manual_seed(0)
    network = BurstNet(BurstConfig(widths=(4, 4, 4, 4), hidden=8)).eval()
    for frames in (1, 160, 333):
        probabilities = hear(network, clip("laugh", "laughing", frames))
        assert probabilities.shape == ((256 + frames + 7) // 8, len(BURSTS))
        assert ((probabilities > 0) & (probabilities < 1)).all()


def test_thresholds_are_above_the_false_alarms_in_speech() -> None:
    speech = [heard(clip(None), "laugh", 0.6) for _ in range(20)]
    thresholds = choose_thresholds([*speech, heard(clip("laugh", "laughing"), "laugh", 0.9)])
    assert 0.6 < thresholds["laugh"] < 0.9
    assert thresholds["cough"] < 0.3


def test_figures_count_hits_confusions_and_alarms() -> None:
    read = [
        heard(clip("laugh", "laughing"), "laugh"),
        heard(clip("laugh", "laughing"), "cry"),
        heard(clip(None, "yawning"), "sigh"),
        heard(clip(None, frames=6000), "cough"),
    ]
    figures = burst_figures(read, dict.fromkeys(BURSTS, 0.5))
    assert figures["kinds"]["laugh"] == {"n": 2, "recall": 0.5, "instead": {"cry": 1}}
    assert figures["other_sounds"]["yawning"] == {"n": 1, "taken_for": {"sigh": 1}}
    assert figures["alarms_per_ten_minutes"]["toy"]["cough"] == 10
    assert "| laugh | 2 | 0.50 | cry 1 |" in burst_table(figures)
