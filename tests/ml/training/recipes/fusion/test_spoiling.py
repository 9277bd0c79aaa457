import numpy as np
import pytest

from ml.inference.face.quality import sharpness
from ml.inference.voice.quality import voice_quality
from ml.training.recipes.fusion.spoiling import spoil_face, spoil_sentence, spoil_voice
from tests.speech_files import noise

CROP = (np.add.outer(np.arange(64), np.arange(64)) % 16 * 12 + 30).astype(np.uint8)


@pytest.mark.parametrize("seed", range(8))
def test_spoil_face_keeps_the_shape_and_changes_the_picture(seed: int) -> None:
    spoilt, side = spoil_face(np.random.default_rng(seed), CROP)
    assert spoilt.shape == CROP.shape and spoilt.dtype == np.uint8 and side >= 8
    assert not np.array_equal(spoilt, CROP)
    if side < 30:
        assert sharpness(spoilt) < sharpness(CROP)


@pytest.mark.parametrize("seed", range(8))
def test_spoil_voice_stays_a_sound(seed: int) -> None:
    voice = noise(1.0, 0.3).astype(np.float32) / 32768
    spoilt = spoil_voice(np.random.default_rng(seed), voice, [voice[::-1]])
    assert spoilt.dtype == np.float32 and 0 < len(spoilt) <= len(voice)
    assert np.isfinite(spoilt).all() and np.abs(spoilt).max() <= 1
    assert np.isfinite(voice_quality(spoilt)).all()


def test_spoil_sentence_has_words_of_another() -> None:
    random = np.random.default_rng(0)
    spoilt = [spoil_sentence(random, "one two three four", "alpha beta") for _ in range(20)]
    assert all(spoilt) and any("alpha" in text or "beta" in text for text in spoilt)
    assert spoil_sentence(random, "", "") == ""
