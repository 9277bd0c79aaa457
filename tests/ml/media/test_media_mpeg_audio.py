from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.media.mpeg_audio import MAX_JUNK_BYTES, has_damage, lost_frames_only
from tests.media_files import tag


def frames(count: int, header: bytes = b"\xff\xfb\x90\x00", length: int = 417) -> bytes:
    """Frames of 128 kbit/s at 44.1 kHz."""
    return (header + bytes(length - 4)) * count


LOW_RATE = frames(3, b"\xff\xf3\x84\xc4", 208)
"""Frames of MPEG 2 at 64 kbit/s and 22.05 kHz."""
APE = b"APETAGEX" + bytes([208, 7, 0, 0, 64, 0, 0, 0]) + bytes(4) + b"\0\0\0\xa0" + bytes(8) + bytes(64)


@pytest.mark.parametrize(
    ("content", "damaged"),
    [
        (frames(5), False),
        (tag("id3") + frames(5) + tag("id3v1") + tag("id3") + LOW_RATE + APE + tag("id3v1"), False),
        (frames(3) + frames(1)[:200] + frames(3), False),
        (frames(3) + bytes(MAX_JUNK_BYTES + 1) + frames(3), True),
        (bytes(range(256)) * 40, True),
    ],
)
def test_has_damage_knows_frames_and_tags(tmp_path: Path, content: bytes, damaged: bool) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(content)
    assert has_damage(path) == damaged


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([frames(1), tag("id3"), tag("id3v1"), b"\xff", b"ID3"]) | st.binary(max_size=600)))
def test_has_damage_of_any_content_returns(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("mp3") / "a.mp3"
    path.write_bytes(b"".join(pieces) or b"\0")
    assert has_damage(path) in (True, False)


def test_lost_frames_only_knows_the_messages_about_tags() -> None:
    lost = "[mp3float @ 0x55b32044cf00] Header missing\n"
    error = "Error while decoding stream #0:0: Invalid data found when processing input\n"
    assert lost_frames_only(lost + error) and lost_frames_only("")
    assert not lost_frames_only(lost + "[mp3float @ 0x55b32044cf00] invalid new backstep -1\n")
