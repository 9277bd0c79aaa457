"""Annotations as ratings: labels, raters, persons, times."""

import pytest

from ml.ratings.importing import ImportChoice, emotion_for, ratings_of
from ml.ratings.interval import Annotation
from ml.results import Person, Reading, Result
from ml.vocabulary import EMOTIONS, SIMPLIFIED_EMOTIONS
from tests.ml.reports.made_results import sure_of, video


def talk() -> Result:
    people = tuple(
        Person(person=number, name=name, overall=Reading.from_probabilities(sure_of("happy")))
        for number, name in ((1, None), (2, "Guest"))
    )
    return video().result.model_copy(update={"people": people})


@pytest.mark.parametrize(
    ("label", "full", "simplified"),
    [
        ("happy", "happy", "happy"),
        (" Joy ", "happy", "happy"),
        ("SADNESS", "sad", "sad_fear"),
        ("sad_fear", None, "sad_fear"),
        ("bored", None, None),
        ("", None, None),
    ],
)
def test_label_names_an_emotion_of_the_result(label: str, full: str | None, simplified: str | None) -> None:
    assert (emotion_for(label, EMOTIONS), emotion_for(label, SIMPLIFIED_EMOTIONS)) == (full, simplified)


def test_rater_is_chosen_or_named_by_annotator_or_tier() -> None:
    annotations = [Annotation("feeling", 0, 1, "happy", rater="Ann"), Annotation("Ben", 0, 1, "sad")]
    annotations.append(Annotation("", 0, 1, "fear"))
    assert [rater for rater, _ in ratings_of(annotations, talk(), ImportChoice()).ratings] == ["Ann", "Ben", "rater 1"]
    chosen = ratings_of(annotations, talk(), ImportChoice(rater="Cem"))
    assert {rater for rater, _ in chosen.ratings} == {"Cem"}


def test_person_is_chosen_or_found_by_name_or_number() -> None:
    annotations = [Annotation("t", 0, 1, "happy", person=name) for name in ("guest", "Person 1", "2", "Nobody", "")]
    found = ratings_of(annotations, talk(), ImportChoice()).ratings
    assert [content.person for _, content in found] == [2, 1, 2, None, None]
    assert ratings_of(annotations[:1], talk(), ImportChoice(person=1)).ratings[0][1].person == 1


def test_what_is_no_rating_is_counted_by_reason() -> None:
    annotations = [
        Annotation("t", 0, 1, "very sure"),
        Annotation("t", 0, 1, ""),
        Annotation("t", 11, 12, "happy"),
        Annotation("other", 0, 1, "happy"),
        Annotation("t", 0, 1, "odd", comment="He looks away."),
    ]
    imported = ratings_of(annotations, talk(), ImportChoice(tiers=("t",)))
    assert dict(imported.skipped) == {
        "no emotion: 'very sure'": 1,
        "no label": 1,
        "after the end of the media": 1,
        "other tier": 1,
    }
    [(_, comment)] = imported.ratings
    assert (comment.emotion, comment.comment) == (None, "He looks away.")


def test_times_are_cut_at_the_end_and_points_are_moments() -> None:
    annotations = [Annotation("t", 9, 30, "happy"), Annotation("t", 2, None, "sad")]
    (_, span), (_, point) = ratings_of(annotations, talk(), ImportChoice()).ratings
    assert (span.target, span.start, span.end) == ("span", 9, 10)
    assert (point.target, point.start, point.end) == ("moment", 2, None)


def test_reasons_of_a_stranger_are_few() -> None:
    annotations = [Annotation("t", 0, 1, f"label {number}" + "x" * 1000) for number in range(500)]
    skipped = ratings_of(annotations, talk(), ImportChoice()).skipped
    assert len(skipped) == 21 and sum(skipped.values()) == 500 and max(map(len, skipped)) < 80
