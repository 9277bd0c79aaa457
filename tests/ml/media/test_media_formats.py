from hypothesis import given
from hypothesis import strategies as st

from ml.media.formats import FORMATS, detect_format
from ml.signatures import SNIFF_BYTES


@given(st.binary(max_size=SNIFF_BYTES))
def test_detect_format_any_bytes_give_known_format_or_none(head: bytes) -> None:
    found = detect_format(head)
    assert found is None or FORMATS[found.name] is found


def test_formats_have_no_demuxer_that_opens_other_files() -> None:
    demuxers = {demuxer for accepted in FORMATS.values() for demuxer in accepted.demuxers}
    assert demuxers.isdisjoint({"hls", "concat", "dash", "image2", "sdp", "lavfi", "tty", "imf", "webm_dash_manifest"})
