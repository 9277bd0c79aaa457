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


def test_pictures_share_a_child(media: Path, limits: MediaLimits) -> None:
    first = read(media / "image.jpg", limits)
    (child,) = waiting()
    read(media / "image.png", limits)
    assert waiting() == [child]
    assert np.array_equal(read(media / "image.jpg", limits), first)


def test_a_damaged_picture_ends_its_child(media: Path, tmp_path: Path, limits: MediaLimits) -> None:
    half = tmp_path / "half.jpg"
    content = (media / "image.jpg").read_bytes()
    half.write_bytes(content[: len(content) // 2])
    assert load_image(half, probe(half, limits), limits).damaged
    assert waiting() == []
    assert not load_image(media / "image.jpg", probe(media / "image.jpg", limits), limits).damaged


def test_a_child_that_died_meanwhile_costs_nobody_a_picture(media: Path, limits: MediaLimits) -> None:
    before = read(media / "image.jpg", limits)
    (child,) = waiting()
    os.kill(child.pid, signal.SIGKILL)
    until(lambda: not child.is_running)
    assert np.array_equal(read(media / "image.jpg", limits), before)
    assert waiting() != [child]


def test_a_child_that_takes_too_long_is_replaced(media: Path, limits: MediaLimits) -> None:
    info = probe(media / "image.jpg", limits)
    read(media / "image.jpg", limits)
    (child,) = waiting()
    os.kill(child.pid, signal.SIGSTOP)
    with pytest.raises(ProcessingTimeout):
        load_image(media / "image.jpg", info, replace(limits, probe_seconds=0.05))
    assert not child.is_running
    assert not load_image(media / "image.jpg", info, limits).damaged


def test_a_picture_beyond_the_memory_of_a_child_ends_it_alone(media: Path, limits: MediaLimits) -> None:
    info = probe(media / "image.jpg", limits)
    with pytest.raises(MediaInvalid):
        load_image(media / "image.jpg", info, replace(limits, child_memory=50 * 2**20))
    assert load_image(media / "image.jpg", info, limits).image.size


def test_a_child_serves_a_bounded_number_of_pictures(
    media: Path, limits: MediaLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_worker_client, "MAX_IMAGES_PER_WORKER", 2)
    read(media / "image.jpg", limits)
    assert len(waiting()) == 1
    read(media / "image.jpg", limits)
    assert waiting() == []


def test_threads_share_as_many_children_as_there_are_cores(media: Path, limits: MediaLimits) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: read(media / "image.jpg", limits), range(12)))
    assert all(np.array_equal(each, found[0]) for each in found)
    assert len(waiting()) <= cpu_count()


def test_unusual_names_reach_the_child(media: Path, tmp_path: Path, limits: MediaLimits) -> None:
    for name in ("ein Bild\n.jpg", "größer.jpg", os.fsdecode(b"\xff\xfe.jpg")):
        path = tmp_path / name
        path.write_bytes((media / "image.jpg").read_bytes())
        assert read(path, limits).shape == (120, 160, 3)
