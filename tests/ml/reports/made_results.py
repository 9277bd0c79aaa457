"""Results to write reports of: one made by hand, an image's, and any at all (hypothesis)."""

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st

from ml.inference.api import TimeSpan
from ml.inference.fusion.windows import windows_over
from ml.reports.report import Report
from ml.results import (
    AudioReading,
    Box,
    Channel,
    FaceFrame,
    FaceReading,
    FaceTrack,
    Media,
    Modalities,
    ModelVersions,
    Moment,
    Notice,
    Person,
    Probabilities,
    Reading,
    Result,
    Segment,
    SpeechSpan,
    TextReading,
    Transcript,
    VocalBurst,
    Window,
    Word,
)
from ml.vocabulary import MODALITIES, SENTIMENTS, Modality, labels_for

patient = settings(max_examples=50, deadline=None)
"""For tests over `reports`: a report takes a while to draw, more so on a busy machine."""

FULL = labels_for("full")
VERSIONS = ModelVersions(
    bundle="default", face="face@1", audio="audio@1", text="text@1", fusion="fusion@1", whisper=None, licence="open"
)
NOTHING_SAID = Transcript(source="none", language=None, text="")


def media(kind: str, duration: float | None) -> Media:
    seen, heard = kind != "audio", kind != "image"
    return Media.model_validate(
        {
            "kind": kind,
            "duration": duration,
            "width": 640 if seen else None,
            "height": 360 if seen else None,
            "frame_rate": 25.0 if kind == "video" else None,
            "has_audio": heard,
            "has_video": seen,
            "sha256": "0" * 64,
        }
    )


def sure_of(emotion: str, share: float = 0.8, labels: Sequence[str] = FULL) -> Probabilities:
    """A distribution with its mode at an emotion."""
    return {label: share if label == emotion else (1 - share) / (len(labels) - 1) for label in labels}


def window(start: float, end: float, emotion: str | None, said: str | None = None, speech: float = 0.5) -> Window:
    """A window in which face and voice say the same; without emotion, nothing is there."""
    if emotion is None:
        return Window(**Reading.empty().model_dump(), start=start, end=end, modalities=Modalities(), missing=MODALITIES)
    distribution = sure_of(emotion)
    text = None
    if said is not None:
        sentiment = dict(zip(SENTIMENTS, (0.25, 0.25, 0.5), strict=True))
        text = TextReading(probabilities=distribution, sentiment=sentiment, transcript=said)
    return Window(
        **Reading.from_probabilities(distribution).model_dump(),
        start=start,
        end=end,
        modalities=Modalities(
            face=FaceReading(probabilities=distribution, coverage=0.9),
            audio=AudioReading(probabilities=distribution, speech=speech),
            text=text,
        ),
        missing=() if text else ("text",),
    )


def moment(time: float, kind: str, before: str | None, to: str, score: float, *why: Modality) -> Moment:
    found = {"time": time, "kind": kind, "from": before, "to": to, "score": score, "why": why}
    return Moment.model_validate(found)


def face_frame(time: float, emotion: str, x: float = 10.0) -> FaceFrame:
    box = Box(x=x, y=20.5, width=100.0, height=120.0)
    return FaceFrame(time=time, box=box, score=0.98, emotion=emotion, probabilities=sure_of(emotion))


def result(windows: Sequence[Window], **parts: object) -> Result:
    """A video's result over the windows."""
    whole = {
        "media": media("video", windows[-1].end if windows else 0.0),
        "labels": FULL,
        "overall": Reading.from_probabilities(sure_of("happy")),
        "windows": windows,
        "faces": (),
        "transcript": NOTHING_SAID,
        "models": VERSIONS,
    }
    return Result.model_validate(whole | parts)


def video() -> Report:
    """Ten seconds under windows of four, one of them empty: a sentence, two faces, two moments."""
    words = (Word(start=0.5, end=1.0, word="Hello"), Word(start=1.0, end=1.8, word="there."))
    return Report(
        "party.mp4",
        result(
            [
                window(0, 4, "happy", "Hello there."),
                window(2, 6, "happy"),
                window(4, 8, None),
                window(6, 10, "angry"),
            ],
            faces=(
                FaceTrack(track=1, frames=(face_frame(0.0, "happy"), face_frame(0.25, "sad"))),
                FaceTrack(track=2, frames=(face_frame(0.25, "neutral", -3.5),)),
            ),
            transcript=Transcript(
                source="whisper",
                language="en",
                text="Hello there.",
                segments=(Segment(start=0.5, end=1.8, text="Hello there.", words=words),),
            ),
            moments=(
                moment(2.0, "peak", None, "happy", 0.7, "face", "text"),
                moment(8.0, "shift", "happy", "angry", 0.8, "audio"),
            ),
            warnings=(Notice(code="media_damaged", message="Part of the media could not be decoded."),),
        ),
    )


