import pytest

from ml.inference.pipeline.decoded_audio import AudioLayout
from ml.inference.pipeline.media_notices import gap_notices, track_notices
from ml.media import MediaInfo, MediaLimits, probe
from ml.results import Options
from tests.media_files import make_tracks


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> MediaInfo:
    return probe(make_tracks(tmp_path_factory.mktemp("tracks") / "a.mkv", (300, 0, 400), 0.3), MediaLimits())


@pytest.mark.parametrize(
    ("layout", "options", "said"),
    [
        (
            AudioLayout(None, (0, 2), 3, are_tracks=True),
            Options(),
            "Tracks 0 and 2 were mixed; the others carry",
        ),
        (AudioLayout(None, (2,), 0), Options(), "Track 2 was read; the others carry no sound."),
        (AudioLayout(1, (1,), 0), Options(audio_track=1), "Track 1 was read, as requested."),
        (AudioLayout(None, (0, 2), 3, are_tracks=True), Options(audio_track=7), "There is no track 7."),
    ],
)
def test_track_notices_say_what_was_read(info: MediaInfo, layout: AudioLayout, options: Options, said: str) -> None:
    (notice,) = track_notices(info, layout, options)
    assert notice.code == "audio_tracks" and said in notice.message
    assert notice.message.startswith("The file has 3 audio tracks: 0, 1, 2.")


def test_track_notices_without_audio_are_none(info: MediaInfo) -> None:
    assert track_notices(info, None, Options()) == ()


def test_gap_notices_name_the_longest_gaps() -> None:
    assert gap_notices(()) == ()
    (notice,) = gap_notices(((2.0, 302.0),))
    assert notice.code == "time_gap" and "from 2.0 to 302.0 s (300.0 s in all)" in notice.message
    (notice,) = gap_notices(tuple((100.0 * n, 100.0 * n + 20 + n) for n in range(5)))
    assert "from 200.0 to 222.0 s" in notice.message and "and 2 more stretches" in notice.message
