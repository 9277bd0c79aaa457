"""Notices about what a file holds: its audio tracks, and the gaps in its time stamps."""

from collections.abc import Sequence

from ml.inference.pipeline.decoded_audio import AudioLayout
from ml.media import MediaInfo
from ml.media.time_stamps import Gap, gap_seconds
from ml.media.tracks import describe_tracks
from ml.results import Notice, Options

MAX_NAMED_GAPS = 3


def track_notices(info: MediaInfo, layout: AudioLayout | None, options: Options) -> tuple[Notice, ...]:
    """Return a notice that names the audio tracks of a file with several, or without the requested one. `layout`: null
    if no audio is read."""
    count, requested = len(info.audio_tracks), options.requested_track
    is_missing = requested is not None and requested >= count > 0
    if layout is None or (count < 2 and not is_missing):
        return ()
    tracks = f"The file has {count} audio tracks: {describe_tracks(info.audio_tracks)}."
    if count == 1:
        tracks = "The file has one audio track, number 0."
    missing = f" There is no track {requested}." if is_missing else ""
    return (Notice(code="audio_tracks", message=f"{tracks}{missing} {_read_text(layout, count)}"),)


def _read_text(layout: AudioLayout, count: int) -> str:
    numbers = " and ".join(", ".join(map(str, layout.mixed or (0,))).rsplit(", ", 1))
    if layout.requested is not None:
        return f"Track {numbers} was read, as requested."
    if layout.are_tracks:
        others = "" if len(layout.mixed) == count else "; the others carry no sound or are too many"
        return f"Tracks {numbers} were mixed{others}. The option audio_track chooses one."
    return f"Track {numbers} was read" + ("." if count == 1 else "; the others carry no sound.")


def gap_notices(gaps: Sequence[Gap]) -> tuple[Notice, ...]:
    """Return a notice that names the gaps, if there are any."""
    if not gaps:
        return ()
    longest = sorted(sorted(gaps, key=lambda gap: gap[0] - gap[1])[:MAX_NAMED_GAPS])
    named = ", ".join(f"{start:.1f} to {end:.1f} s" for start, end in longest)
    more = f" and {len(gaps) - MAX_NAMED_GAPS} more stretches" if len(gaps) > MAX_NAMED_GAPS else ""
    total = f"{gap_seconds(gaps):.1f} s in all"
    message = (
        f"The file has neither sound nor picture from {named}{more} ({total}): its time stamps jump there. Nothing was "
        "read in between."
    )
    return (Notice(code="time_gap", message=message),)
