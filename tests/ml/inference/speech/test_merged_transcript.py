from ml.inference.speech.merged_transcript import merge_transcripts, of_channel
from ml.results import Segment, Transcript


def spoken(language: str | None, *segments: tuple[float, float, str]) -> Transcript:
    parts = tuple(Segment(start=start, end=end, text=text) for start, end, text in segments)
    return Transcript(source="whisper", language=language, text=" ".join(part.text for part in parts), segments=parts)


def test_merge_transcripts_orders_by_time_and_keeps_the_channel() -> None:
    first = of_channel(spoken("en", (0, 2, "Good day."), (5, 6, "Yes.")), 0)
    second = of_channel(spoken("de", (2.5, 4, "Guten Tag.")), 1)
    merged = merge_transcripts([first, second])
    assert merged.text == "Good day. Guten Tag. Yes."
    assert [segment.channel for segment in merged.segments] == [0, 1, 0]
    assert merged.language == "en" and merged.source == "whisper"


def test_merge_transcripts_of_silent_channels_is_none() -> None:
    silent = Transcript(source="none", language=None, text="")
    assert merge_transcripts([silent, silent]) == silent
