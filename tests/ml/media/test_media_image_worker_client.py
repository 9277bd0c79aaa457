import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.cpu import cpu_count
from ml.errors import MediaInvalid, ProcessingTimeout
from ml.media import MediaLimits, image_worker_client, load_image, probe
from ml.media.image_worker_client import ImageWorker
from tests.cluster import until


def waiting() -> list[ImageWorker]:
    return image_worker_client._pool(os.getpid()).idle


@pytest.fixture(autouse=True)
def no_child() -> None:
    while waiting():
        waiting().pop().close()


def read(path: Path, limits: MediaLimits) -> np.ndarray:
    return load_image(path, probe(path, limits), limits).image


def test_image_worker_is_reused(media: Path, limits: MediaLimits) -> None:
    first = read(media / "image.jpg", limits)
    (child,) = waiting()
    read(media / "image.png", limits)
    assert waiting() == [child]
    assert np.array_equal(read(media / "image.jpg", limits), first)


def test_image_worker_damaged_image_ends_it(media: Path, tmp_path: Path, limits: MediaLimits) -> None:
    half = tmp_path / "half.jpg"
    content = (media / "image.jpg").read_bytes()
    half.write_bytes(content[: len(content) // 2])
    assert load_image(half, probe(half, limits), limits).damaged
    assert waiting() == []
    assert not load_image(media / "image.jpg", probe(media / "image.jpg", limits), limits).damaged


def test_image_worker_killed_while_idle_is_replaced(media: Path, limits: MediaLimits) -> None:
    before = read(media / "image.jpg", limits)
    (child,) = waiting()
    os.kill(child.pid, signal.SIGKILL)
    until(lambda: not child.is_running)
    assert np.array_equal(read(media / "image.jpg", limits), before)
    assert waiting() != [child]


def test_image_worker_too_slow_is_replaced(media: Path, limits: MediaLimits) -> None:
    info = probe(media / "image.jpg", limits)
    read(media / "image.jpg", limits)
    (child,) = waiting()
    os.kill(child.pid, signal.SIGSTOP)
    with pytest.raises(ProcessingTimeout):
        load_image(media / "image.jpg", info, replace(limits, probe_seconds=0.05))
    assert not child.is_running
    assert not load_image(media / "image.jpg", info, limits).damaged


def test_image_worker_out_of_memory_ends_it_alone(media: Path, limits: MediaLimits) -> None:
    info = probe(media / "image.jpg", limits)
    with pytest.raises(MediaInvalid):
        load_image(media / "image.jpg", info, replace(limits, child_memory=50 * 2**20))
    assert load_image(media / "image.jpg", info, limits).image.size


def test_image_worker_serves_bounded_number_of_images(
    media: Path, limits: MediaLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_worker_client, "MAX_IMAGES_PER_WORKER", 2)
    read(media / "image.jpg", limits)
    assert len(waiting()) == 1
    read(media / "image.jpg", limits)
    assert waiting() == []


def test_image_worker_pool_has_one_per_core(media: Path, limits: MediaLimits) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: read(media / "image.jpg", limits), range(12)))
    assert all(np.array_equal(each, found[0]) for each in found)
    assert len(waiting()) <= cpu_count()


def test_image_worker_unusual_file_names_are_decoded(media: Path, tmp_path: Path, limits: MediaLimits) -> None:
    for name in ("ein Bild\n.jpg", "größer.jpg", os.fsdecode(b"\xff\xfe.jpg")):
        path = tmp_path / name
        path.write_bytes((media / "image.jpg").read_bytes())
        assert read(path, limits).shape == (120, 160, 3)
