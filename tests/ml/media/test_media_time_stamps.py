from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import MediaTooLong
from ml.media import Decoder, DecodeRequest, MediaLimits, probe
from ml.media.time_stamps import MAX_GAPS, PacketTimes, gap_seconds, grid_ranges, in_gap
from tests.media_files import ffmpeg, make_jumping_video

LIMITS = MediaLimits()


def packets(*streams: list[tuple[float, float]]) -> PacketTimes:
    """`streams`: start and length of the packets of each."""
    times = PacketTimes()
    for number, stream in enumerate(streams):
        for start, length in stream:
            times.add(number, start, length)
    return times


def steady(start: float, end: float, step: float) -> list[tuple[float, float]]:
    return [(float(time), step) for time in np.arange(start, end - 1e-9, step)]


def test_packet_times_jump_of_both_streams_is_a_gap() -> None:
    extent = packets(steady(0, 2, 0.1) + steady(302, 304, 0.1), steady(0, 2.1, 0.02) + steady(302, 304, 0.02)).extent()
    assert extent.gaps == (pytest.approx((2.1, 302.0), abs=0.05),) and extent.end is None


def test_packet_times_still_picture_with_sound_has_no_gap() -> None:
    assert packets([(0.0, 0.04), (300.0, 0.04)], steady(0, 305, 0.02)).extent().gaps == ()


def test_packet_times_silent_slides_have_no_gap() -> None:
    assert packets([(30.0 * number, 0.04) for number in range(6)]).extent().gaps == ()


def test_packet_times_stated_time_to_next_packet_does_not_fill_a_gap() -> None:
    """MP4 states no time of a packet, but the time to the next one."""
    extent = packets([*steady(0, 2, 0.1), (2.0, 300.0), *steady(302, 304, 0.1)]).extent()
    assert extent.gaps == (pytest.approx((2.1, 302.0)),)


def test_packet_times_lone_packet_far_ahead_is_not_the_end() -> None:
    extent = packets([*steady(0, 4, 0.1), (3600.0, 0.1)], steady(0, 4, 0.02)).extent()
    assert extent.end == pytest.approx(4.0, abs=0.05) and extent.gaps == ()


def test_packet_times_without_packets_have_no_end() -> None:
    assert PacketTimes().extent().end is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e4)), max_size=80), max_size=3))
def test_packet_times_any_packets_give_ordered_gaps(streams: list[list[tuple[float, float]]]) -> None:
    extent = packets(*streams).extent()
    edges = [edge for gap in extent.gaps for edge in gap]
    assert edges == sorted(edges) and len(extent.gaps) <= MAX_GAPS
    assert gap_seconds(extent.gaps) <= 1e6 + 1
    assert all(first < last for first, last in grid_ranges(extent.gaps, 4.0))


@pytest.mark.parametrize("name", ["jump.mkv", "jump.mp4", "jump.webm", "jump.ts"])
def test_probe_jump_of_time_stamps_is_a_gap(tmp_path: Path, name: str) -> None:
    path = make_jumping_video(tmp_path / name, 300.0)
    info = probe(path, LIMITS)
    assert info.duration == pytest.approx(304.0, abs=0.3)
    ((start, end),) = info.gaps
    assert (start, end) == pytest.approx((2.05, 302.0), abs=0.2)
    request = DecodeRequest(4.0, audio=True)
    with Decoder(path, info, request, limits=LIMITS, scratch=tmp_path) as decoder:
        times = [frame.time for frame in decoder.frames()]
        assert decoder.duration == pytest.approx(304.0, abs=0.3) and not decoder.damaged
    assert len(times) == pytest.approx(17, abs=2) and not any(in_gap(time, info.gaps) for time in times)
    assert times[-1] > 303


def test_probe_jump_frames_equal_those_of_parts(tmp_path: Path) -> None:
    path = make_jumping_video(tmp_path / "jump.mkv", 60.0)
    info = probe(path, LIMITS)

    def decoded(start: float, end: float | None) -> list[tuple[float, int]]:
        request = DecodeRequest(4.0, audio=False, start=start, end=end, validate=False)
        with Decoder(path, info, request, limits=LIMITS, scratch=tmp_path) as decoder:
            return [(frame.time, int(frame.image.sum())) for frame in decoder.frames()]

    edges = [0.0, 20.0, 40.0, 60.0, None]
    parts = [frame for start, end in pairwise(edges) for frame in decoded(start or 0.0, end)]
    assert parts == decoded(0.0, None)


@pytest.mark.parametrize("name", ["lone.mkv", "lone.mp4"])
def test_probe_lone_packet_far_ahead_does_not_lengthen_the_media(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    late = "setpts=PTS+gte(N\\,40)*100000/TB"  # more than the limit
    sources = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=4.1", "-f", "lavfi", "-i", "sine=duration=4"]
    codecs = ["-c:v", "libx264", "-bf", "0", "-c:a", "aac"]
    ffmpeg(*sources, "-vf", late, "-vsync", "passthrough", *codecs, path)
    info = probe(path, LIMITS)
    assert info.duration == pytest.approx(4.0, abs=0.15) and info.gaps == ()
    with Decoder(path, info, DecodeRequest(4.0, audio=True), limits=LIMITS, scratch=tmp_path) as decoder:
        assert len(list(decoder.frames())) == pytest.approx(16, abs=1)
        assert decoder.duration == pytest.approx(4.0, abs=0.15) and not decoder.damaged


def test_probe_jump_beyond_the_limit_is_too_long(tmp_path: Path) -> None:
    path = make_jumping_video(tmp_path / "jump.mkv", 300.0)
    with pytest.raises(MediaTooLong):
        probe(path, replace(LIMITS, max_seconds=200.0))


def test_probe_still_slide_with_sound_goes_on_as_it_is(tmp_path: Path) -> None:
    path = make_jumping_video(tmp_path / "slide.mkv", 30.0, seconds=3.0, sound=False)
    both = tmp_path / "both.mkv"
    ffmpeg("-i", path, "-f", "lavfi", "-i", "sine=duration=33", "-c:v", "copy", "-c:a", "libopus", both)
    info = probe(both, LIMITS)
    assert info.gaps == ()
    with Decoder(both, info, DecodeRequest(1.0, audio=False), limits=LIMITS, scratch=tmp_path) as decoder:
        assert len(list(decoder.frames())) == pytest.approx(33, abs=1)
    assert len(probe(path, LIMITS).gaps) == 1
