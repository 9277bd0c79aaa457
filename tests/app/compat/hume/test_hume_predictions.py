"""Results as predictions in Hume's shape."""

from typing import Any

import pytest
from hume.expression_measurement.batch.types import ModelsPredictions

from app.compat.hume.batches import tables_of
from app.compat.hume.emotions import BURST_NAMES, EMOTION_NAMES
from app.compat.hume.movements import FACS_NAMES, facs_scores
from app.compat.hume.pieces import pieces_of
from app.compat.hume.predictions import media_predictions, text_predictions
from app.compat.hume.schemas import HumeModelPredictions, HumeRequest
from app.compat.hume.texts import SECONDS_PER_SENTENCE, sentences_of, text_media
from app.errors import ValidationFailed
from ml.movements import ACTION_UNITS, MOVEMENTS, MovementValues
from ml.reports.caption_parser import parse_transcript
from ml.results import Result, Segment, Transcript, Word
from ml.vocabulary import EMOTIONS
from tests.ml.reports.made_results import result, video, window


def predict(read: Result, **fields: Any) -> HumeModelPredictions:
    predictions = media_predictions(read, HumeRequest.model_validate(fields))
    ModelsPredictions.model_validate_json(predictions.model_dump_json())  # the SDK accepts it
    return predictions


def strongest(prediction: Any) -> str:
    return str(max(prediction.emotions, key=lambda score: score.score).name)


def test_every_emotion_movement_and_burst_has_a_name_of_its_own() -> None:
    assert set(EMOTION_NAMES) == set(EMOTIONS) and len(set(EMOTION_NAMES.values())) == len(EMOTIONS)
    assert set(FACS_NAMES) == set(ACTION_UNITS.values())
    assert len(set(BURST_NAMES.values())) == len(BURST_NAMES)


def test_faces_have_frames_boxes_and_scores() -> None:
    faces = predict(video().result, models={"face": {}}).face
    assert faces is not None
    [group] = faces.grouped_predictions
    assert group.id == "unknown" and [each.time for each in group.predictions] == [0.0, 0.25, 0.25]
    first = group.predictions[0]
    assert (first.frame, first.prob, strongest(first)) == (0, 0.98, "Joy")
    assert (first.box.x, first.box.w, first.facs) == (10.0, 100.0, None)
    assert [score.name for score in first.emotions] == sorted(EMOTION_NAMES.values())


def test_faces_are_told_apart_and_filtered() -> None:
    faces = predict(video().result, models={"face": {"identify_faces": True}}).face
    assert faces is not None and [group.id for group in faces.grouped_predictions] == ["face_1", "face_2"]
    for settings in ({"prob_threshold": 0.99}, {"min_face_size": 110}):
        none = predict(video().result, models={"face": settings}).face
        assert none is not None and none.grouped_predictions == ()
    rare = predict(video().result, models={"face": {"fps_pred": 0.1, "identify_faces": True}}).face
    assert rare is not None and [len(group.predictions) for group in rare.grouped_predictions] == [1, 1]


def test_movements_are_action_units() -> None:
    scores = facs_scores(MovementValues.from_names(dict.fromkeys(MOVEMENTS, 0.5)))
    assert scores is not None and {score.name for score in scores} == set(FACS_NAMES.values())
    assert facs_scores(None) is None


def test_words_have_positions_times_and_the_reading_of_their_windows() -> None:
    language = predict(video().result, models={"language": {"sentiment": {}}}).language
    assert language is not None
    [group] = language.grouped_predictions
    assert [each.text for each in group.predictions] == ["Hello", "there."]
    assert [(each.position.begin, each.position.end) for each in group.predictions] == [(0, 5), (6, 12)]
    assert strongest(group.predictions[0]) == "Joy"
    assert [(score.name, score.score) for score in group.predictions[0].sentiment or ()] == [
        ("2", 0.25),
        ("5", 0.25),
        ("8", 0.5),
    ]


def test_voice_is_read_by_utterance_or_by_window() -> None:
    prosody = predict(video().result, models={"prosody": {}}).prosody
    assert prosody is not None
    [utterance] = prosody.grouped_predictions[0].predictions
    assert (utterance.text, utterance.time.begin, utterance.time.end) == ("Hello there.", 0.5, 1.8)
    windows = predict(video().result, models={"prosody": {"window": {}}}).prosody
    assert windows is not None
    assert [each.time.begin for each in windows.grouped_predictions[0].predictions] == [0, 2, 6]


