from pathlib import Path

import pytest

from ml.media import MediaLimits, probe
from ml.media.tracks import MAX_NAME_LENGTH, MAX_NAMED_TRACKS, AudioTrack, describe_tracks
from tests.media_files import make_tracks


def track(**tags: str) -> AudioTrack:
    return AudioTrack.from_stream({"index": 1, "channels": 2, "tags": tags, "disposition": {"default": 1}})


@pytest.mark.parametrize(
    ("tags", "description"),
    [
        ({}, ""),
        ({"language": "und", "handler_name": "SoundHandler"}, ""),
        ({"language": "eng"}, "English"),
        ({"LANGUAGE": "ger", "title": "Commentary"}, 'German, "Commentary"'),
        ({"language": "qaa", "handler_name": "Desktop audio"}, 'qaa, "Desktop audio"'),
        ({"title": "one\n\x1b[2Jtwo"}, '"one [2Jtwo"'),
    ],
)
def test_audio_track_describes_its_tags(tags: dict[str, str], description: str) -> None:
    assert track(**tags).description == description


def test_audio_track_long_names_are_cut() -> None:
    assert len(track(title="x" * 10_000).description) == MAX_NAME_LENGTH + 2


def test_describe_tracks_names_the_first_of_many() -> None:
    assert describe_tracks([track(language="eng"), track()]) == "0 (English), 1"
    assert describe_tracks([track()] * 100).endswith(f"and {100 - MAX_NAMED_TRACKS} more")


def test_probe_lists_all_tracks(tmp_path: Path) -> None:
    info = probe(make_tracks(tmp_path / "a.mkv", (300, 0), 0.5, names=("Guest", "Host")), MediaLimits())
    assert [track.title for track in info.audio_tracks] == ["Guest", "Host"]
    assert info.audio_stream == info.audio_tracks[0].stream
    assert info.with_track(1).audio_stream == info.audio_tracks[1].stream
