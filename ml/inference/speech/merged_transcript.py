"""One transcript of several channels, in order of time."""

from collections.abc import Sequence

from ml.results import Transcript


def of_channel(transcript: Transcript, channel: int) -> Transcript:
    """Return the transcript with the number of the channel in each segment."""
    segments = tuple(segment.model_copy(update={"channel": channel}) for segment in transcript.segments)
    return transcript.model_copy(update={"segments": segments})


def merge_transcripts(channels: Sequence[Transcript]) -> Transcript:
    """Return the segments of all channels by their start. The language is that of most seconds of speech."""
    segments = sorted(
        (segment for transcript in channels for segment in transcript.segments),
        key=lambda segment: (segment.start, segment.end, segment.channel or 0),
    )
    if not segments:
        return Transcript(source="none", language=None, text="")
    seconds: dict[str | None, float] = {}
    for each in channels:
        spoken = sum(segment.end - segment.start for segment in each.segments)
        seconds[each.language] = seconds.get(each.language, 0.0) + spoken
    text = " ".join(segment.text for segment in segments)
    return Transcript(
        source="whisper", language=max(seconds, key=seconds.__getitem__), text=text, segments=tuple(segments)
    )
