"""Vocal bursts of a recording: their people, and sentences that are none."""

from ml.inference.api import TimeSpan
from ml.inference.pipeline.burst_reading import vocal_bursts, without_bursts
from ml.inference.voice.bursts import FoundBurst
from ml.results import Person, Reading, Segment, SpeechSpan, Transcript, Word


def burst(start: float, end: float, score: float = 0.95) -> FoundBurst:
    return FoundBurst(TimeSpan(start, end), "laugh", score)


def person(number: int, *spans: tuple[float, float]) -> Person:
    return Person(
        person=number,
        name=None,
        tracks=(),
        match="none",
        speech=tuple(SpeechSpan(start=start, end=end) for start, end in spans),
        seen_seconds=0,
        talk_seconds=1,
        overall=Reading.empty(),
        windows=(),
    )


def said(*spans: tuple[float, float], source: str = "whisper") -> Transcript:
    segments = tuple(
        Segment(start=start - 1, end=end, text=f"ha {n}", words=(Word(start=start, end=end, word="ha"),))
        for n, (start, end) in enumerate(spans)
    )
    text = " ".join(segment.text for segment in segments)
    return Transcript.model_validate({"source": source, "language": "en", "text": text, "segments": segments})


def test_burst_belongs_to_the_person_in_whose_speech_it_lies() -> None:
    found = vocal_bursts([burst(1, 2), burst(5, 6), burst(8, 9)], [person(1, (0, 2)), person(2, (5.5, 7))])
    assert [each.person for each in found] == [1, 2, None]


def test_burst_without_people_has_no_person() -> None:
    assert vocal_bursts([burst(1, 2)], [])[0].person is None


def test_sentence_within_a_sure_burst_is_dropped() -> None:
    transcript = without_bursts(said((1.1, 1.8), (4, 5)), [burst(1, 2)])
    assert transcript.text == "ha 1" and len(transcript.segments) == 1


def test_sentence_within_a_doubtful_burst_stays() -> None:
    transcript = said((1.1, 1.8))
    assert without_bursts(transcript, [burst(1, 2, 0.6)]) == transcript


def test_transcript_of_a_burst_alone_is_none() -> None:
    assert without_bursts(said((1.1, 1.8)), [burst(1, 2)]).source == "none"


def test_transcript_of_the_caller_is_kept() -> None:
    transcript = said((1.1, 1.8), source="caller")
    assert without_bursts(transcript, [burst(1, 2)]) == transcript
