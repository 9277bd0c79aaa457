"""Small labelled sets in the generic layout, which a net can learn in a moment."""

import wave
from pathlib import Path

import cv2
import numpy as np

from ml.training.datasets.splits import split_by
from ml.vocabulary import EMOTIONS

SPLITS = ("train", "valid", "test")


def numbers(dataset: str, label: int, counts: tuple[int, int, int]) -> list[str]:
    """As many names as are wanted on each side of the split, which the name decides."""
    left, found, number = dict(zip(SPLITS, counts, strict=True)), [], 0
    while any(left.values()):
        name = f"{label}x{number}"
        split = split_by(f"{dataset}_{name}")
        if left[split]:
            left[split] -= 1
            found.append(name)
        number += 1
    return found


def make_faces(root: Path, counts: tuple[int, int, int] = (16, 4, 4)) -> Path:
    """Crops with a bright bar, whose height in the picture tells the emotion."""
    root.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for label, emotion in enumerate(EMOTIONS):
        for name in numbers("made", label, counts):
            image = random.integers(0, 90, (56, 56), dtype=np.uint8)
            image[4 + 7 * label : 10 + 7 * label] += 150
            cv2.imwrite(str(root / f"made_{name}_{emotion}.png"), image)
    return root


def make_voices(root: Path, counts: tuple[int, int, int] = (12, 3, 3)) -> Path:
    """Noisy tones, whose pitch tells the emotion."""
    root.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    times = np.arange(12_000) / 16_000
    for label in range(len(EMOTIONS)):
        for name in numbers("tones", label, counts):
            tone = np.sin(2 * np.pi * 150 * 1.5**label * times + random.uniform(0, 6)) + random.normal(
                0, 0.1, len(times)
            )
            with wave.open(str(root / f"tones_{name}_{label}.wav"), "wb") as sound:
                sound.setparams((1, 2, 16_000, 0, "NONE", ""))
                sound.writeframes((tone * 9_000).astype(np.int16).tobytes())
    return root