def call() -> Report:
    """A recorded call of eight seconds: channel 0 is happy and speaks first, channel 1 is angry and answers."""
    channels = (
        Channel(
            channel=0,
            windows=(window(0, 4, "happy", "Good day.", speech=0.9), window(4, 8, "neutral", speech=0.0)),
            overall=Reading.from_probabilities(sure_of("happy")),
        ),
        Channel(
            channel=1,
            windows=(window(0, 4, None), window(4, 8, "angry", "Is it?", speech=0.9)),
            overall=Reading.from_probabilities(sure_of("angry")),
        ),
    )
    segments = (Segment(start=1, end=3, text="Good day."), Segment(start=5, end=6, text="Is it?"))
    return Report(
        "call.wav",
        result(
            [window(0, 4, "neutral"), window(4, 8, "neutral")],
            media=media("audio", 8.0),
            channels=channels,
            transcript=Transcript(source="whisper", language="en", text="Good day. Is it?", segments=segments),
        ),
    )


def transcribed_call() -> Report:
    """The call with the transcript of each channel, in which both speak at once for a second."""
    report = call()
    texts = (("Good day to you.", 1.0, 3.0), ("Who is it?", 2.0, 4.0))
    segments = [
        Segment(start=start, end=end, text=text, channel=number, words=spread(text, start, end))
        for number, (text, start, end) in enumerate(texts)
    ]
    channels = tuple(
        channel.model_copy(
            update={"transcript": Transcript(source="whisper", language="en", text=segment.text, segments=(segment,))}
        )
        for channel, segment in zip(report.result.channels or (), segments, strict=True)
    )
    whole = Transcript(
        source="whisper", language="en", text=" ".join(s.text for s in segments), segments=tuple(segments)
    )
    return Report(report.name, report.result.model_copy(update={"channels": channels, "transcript": whole}))


def interview() -> Report:
    """Eight seconds of an interview: person 1 is named, seen in two tracks and asks; person 2 is seen in one track and
    answers, for half a second at once; person 3 is only heard. One sentence is of both."""
    ask, answer = spread("How are you?", 0.5, 2.0), spread("Fine, thanks.", 2.0, 3.0)
    words = tuple(
        word.model_copy(update={"person": number}) for number, said in ((1, ask), (2, answer)) for word in said
    )
    segment = Segment(start=0.5, end=3.0, text="How are you? Fine, thanks.", words=words, person=1)
    frames = (face_frame(0.0, "happy"), face_frame(0.25, "happy"))
    by_person = {
        1: (window(0, 4, "happy", "How are you?"), window(4, 8, None)),
        2: (window(0, 4, "neutral", "Fine, thanks."), window(4, 8, "sad")),
        3: (window(0, 4, None), window(4, 8, "angry")),
    }
    spans = {1: [(0.5, 2.0)], 2: [(1.5, 3.0), (5.0, 6.0)], 3: [(7.0, 8.0)]}
    people = tuple(
        Person(
            person=number,
            name="Interviewer" if number == 1 else None,
            tracks={1: (1, 3), 2: (2,), 3: ()}[number],
            match="sure" if number == 1 else "likely" if number == 2 else "none",
            speech=tuple(SpeechSpan(start=start, end=end) for start, end in spans[number]),
            seen_seconds=8.0 if number < 3 else 0.0,
            talk_seconds=sum(end - start for start, end in spans[number]),
            overall=Reading.from_probabilities(sure_of({1: "happy", 2: "sad", 3: "angry"}[number])),
            windows=tuple(each.model_copy(update={"person": number}) for each in windows),
        )
        for number, windows in by_person.items()
    )
    return Report(
        "interview.mp4",
        result(
            [people[0].windows[0], people[1].windows[1]],
            faces=tuple(
                FaceTrack(track=track, frames=frames, person=number) for track, number in ((1, 1), (2, 2), (3, 1))
            ),
            transcript=Transcript(source="whisper", language="en", text=segment.text, segments=(segment,)),
            moments=(
                moment(2.0, "peak", None, "happy", 0.7, "face").model_copy(update={"person": 1}),
                moment(6.0, "shift", "neutral", "sad", 0.8, "audio").model_copy(update={"person": 2}),
            ),
            bursts=(VocalBurst(start=3.2, end=3.6, kind="laugh", score=0.9, person=2),),
            people=people,
        ),
    )


