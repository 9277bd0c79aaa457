from dataclasses import replace

import pytest

from ml.errors import FrameTooLarge, MediaInvalid, MediaTooLong
from ml.media import DecodedExtent, MediaInfo, MediaLimits

FILM = MediaInfo("video", 10.0, 64, 64, 25.0, True, True, 0, 1, "0", "mp4")
LIMITS = MediaLimits(max_seconds=60)
SOUND = DecodedExtent(sound=10.02, heard=True)


def test_extent_union_covers_video_and_audio() -> None:
    first, last = DecodedExtent(picture=6.0, step=0.25), DecodedExtent(picture=10.0, step=0.25)
    whole = SOUND | first | last
    assert (whole.picture, whole.sound, whole.end) == (10.0, 10.02, 10.02)
    assert whole.duration(FILM) == 10.0 and whole.validate(FILM, LIMITS) is False
    assert (whole | DecodedExtent(damaged=True)).validate(FILM, LIMITS) is True


@pytest.mark.parametrize(
    ("reach", "duration"),
    [
        (SOUND | DecodedExtent(picture=10.0, step=0.25), 10.0),
        (DecodedExtent(sound=12.0, heard=True) | DecodedExtent(picture=10.0, step=0.25), 12.0),
        (DecodedExtent(sound=4.0, heard=True) | DecodedExtent(picture=5.0, step=0.25), 5.0),
        (DecodedExtent(sound=4.0, heard=True), 10.0),
        (DecodedExtent(), 10.0),
    ],
)
def test_extent_duration_is_declared_one_if_decoding_confirms_it(reach: DecodedExtent, duration: float) -> None:
    assert reach.duration(FILM) == duration


def test_extent_validate_early_end_is_damaged_and_nothing_raises() -> None:
    cut = DecodedExtent(sound=3.0, heard=True) | DecodedExtent(picture=3.0, step=0.25)
    assert cut.validate(FILM, LIMITS) is True
    with pytest.raises(MediaInvalid):
        (DecodedExtent(picture=0.5, step=0.25) | DecodedExtent(sound=0.5, heard=True)).validate(FILM, LIMITS)
    with pytest.raises(MediaInvalid):
        DecodedExtent(step=0.25, heard=True).validate(FILM, LIMITS)
    with pytest.raises(FrameTooLarge):
        DecodedExtent(step=0.25, heard=True, oversized=True).validate(FILM, LIMITS)
    assert DecodedExtent().validate(FILM, LIMITS) is False  # nothing was requested


def test_extent_validate_audio_too_long_raises() -> None:
    long = DecodedExtent(sound=61.0, heard=True)
    for validate in (long.validate_audio, long.validate):
        with pytest.raises(MediaTooLong):
            validate(FILM, LIMITS)
    with pytest.raises(MediaTooLong):
        DecodedExtent(picture=61.0, step=0.25).validate(FILM, LIMITS)
    with pytest.raises(MediaInvalid):
        DecodedExtent(heard=True).validate_audio(replace(FILM, kind="audio"), LIMITS)
    DecodedExtent(heard=True).validate_audio(FILM, LIMITS)
