"""Live readings by the real face detector, voice detection and fusion; random weights for faces, a rule for voices."""

import io
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ml.errors import FrameTooLarge, MediaInvalid
from ml.inference.face.detector import FaceDetector
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.bundle import LoadedBundle
from ml.inference.pipeline.live import LiveReader
from ml.media import SAMPLE_RATE
from ml.media.webcam import read_jpeg
from ml.results import Options
from tests.face_files import nobody, portrait, two_people
from tests.speech_files import say, silence


@pytest.fixture(scope="module")
def models(analyzer: Analyzer) -> LoadedBundle:
    return analyzer.models


@pytest.fixture(scope="module")
def detector(models: LoadedBundle) -> Iterator[FaceDetector]:
    assert models.face is not None
    with FaceDetector(models.face.crop_size) as detector:
        yield detector


def test_read_face_keeps_its_track_and_is_dropped_when_old(models: LoadedBundle, detector: FaceDetector) -> None:
    reader = LiveReader(models, Options(window_seconds=2), detector)
    assert reader.read().window.emotion is None
    for step in range(5):
        reader.add_frame(step / 10, portrait(), 2.0)
    stands = reader.read()
    (face,) = stands.faces
    assert (face.track, face.frame.time, stands.time) == (1, 0.4, 0.4)
    assert face.frame.box.x == pytest.approx(170, abs=30) and face.frame.box.width == pytest.approx(196, abs=40)
    assert stands.window.modalities.face is not None and stands.window.missing == ("audio", "text")
    assert sum(stands.window.probabilities.values()) == pytest.approx(1, abs=1e-6)
    reader.add_frame(0.5, two_people(), 1.0)
    assert [face.track for face in reader.read().faces] in ([1, 2], [2, 1], [2, 3], [3, 2])
    reader.add_frame(0.6, nobody(), 1.0)
    assert reader.read().faces == ()
    reader.add_frame(5.0, nobody(), 1.0)
    assert reader.read().window.emotion is None


def test_add_frame_of_changing_size_is_read(models: LoadedBundle, detector: FaceDetector) -> None:
    reader = LiveReader(models, Options(window_seconds=2), detector)
    sizes = [portrait(), portrait()[::2, ::2].copy(), nobody()[:1, :1].copy(), nobody()[:2].copy(), portrait()]
    for step, image in enumerate(sizes):
        reader.add_frame(step / 10, image, 1.0)
        faces = reader.read().faces
        height, width = image.shape[:2]
        assert all(0 <= face.frame.box.x <= width and 0 <= face.frame.box.y <= height for face in faces)
    assert len(faces) == 1


def test_add_frame_older_than_the_newest_is_ignored(models: LoadedBundle, detector: FaceDetector) -> None:
    reader = LiveReader(models, Options(), detector)
    reader.add_frame(1.0, nobody(), 1.0)
    reader.add_frame(0.5, portrait(), 1.0)
    assert reader.read().faces == ()


def test_read_voice_of_the_last_seconds_but_not_of_silence(models: LoadedBundle) -> None:
    reader = LiveReader(models, Options(window_seconds=4), None)
    spoken = np.concatenate([say("I have told you so many times before"), silence(5.0)])
    step = SAMPLE_RATE // 5
    read = []
    for first in range(0, len(spoken) - step, step):
        reader.add_audio(first / SAMPLE_RATE, spoken[first : first + step])
        read.append(reader.read())
    heard = read[9].window.modalities.audio
    assert heard is not None and heard.speech > 0.5 and read[9].window.emotion == "angry"
    assert read[9].time == pytest.approx(2.0) and read[-1].window.emotion is None


def jpeg(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (10, 200, 30)).save(out, "JPEG")
    return out.getvalue()


def test_read_jpeg_shrinks_a_large_frame_and_refuses_a_larger_one() -> None:
    picture = read_jpeg(jpeg(1280, 720))
    assert picture.image.shape == (360, 640, 3) and picture.scale == 2
    assert np.abs(picture.image[5, 5].astype(int) - (10, 200, 30)).max() < 6
    assert read_jpeg(jpeg(320, 200)).image.shape == (200, 320, 3)
    with pytest.raises(FrameTooLarge):
        read_jpeg(jpeg(4000, 600))
    sides = jpeg(64, 48).replace(bytes((0, 48, 0, 64)), b"\xff\x00\xff\x00", 1)
    with pytest.raises(FrameTooLarge):  # beyond Pillow's own bound
        read_jpeg(sides)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.tuples(st.integers(0, 900), st.binary(max_size=40)))
def test_read_jpeg_any_bytes_are_an_image_or_refused(data: bytes | tuple[int, bytes]) -> None:
    whole = jpeg(64, 48)
    payload = data if isinstance(data, bytes) else whole[: data[0]] + data[1] + whole[data[0] + len(data[1]) :]
    with suppress(MediaInvalid, FrameTooLarge):
        assert read_jpeg(payload).image.shape[2] == 3
