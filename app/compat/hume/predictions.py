"""Translation of a result document to Hume's predictions."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from app.compat.hume.emotions import BURST_NAMES, emotion_scores, mean, sentiment_scores
from app.compat.hume.movements import facs_scores
from app.compat.hume.pieces import Piece, pieces_of
from app.compat.hume.requests import identifies_faces, identifies_speakers
from app.compat.hume.schemas import (
    Granularity,
    HumeBox,
    HumeBurstPrediction,
    HumeFace,
    HumeFacePrediction,
    HumeGroup,
    HumeInterval,
    HumeLanguagePrediction,
    HumeModelPredictions,
    HumePosition,
    HumePredictions,
    HumeRequest,
    HumeScore,
    HumeSpeechPrediction,
)
from app.compat.hume.texts import SECONDS_PER_SENTENCE, Sentence, sentences_of
from ml.results import AudioReading, FaceTrack, Probabilities, Result, TextReading, Window

UNKNOWN = "unknown"
_WORD = re.compile(r"\S+")
_Prediction = TypeVar(
    "_Prediction", HumeFacePrediction, HumeSpeechPrediction, HumeLanguagePrediction, HumeBurstPrediction
)


def media_predictions(result: Result, request: HumeRequest) -> HumeModelPredictions:
    """Return the predictions of a media file; null for models that do not apply to it."""
    models = request.chosen_models
    return HumeModelPredictions(
        face=_faces(result, models.face, identifies_faces(request))
        if models.face is not None and result.media.width is not None
        else None,
        prosody=_prosody(result, request) if models.prosody is not None and result.media.has_audio else None,
        burst=_bursts(result, identifies_speakers(request))
        if models.burst is not None and result.media.has_audio
        else None,
        language=_language(result, request) if models.language is not None and result.media.has_audio else None,
    )


def text_predictions(
    text: str, result: Result, granularity: Granularity, *, with_sentiment: bool
) -> HumePredictions[HumeLanguagePrediction]:
    """Return the predictions of a text, which was read as `texts.text_media` arranges it."""
    readings = {round(window.start / SECONDS_PER_SENTENCE): window.modalities.text for window in result.windows}
    read = [(sentence, readings.get(number)) for number, sentence in enumerate(sentences_of(text))]
    predictions: Iterable[HumeLanguagePrediction | None]
    if granularity == "sentence":
        predictions = (_of_text(text, (pair,), with_sentiment) for pair in read)
    elif granularity == "word":
        predictions = (
            _of_text(text, ((Sentence(word[0], word.start(), word.end()), reading),), with_sentiment)
            for sentence, reading in read
            for word in _WORD.finditer(text, sentence.begin, sentence.end)
        )
    else:
        predictions = (_of_text(text, read, with_sentiment),)
    found = tuple(prediction for prediction in predictions if prediction is not None)
    return HumePredictions[HumeLanguagePrediction](grouped_predictions=_groups((UNKNOWN, each) for each in found))


def _of_text(
    text: str, read: Sequence[tuple[Sentence, TextReading | None]], with_sentiment: bool
) -> HumeLanguagePrediction | None:
    """Return the prediction of neighbouring sentences: the mean of their readings, by their lengths."""
    known = [(len(sentence.text), reading) for sentence, reading in read if reading is not None]
    emotions = mean((length, reading.probabilities) for length, reading in known)
    sentiment = mean((length, reading.sentiment) for length, reading in known)
    if emotions is None or sentiment is None:
        return None
    begin, end = read[0][0].begin, read[-1][0].end
    return HumeLanguagePrediction(
        text=text[begin:end],
        position=HumePosition(begin=begin, end=end),
        emotions=emotion_scores(emotions),
        sentiment=sentiment_scores(sentiment) if with_sentiment else None,
    )


def _faces(result: Result, wish: HumeFace, identify: bool) -> HumePredictions[HumeFacePrediction]:
    frame_rate = result.media.frame_rate or 0.0
    min_side, min_score = wish.min_face_size or 0.0, wish.prob_threshold or 0.0
    spacing = 1 / wish.fps_pred - 1e-6 if wish.fps_pred else 0.0

    def predictions(track: FaceTrack) -> Iterator[HumeFacePrediction]:
        next_time = 0.0
        for frame in track.frames:
            if frame.score < min_score or min(frame.box.width, frame.box.height) < min_side or frame.time < next_time:
                continue
            next_time = frame.time + spacing
            yield HumeFacePrediction(
                frame=round(frame.time * frame_rate),
                time=frame.time,
                prob=frame.score,
                box=HumeBox(x=frame.box.x, y=frame.box.y, w=frame.box.width, h=frame.box.height),
                emotions=emotion_scores(frame.probabilities),
                facs=facs_scores(frame.movements) if wish.facs is not None else None,
            )

    named = ((_face_id(track, identify), each) for track in result.faces for each in predictions(track))
    return HumePredictions[HumeFacePrediction](grouped_predictions=_groups(named, key=lambda each: each.time))


def _face_id(track: FaceTrack, identify: bool) -> str:
    if not identify:
        return UNKNOWN
    return f"face_{track.track}" if track.person is None else f"person_{track.person}"


def _prosody(result: Result, request: HumeRequest) -> HumePredictions[HumeSpeechPrediction]:
    wish = request.chosen_models.prosody
    assert wish is not None
    if wish.window is not None or not result.transcript.segments:
        named = [(UNKNOWN, prediction) for prediction in _prosody_windows(result.windows)]
    else:
        identify = identifies_speakers(request)
        named = []
        for piece in pieces_of(result.transcript, wish.granularity or "utterance"):
            emotions = _mean_reading(_windows_of(result, piece, identify), piece, _voice_of)
            if emotions is not None:
                prediction = HumeSpeechPrediction(
                    text=piece.text, time=_interval(piece), emotions=emotion_scores(emotions)
                )
                named.append((_speaker_id(piece.person, identify), prediction))
    return HumePredictions[HumeSpeechPrediction](grouped_predictions=_groups(named))


def _prosody_windows(windows: Iterable[Window]) -> Iterator[HumeSpeechPrediction]:
    for window in windows:
        if window.modalities.audio is not None:
            words = window.modalities.text.transcript if window.modalities.text is not None else None
            yield HumeSpeechPrediction(
                text=words,
                time=HumeInterval(begin=window.start, end=window.end),
                emotions=emotion_scores(window.modalities.audio.probabilities),
            )


def _language(result: Result, request: HumeRequest) -> HumePredictions[HumeLanguagePrediction]:
    wish = request.chosen_models.language
    assert wish is not None
    identify = identifies_speakers(request)
    named = []
    for piece in pieces_of(result.transcript, wish.granularity or "word"):
        windows = _windows_of(result, piece, identify)
        emotions = _mean_reading(windows, piece, _words_of)
        sentiment = _mean_reading(windows, piece, _sentiment_of) if wish.sentiment is not None else None
        if emotions is not None:
            prediction = HumeLanguagePrediction(
                text=piece.text,
                position=HumePosition(begin=piece.begin, end=piece.end),
                time=_interval(piece),
                emotions=emotion_scores(emotions),
                sentiment=sentiment_scores(sentiment) if sentiment is not None else None,
            )
            named.append((_speaker_id(piece.person, identify), prediction))
    return HumePredictions[HumeLanguagePrediction](grouped_predictions=_groups(named))


def _bursts(result: Result, identify: bool) -> HumePredictions[HumeBurstPrediction]:
    """Return the vocal bursts. Their emotions are what the voice expresses at that time, if it was read."""
    named = []
    for burst in result.bursts:
        piece = Piece("", 0, 0, burst.start, burst.end, burst.person)
        emotions = _mean_reading(result.windows, piece, _voice_of)
        name = BURST_NAMES[burst.kind]
        prediction = HumeBurstPrediction(
            time=_interval(piece),
            emotions=emotion_scores(emotions) if emotions is not None else (),
            descriptions=(HumeScore(name=name, score=burst.score),),
        )
        named.append((_speaker_id(burst.person, identify), prediction))
    return HumePredictions[HumeBurstPrediction](grouped_predictions=_groups(named))


def _windows_of(result: Result, piece: Piece, identify: bool) -> Sequence[Window]:
    """Return the windows for a piece: those of its speaker, if speakers are identified, else all."""
    people = {person.person: person.windows for person in result.people}
    own = people.get(piece.person) if identify and piece.person is not None else None
    return own or result.windows


def _mean_reading(
    windows: Iterable[Window], piece: Piece, read: Callable[[Window], Probabilities | None]
) -> Probabilities | None:
    """Return the mean of the windows' readings, by the time that they share with the piece; None without any."""

    def weighted() -> Iterator[tuple[float, Probabilities]]:
        for window in windows:
            shared = min(window.end, piece.end_seconds) - max(window.start, piece.start_seconds)
            probabilities = read(window) if shared > 0 else None
            if probabilities is not None:
                yield shared, probabilities

    return mean(weighted())


def _voice_of(window: Window) -> Probabilities | None:
    reading: AudioReading | None = window.modalities.audio
    return reading.probabilities if reading is not None else None


def _words_of(window: Window) -> Probabilities | None:
    return window.modalities.text.probabilities if window.modalities.text is not None else None


def _sentiment_of(window: Window) -> Probabilities | None:
    return window.modalities.text.sentiment if window.modalities.text is not None else None


def _speaker_id(person: int | None, identify: bool) -> str:
    return UNKNOWN if person is None or not identify else f"person_{person}"


def _interval(piece: Piece) -> HumeInterval:
    return HumeInterval(begin=piece.start_seconds, end=piece.end_seconds)


def _groups(
    named: Iterable[tuple[str, _Prediction]], key: Callable[[_Prediction], float] | None = None
) -> tuple[HumeGroup[_Prediction], ...]:
    """Return predictions in one group for each id; each group sorted by the key, if one is given."""
    groups: defaultdict[str, list[_Prediction]] = defaultdict(list)
    for name, prediction in named:
        groups[name].append(prediction)
    return tuple(
        HumeGroup(id=name, predictions=tuple(sorted(group, key=key) if key else group))
        for name, group in groups.items()
    )
