from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ml.inference.api import TimeSpan
from ml.inference.fusion.windows import windows_over
from ml.inference.pipeline.partition import CHUNK_SECONDS, WHOLE, parts_over, splits_well, within
from ml.inference.voice.segments import batch_segments, segments_by_window
from ml.media import MediaInfo

SECONDS = st.floats(0.01, 4 * 3600)


@given(SECONDS, st.floats(1, 3600))
def test_parts_tile_the_grid_of_chunks(seconds: float, part_seconds: float) -> None:
    parts = parts_over(seconds, part_seconds)
    assert parts[0].start == 0 and parts[-1].end == WHOLE.end and parts[-1].start < seconds
    assert all(left.end == right.start and left.length >= CHUNK_SECONDS for left, right in pairwise(parts))
    assert all(part.start % CHUNK_SECONDS == 0 for part in parts)
    assert all(abs(part.length - part_seconds) <= CHUNK_SECONDS for part in parts[:-1])


@given(SECONDS, st.floats(60, 900), st.floats(0.5, 60), st.floats(0.25, 60), st.floats(0.5, 30))
def test_each_window_and_frame_is_of_one_part(
    seconds: float, part_seconds: float, window: float, hop: float, rate: float
) -> None:
    seconds = min(seconds, 2000 * min(hop, 1.0))
    windows = windows_over(seconds, max(window, hop), hop)
    frames = [k / rate for k in range(0, int(seconds * rate), max(1, int(rate)))]
    parts = parts_over(seconds, part_seconds)
    assert [each for part in parts for each in within(part, windows, lambda span: span.start)] == list(windows)
    assert [each for part in parts for each in within(part, frames, float)] == frames


@given(
    st.lists(st.tuples(st.floats(0.2, 40), st.floats(0.2, 20)), max_size=40),
    st.floats(60, 300),
    st.floats(0.5, 60),
    st.floats(0.25, 1),
)
def test_each_piece_of_voice_is_heard_by_one_part(
    stretches: list[tuple[float, float]], part_seconds: float, window: float, share: float
) -> None:
    speech: list[TimeSpan] = []
    for pause, length in stretches:
        start = (speech[-1].end if speech else 0.0) + pause
        speech.append(TimeSpan(start, start + length))
    seconds = speech[-1].end + 1 if speech else 10.0
    pieces = segments_by_window(speech, windows_over(seconds, window, max(window * share, 0.25)))
    batches = batch_segments(piece for each in pieces.values() for piece in each)
    heard = [
        batch
        for part in parts_over(seconds, part_seconds)
        for batch in within(part, batches, lambda batch: batch[0][0] / 16_000)
    ]
    assert heard == batches
    assert sorted({piece for each in pieces.values() for piece in each}) == [p for batch in batches for p in batch]


def test_only_containers_with_an_index_are_split() -> None:
    def info(name: str, *, video: bool) -> MediaInfo:
        return MediaInfo("video" if video else "audio", 9.0, 1, 1, 1.0, True, video, 0, 1, "0", name)

    assert splits_well(info("mp4", video=True)) and splits_well(info("webm", video=True))
    assert not splits_well(info("avi", video=True))
    assert splits_well(info("mp3", video=False))
