from dataclasses import replace

import pytest

from ml.errors import FrameTooLarge, MediaInvalid, MediaTooLong
from ml.media import MediaInfo, MediaLimits, Reach

FILM = MediaInfo("video", 10.0, 64, 64, 25.0, True, True, 0, 1, "0", "mp4")
LIMITS = MediaLimits(max_seconds=60)
SOUND = Reach(sound=10.02, heard=True)


def test_picture_and_sound_are_judged_together() -> None:
    first, last = Reach(picture=6.0, step=0.25), Reach(picture=10.0, step=0.25)
    whole = SOUND | first | last
    assert (whole.picture, whole.sound, whole.end) == (10.0, 10.02, 10.02)
    assert whole.duration(FILM) == 10.0 and whole.judge(FILM, LIMITS) is False
    assert (whole | Reach(damaged=True)).judge(FILM, LIMITS) is True


@pytest.mark.parametrize(
    ("reach", "duration"),
    [
        (SOUND | Reach(picture=10.0, step=0.25), 10.0),
        (Reach(sound=12.0, heard=True) | Reach(picture=10.0, step=0.25), 12.0),
        (Reach(sound=4.0, heard=True) | Reach(picture=5.0, step=0.25), 5.0),
        (Reach(sound=4.0, heard=True), 10.0),
        (Reach(), 10.0),
    ],
)
def test_the_container_is_believed_where_decoding_bears_it_out(reach: Reach, duration: float) -> None:
    assert reach.duration(FILM) == duration


def test_a_film_that_ends_early_is_damaged_and_one_of_nothing_is_refused() -> None:
    cut = Reach(sound=3.0, heard=True) | Reach(picture=3.0, step=0.25)
    assert cut.judge(FILM, LIMITS) is True
    with pytest.raises(MediaInvalid):
        (Reach(picture=0.5, step=0.25) | Reach(sound=0.5, heard=True)).judge(FILM, LIMITS)
    with pytest.raises(MediaInvalid):
        Reach(step=0.25, heard=True).judge(FILM, LIMITS)
    with pytest.raises(FrameTooLarge):
        Reach(step=0.25, heard=True, oversized=True).judge(FILM, LIMITS)
    assert Reach().judge(FILM, LIMITS) is False  # nobody asked for anything


def test_what_is_too_long_is_known_before_the_picture_is_read() -> None:
    long = Reach(sound=61.0, heard=True)
    for judge in (long.judge_sound, long.judge):
        with pytest.raises(MediaTooLong):
            judge(FILM, LIMITS)
    with pytest.raises(MediaTooLong):
        Reach(picture=61.0, step=0.25).judge(FILM, LIMITS)
    with pytest.raises(MediaInvalid):
        Reach(heard=True).judge_sound(replace(FILM, kind="audio"), LIMITS)
    Reach(heard=True).judge_sound(FILM, LIMITS)
