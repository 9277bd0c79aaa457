import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ml.inference.api import WHOLE_MEDIA, TimeSpan
from ml.inference.people.speaker_networks import SpeakerNetworks
from ml.inference.people.speech_pieces import (
    BLOCK_STRETCHES,
    FRAME_SECONDS,
    HOP_SECONDS,
    SpeechListener,
    SpeechPieces,
    active_speakers,
    joined,
    spans_of,
    stretch_blocks,
)
from ml.media import SAMPLE_RATE
from ml.networks.speaker_segmentation import FRAME_STEP

EVERYWHERE = [TimeSpan(0, 1000)]


class LoudSegmentation(nn.Module):
    """Hears the first speaker wherever the sound is not silent."""

    def forward(self, sound_NS: Tensor) -> Tensor:
        frames = sound_NS.unfold(1, FRAME_STEP, FRAME_STEP).abs().mean(-1) > 1e-4
        return torch.nn.functional.one_hot(frames.long(), 7).float()


class MeanEmbedding(nn.Module):
    """Returns the standard deviation of each band, in place of an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, frames_NTM: Tensor) -> Tensor:
        return torch.nn.functional.pad(frames_NTM.std(1), (0, 112))


def listener() -> SpeechListener:
    return SpeechListener(SpeakerNetworks(LoudSegmentation(), MeanEmbedding()))  # type: ignore[arg-type]


def noise(seconds: float) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(round(seconds * SAMPLE_RATE)) * 2000).astype(np.int16)


def listen(pcm: np.ndarray, speech: list[TimeSpan], part: TimeSpan = WHOLE_MEDIA) -> SpeechPieces:
    return listener().listen(pcm, speech, part, lambda: None)


def test_pieces_cover_each_moment_of_speech_once() -> None:
    spans = listen(noise(25), EVERYWHERE).spans_Q2
    assert len(spans) > 6
    assert spans[0, 0] == 0 and spans[-1, 1] == pytest.approx(25, abs=0.02)
    assert np.diff(spans, axis=1).sum() == pytest.approx(25, abs=0.05)


def test_embeddings_are_unit_vectors() -> None:
    assert np.linalg.norm(listen(noise(5), EVERYWHERE).embeddings_QE, axis=1) == pytest.approx(1, abs=1e-5)


def test_a_sound_too_short_for_an_embedding_has_none() -> None:
    pcm = np.concatenate([noise(4), np.zeros(SAMPLE_RATE, np.int16), noise(0.2)])
    pieces = listen(pcm, EVERYWHERE)
    assert pieces.weights_Q[-1] == 0
    assert not pieces.embeddings_QE[-1].any()


def test_a_recording_with_hardly_any_speech_is_not_heard() -> None:
    assert len(listen(noise(30), [TimeSpan(3, 4.5)])) == 0


def test_parts_give_the_pieces_of_the_whole() -> None:
    pcm, speech = noise(150), [TimeSpan(0, 40), TimeSpan(61, 140)]
    whole = listen(pcm, speech)
    parts = [listen(pcm, speech, part) for part in (TimeSpan(0, 60), TimeSpan(60, 120), TimeSpan(120, 1e9))]
    joint = SpeechPieces.concatenated(parts)
    assert np.array_equal(joint.spans_Q2, whole.spans_Q2)
    assert np.array_equal(joint.embeddings_QE, whole.embeddings_QE)
    assert np.array_equal(joint.weights_Q, whole.weights_Q)
    assert np.array_equal(joint.locals_Q, whole.locals_Q)


def test_the_most_probable_set_of_speakers_is_active() -> None:
    both = np.eye(7, dtype=np.float32)[[[0, 1, 4]]]
    assert active_speakers(both)[0].tolist() == [[False] * 3, [True, False, False], [True, True, False]]


@pytest.mark.parametrize(
    ("duration", "count"), [(0.5, 1), (10, 1), (10.1, 2), (10 + HOP_SECONDS, 2), (10.1 + HOP_SECONDS, 3)]
)
def test_stretches_cover_the_sound(duration: float, count: int) -> None:
    starts = [start for block in stretch_blocks(duration, EVERYWHERE, WHOLE_MEDIA) for start in block]
    assert starts == [number * HOP_SECONDS for number in range(count)]


def test_parts_have_the_blocks_of_the_whole_where_there_is_speech() -> None:
    speech, block = [TimeSpan(2, 3), TimeSpan(171, 174)], BLOCK_STRETCHES * HOP_SECONDS
    whole = list(stretch_blocks(300, speech, WHOLE_MEDIA))
    border = 3 * block + 1
    parts = [*stretch_blocks(300, speech, TimeSpan(0, border)), *stretch_blocks(300, speech, TimeSpan(border, 300))]
    assert whole == parts
    assert all(start + 10 > 171 or start < 3 for found in whole for start in found)


def test_spans_of_frames_are_joined_over_short_gaps() -> None:
    active = np.array([0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1], bool)
    step = FRAME_SECONDS
    assert spans_of(active, 0.05) == [TimeSpan(step, 5 * step), TimeSpan(13 * step, 14 * step)]


def test_joined_spans_are_in_order_and_hold_what_lies_inside() -> None:
    assert joined([TimeSpan(4, 5), TimeSpan(0, 3), TimeSpan(1, 2)], 0.5) == [TimeSpan(0, 3), TimeSpan(4, 5)]


def test_pieces_of_two_local_speakers_of_a_stretch_may_overlap() -> None:
    spans = np.array([[0.0, 2.0], [1.5, 3.0], [1.5, 3.0], [2.5, 4.0]])
    pieces = SpeechPieces(spans, np.zeros((4, 192), np.float32), np.ones(4, np.float32), np.array([0, 1, 3, 0]))
    assert pieces.overlapping() == {0: [1], 1: [0, 3], 3: [1]}
