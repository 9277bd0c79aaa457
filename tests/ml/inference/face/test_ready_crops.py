import cv2
import numpy as np
import pytest

from ml.inference.face.ready_crops import CropDetector, crop_notices
from ml.media import MediaInfo
from ml.networks.crops import resize_crop
from ml.results import Options


def media(kind: str, width: int | None, height: int | None) -> MediaInfo:
    return MediaInfo(
        kind=kind,  # type: ignore[arg-type]
        duration=None,
        width=width,
        height=height,
        frame_rate=None,
        has_audio=kind != "image",
        has_video=kind == "video",
        rotation=0,
        audio_channels=0,
        sha256="",
        format="png",
    )


def codes(options: Options, info: MediaInfo) -> list[str]:
    return [notice.code for notice in crop_notices(options, info)]


def test_crop_detector_takes_the_whole_image_as_the_training_does() -> None:
    image = np.random.default_rng(3).integers(0, 256, (120, 100, 3), np.uint8)
    with CropDetector(48) as detector:
        ((face,),) = detector.detect_batch([image], 1)
    assert (face.box, face.score, face.landmarks, face.rank) == ((0, 0, 100, 120), 1.0, None, 0)
    assert np.array_equal(face.crop, resize_crop(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 48))


def test_crop_detector_finds_one_face_in_each_image() -> None:
    with CropDetector(48) as detector:
        found = detector.detect_batch([np.zeros((8, 8, 3), np.uint8), np.zeros((500, 400, 3), np.uint8)], 8)
    assert [len(faces) for faces in found] == [1, 1]
    assert {face.crop.shape for (face,) in found} == {(48, 48)}


@pytest.mark.parametrize(
    ("options", "info", "expected"),
    [
        (Options(), media("image", 1920, 1080), []),
        (Options(crops=True), media("image", 100, 120), []),
        (Options(crops=True), media("video", 1920, 1080), ["crops_doubtful"]),
        (Options(crops=True), media("image", 100, 200), ["crops_doubtful"]),
        (Options(crops=True, landmarks=True), media("image", 48, 48), ["landmarks_unavailable"]),
        (Options(crops=True), media("audio", None, None), ["crops_unavailable"]),
        (Options(crops=True, modalities=("audio",)), media("video", 100, 100), ["crops_unavailable"]),
    ],
)
def test_crop_notices_name_what_makes_no_sense(options: Options, info: MediaInfo, expected: list[str]) -> None:
    assert codes(options, info) == expected