def test_models_that_do_not_apply_are_null() -> None:
    image = video().result.model_copy(update={"media": video().result.media.model_copy(update={"has_audio": False})})
    read = predict(image)
    assert read.face is not None and (read.prosody, read.language, read.burst) == (None, None, None)


def sentence(start: float, text: str, person: int | None = None) -> Segment:
    words = tuple(
        Word(start=start + number / 2, end=start + (number + 1) / 2, word=word)
        for number, word in enumerate(text.split())
    )
    return Segment(start=start, end=start + len(words) / 2, text=text, words=words, person=person)


TALK = Transcript(
    source="whisper",
    language="en",
    text="Yes. I see. No no. Why?",
    segments=(sentence(0, "Yes.", 1), sentence(0.6, "I see.", 1), sentence(5, "No no.", 1), sentence(7, "Why?", 2)),
)


@pytest.mark.parametrize(
    ("granularity", "texts"),
    [
        ("word", ["Yes.", "I", "see.", "No", "no.", "Why?"]),
        ("sentence", ["Yes.", "I see.", "No no.", "Why?"]),
        ("utterance", ["Yes. I see.", "No no.", "Why?"]),
        ("conversational_turn", ["Yes. I see. No no.", "Why?"]),
        ("passage", ["Yes. I see. No no. Why?"]),
    ],
)
def test_pieces_of_a_talk(granularity: Any, texts: list[str]) -> None:
    pieces = pieces_of(TALK, granularity)
    assert [piece.text for piece in pieces] == texts
    assert [TALK.text[piece.begin : piece.end] for piece in pieces] == texts


def test_pieces_of_silence_are_none() -> None:
    assert pieces_of(Transcript(source="none", language=None, text=""), "passage") == []


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello there. How are you?  Fine!", ["Hello there.", "How are you?", "Fine!"]),
        ("A line\n\nAnother line. v1.2 is out", ["A line", "Another line.", "v1.2 is out"]),
        ("今日は。いい天気！ですね", ["今日は。", "いい天気！", "ですね"]),
        ("  one  ", ["one"]),
    ],
)
def test_sentences_of_a_text(text: str, sentences: list[str]) -> None:
    found = sentences_of(text)
    assert [each.text for each in found] == sentences == [text[each.begin : each.end] for each in found]


def test_text_becomes_captions_of_one_window_each() -> None:
    recording, captions = text_media("I <b>love</b> this & that --> yes.\nGood.")
    transcript = parse_transcript(captions, 2.0).transcript
    assert recording[:4] == b"RIFF" and [segment.start for segment in transcript.segments] == [0, SECONDS_PER_SENTENCE]
    assert transcript.text == "I <b>love</b> this & that --> yes. Good."


@pytest.mark.parametrize("text", ["", " \n", "...", "Yes. " * 3000])
def test_text_without_words_or_end_is_refused(text: str) -> None:
    with pytest.raises(ValidationFailed):
        text_media(text)


def test_text_is_predicted_by_its_windows() -> None:
    text = "I am glad. Go away!"
    read = result([window(0, 1, "happy", "I am glad."), window(1, 2, "angry", "Go away!")])
    sentences = text_predictions(text, read, "sentence", with_sentiment=True).grouped_predictions[0].predictions
    assert [(each.text, strongest(each)) for each in sentences] == [("I am glad.", "Joy"), ("Go away!", "Anger")]
    words = text_predictions(text, read, "word", with_sentiment=False).grouped_predictions[0].predictions
    assert [each.text for each in words] == ["I", "am", "glad.", "Go", "away!"] and words[0].sentiment is None
    [whole] = text_predictions(text, read, "passage", with_sentiment=False).grouped_predictions[0].predictions
    assert (whole.text, strongest(whole)) == (text, "Joy")  # the longer sentence


def test_tables_have_a_row_for_each_prediction() -> None:
    tables = dict(tables_of(predict(video().result)))
    assert set(tables) == {"face", "prosody", "language", "burst"}
    head, *rows = tables["face"].splitlines()
    assert head.startswith("Id,Frame,Time,Prob,BoxX,BoxY,BoxW,BoxH,Anger,Calmness") and len(rows) == 3
    assert tables["language"].startswith("Id,Text,PositionBegin,PositionEnd,TimeBegin,TimeEnd,Anger")