def spread(text: str, start: float, end: float) -> tuple[Word, ...]:
    """Words that share the time equally."""
    words = text.split()
    step = (end - start) / len(words)
    return tuple(Word(start=start + n * step, end=start + (n + 1) * step, word=word) for n, word in enumerate(words))


def image() -> Report:
    """A photo: no windows, one face."""
    faces = (FaceTrack(track=1, frames=(face_frame(0.0, "happy"),)),)
    return Report("photo.jpg", result([], media=media("image", None), faces=faces))


_texts = st.text(max_size=30) | st.sampled_from(
    ["=1+1", " -x", "@a", 'say "hi"', "a --> b", "</c>&amp;", "x\n\n1\n", "\x1b[2J", "]]>", "1", "a,b;c\t", 'x; =1;"-2']
)


@st.composite
def _distributions(draw: st.DrawFn, labels: Sequence[str]) -> Probabilities:
    weights = draw(st.lists(st.integers(1, 1000), min_size=len(labels), max_size=len(labels)))
    return {label: weight / sum(weights) for label, weight in zip(labels, weights, strict=True)}


@st.composite
def _windows(draw: st.DrawFn, span: TimeSpan, labels: Sequence[str]) -> Window:
    distributions = _distributions(labels)
    shares = st.floats(0, 1)
    face = st.builds(FaceReading, probabilities=distributions, coverage=shares)
    audio = st.builds(AudioReading, probabilities=distributions, speech=shares)
    text = st.builds(TextReading, probabilities=distributions, sentiment=_distributions(SENTIMENTS), transcript=_texts)
    there = Modalities(face=draw(st.none() | face), audio=draw(st.none() | audio), text=draw(st.none() | text))
    missing = tuple(modality for modality in MODALITIES if getattr(there, modality) is None)
    classes = "full" if labels == FULL else "simplified"
    reading = Reading.empty(classes) if missing == MODALITIES else Reading.from_probabilities(draw(distributions))
    return Window(**reading.model_dump(), start=span.start, end=span.end, modalities=there, missing=missing)


@st.composite
def _transcripts(draw: st.DrawFn, duration: float) -> Transcript:
    times = st.floats(0, duration).map(lambda time: round(time, 3))

    def timed(**more: st.SearchStrategy) -> st.SearchStrategy[dict]:
        spans = st.tuples(times, times).map(sorted)
        return st.builds(
            lambda span, rest: {"start": span[0], "end": span[1], **rest}, spans, st.fixed_dictionaries(more)
        )

    words = st.lists(timed(word=_texts), max_size=4)
    segments = draw(st.lists(timed(text=_texts, words=words), max_size=4))
    language = draw(st.sampled_from([None, "en", "und", "no language"]))
    return Transcript.model_validate(
        {
            "source": "caller" if segments else "none",
            "language": language,
            "text": " ".join(segment["text"] for segment in segments),
            "segments": segments,
        }
    )


@st.composite
def reports(draw: st.DrawFn) -> Report:
    """Any report of a recording, as the pipeline could make it, with texts as hostile as they come."""
    labels = labels_for(draw(st.sampled_from(["full", "simplified"])))
    length = draw(st.sampled_from([0.5, 1.0, 4.0, 60.0]))
    hop = draw(st.sampled_from([share for share in (0.25, 0.3, 0.5, 2.0, 4.0) if share <= length]))
    duration = draw(st.floats(0.01, 12.0))
    spans = windows_over(duration, length, hop)

    def timeline() -> tuple[Window, ...]:
        return tuple(draw(_windows(span, labels)) for span in spans[:8])

    windows = timeline()
    until = windows[-1].end
    overall = Reading.from_probabilities(draw(_distributions(labels)))
    channels = draw(st.sampled_from([0, 0, 2]))
    moments = st.builds(
        moment,
        st.floats(0, until),
        st.sampled_from(["peak", "shift"]),
        st.none() | st.sampled_from(labels),
        st.sampled_from(labels),
        st.floats(0, 1),
    )
    return Report(
        draw(_texts),
        result(
            windows,
            media=media("video", until),
            labels=labels,
            overall=overall,
            transcript=draw(_transcripts(until)),
            moments=draw(st.lists(moments, max_size=4)),
            channels=[Channel(channel=n, windows=timeline(), overall=overall) for n in range(channels)] or None,
        ),
    )
