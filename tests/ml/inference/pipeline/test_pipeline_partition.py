from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ml.inference.api import WHOLE_MEDIA, TimeSpan
from ml.inference.fusion.windows import windows_over
from ml.inference.pipeline.partition import CHUNK_SECONDS, is_seekable, items_starting_in, split_into_parts
from ml.inference.voice.segments import batch_segments, segments_by_window
from ml.media import MediaInfo

SECONDS = st.floats(0.01, 4 * 3600)


@given(SECONDS, st.floats(1, 3600))
def test_split_into_parts_tiles_the_grid_of_chunks(seconds: float, part_seconds: float) -> None:
    parts = split_into_parts(seconds, part_seconds)
    assert parts[0].start == 0 and parts[-1].end == WHOLE_MEDIA.end and parts[-1].start < seconds
    assert all(left.end == right.start and left.length >= CHUNK_SECONDS for left, right in pairwise(parts))
    assert all(part.start % CHUNK_SECONDS == 0 for part in parts)
    assert all(abs(part.length - part_seconds) <= CHUNK_SECONDS for part in parts[:-1])


@given(SECONDS, st.floats(60, 900), st.floats(0.5, 60), st.floats(0.25, 60), st.floats(0.5, 30))
def test_each_window_and_frame_starts_in_one_part(
    seconds: float, part_seconds: float, window: float, hop: float, rate: float
) -> None:
    seconds = min(seconds, 2000 * min(hop, 1.0))
    windows = windows_over(seconds, max(window, hop), hop)
    frames = [k / rate for k in range(0, int(seconds * rate), max(1, int(rate)))]
    parts = split_into_parts(seconds, part_seconds)
    assert [each for part in parts for each in items_starting_in(part, windows, lambda span: span.start)] == list(
        windows
    )
    assert [each for part in parts for each in items_starting_in(part, frames, float)] == frames


@given(
    st.lists(st.tuples(st.floats(0.2, 40), st.floats(0.2, 20)), max_size=40),
    st.floats(60, 300),
    st.floats(0.5, 60),
    st.floats(0.25, 1),
)
def test_each_segment_is_read_in_one_part(
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
        for part in split_into_parts(seconds, part_seconds)
        for batch in items_starting_in(part, batches, lambda batch: batch[0][0] / 16_000)
    ]
    assert heard == batches
    assert sorted({piece for each in pieces.values() for piece in each}) == [p for batch in batches for p in batch]


def test_is_seekable_only_containers_with_an_index() -> None:
    def info(name: str, *, video: bool) -> MediaInfo:
        return MediaInfo("video" if video else "audio", 9.0, 1, 1, 1.0, True, video, 0, 1, "0", name)

    assert is_seekable(info("mp4", video=True)) and is_seekable(info("webm", video=True))
    assert not is_seekable(info("avi", video=True))
    assert is_seekable(info("mp3", video=False))
