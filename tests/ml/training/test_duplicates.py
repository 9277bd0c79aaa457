import numpy as np
import torch

from ml.training.duplicates import near_duplicate_images, near_duplicate_sounds


def test_near_duplicate_images_finds_mirrored_relit_and_resized_pictures() -> None:
    torch.manual_seed(0)
    held = torch.nn.functional.interpolate(torch.rand(5, 1, 6, 6), size=(48, 48), mode="bicubic").squeeze(1)
    held = (held.clamp(0, 1) * 200).to(torch.uint8)
    other = (torch.nn.functional.interpolate(torch.rand(3, 1, 6, 6), size=(48, 48)).squeeze(1) * 200).to(torch.uint8)
    training = torch.cat([held[:1], held[1:2].flip(-1), held[2:3] // 2 + 40, other])
    assert near_duplicate_images(training, held).tolist() == [True, True, True, False, False, False]
    assert not near_duplicate_images(training, held[:0]).any()


def test_near_duplicate_sounds_finds_equal_samples() -> None:
    sounds = [np.arange(5, dtype=np.int16), np.arange(6, dtype=np.int16)]
    assert near_duplicate_sounds(sounds, sounds[1:]).tolist() == [False, True]
