"""Agreement of made ratings whose answers are known."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from ml.ratings.agreement import Agreement, agreement_report
from ml.ratings.rating import RatedContent, Rating
from ml.results import FaceTrack, Person, Reading, Result
from tests.ml.reports.made_results import face_frame, result, sure_of, window

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_count = iter(range(10**6))


def rating(rater: str, start: float, end: float | None, emotion: str | None = "happy", **fields: Any) -> Rating:
    number = next(_count)
    content = {"target": "span" if end is not None else "moment", "start": start, "end": end, "emotion": emotion}
    identity = {"id": f"r{number}", "rater": rater, "source": "call", "created_at": NOW + timedelta(seconds=number)}
    return Rating.model_validate(content | identity | fields)


def talk(**parts: Any) -> Result:
    """A hundred seconds, happy in the first half, then sad."""
    return result([window(s, s + 4, "happy" if s < 50 else "sad") for s in range(0, 100, 2)], **parts)


def pair(agreement: Agreement, first: str, second: str) -> Any:
    return next(each for each in (*agreement.pairs, *agreement.model) if (each.first, each.second) == (first, second))


def test_raters_who_agree_half_of_the_time() -> None:
    ratings = [
        rating("Ann", 0, 50, "happy"),
        rating("Ann", 50, 100, "sad"),
        rating("Ben", 0, 25, "happy"),
        rating("Ben", 25, 50, "sad"),
        rating("Ben", 50, 75, "sad"),
        rating("Ben", 75, 100, "happy"),
    ]
    report = agreement_report(talk(), ratings)
    found = pair(report.overall, "Ann", "Ben")
    assert (found.units, found.agreement) == (100, 0.5)
    assert found.cohen_kappa.value == pytest.approx(0.0)
    happy, sad = (report.labels.index(name) for name in ("happy", "sad"))
    assert (found.confusion[happy][happy], found.confusion[happy][sad]) == (25, 25)
    assert sum(map(sum, found.confusion)) == 100
    assert report.overall.fleiss_kappa.value == pytest.approx(0.0)
    assert found.cohen_kappa.interval[0] < 0 < found.cohen_kappa.interval[1]
    with_model = pair(report.overall, "Ann", "model")
    assert with_model.agreement > 0.95 and with_model.cohen_kappa.value > 0.9


def test_gaps_are_missing_and_later_ratings_win() -> None:
    ratings = [rating("Ann", 0, 10, "happy"), rating("Ann", 4, 6, "sad"), rating("Ben", 2, 8, "happy")]
    report = agreement_report(talk(), ratings)
    found = pair(report.overall, "Ann", "Ben")
    assert (found.units, report.overall.units, report.overall.shared_units) == (6, 10, 6)
    assert found.agreement == pytest.approx(4 / 6)


def test_emotions_are_compared_one_by_one() -> None:
    ratings = [
        *(rating("Ann", s, s + 10, ("happy", "sad", "fear")[s // 10 % 3]) for s in range(0, 100, 10)),
        *(rating("Ben", s, s + 10, ("happy", "fear", "sad")[s // 10 % 3]) for s in range(0, 100, 10)),
    ]
    emotions = {each.emotion: each for each in agreement_report(talk(), ratings).overall.emotions}
    assert emotions["happy"].krippendorff_alpha.value == pytest.approx(1.0)
    assert emotions["sad"].krippendorff_alpha.value < 0
    assert (emotions["angry"].units, emotions["angry"].krippendorff_alpha.value) == (0, None)


def test_majority_of_three_is_compared_with_the_model() -> None:
    ratings = [rating(name, 0, 40, "happy") for name in ("Ann", "Ben")] + [rating("Cem", 0, 40, "sad")]
    report = agreement_report(talk(), ratings)
    assert pair(report.overall, "majority", "model").agreement == 1.0
    assert pair(report.overall, "Cem", "model").agreement == 0.0
    assert [each.first for each in report.overall.model] == ["Ann", "Ben", "Cem", "majority"]


def test_people_are_compared_with_their_own_readings() -> None:
    calm = [window(s, s + 4, "neutral") for s in range(0, 100, 2)]
    people = (Person(person=1, overall=Reading.from_probabilities(sure_of("neutral")), windows=tuple(calm)),)
    ratings = [rating("Ann", 0, 40, "neutral", person=1), rating("Ann", 0, 40, "happy")]
    report = agreement_report(talk(people=people), ratings)
    assert [each.person for each in report.people] == [1]
    assert pair(report.people[0], "Ann", "model").agreement == 1.0
    assert report.overall.units == 80


def test_faces_and_moments_are_units_of_their_own() -> None:
    faces = (FaceTrack(track=3, frames=(face_frame(1.0, "fear"), face_frame(9.0, "happy"))),)
    ratings = [
        rating("Ann", 1.1, None, "fear", target="face", track=3),
        rating("Ben", 1.1, None, "fear", target="face", track=3),
        rating("Ann", 60, None, "sad"),
        rating("Ann", 5.0, None, "sad", target="face", track=3),
        rating("Ann", 5.0, None, "sad", target="face", track=99),
    ]
    report = agreement_report(talk(faces=faces), ratings)
    assert pair(report.overall, "Ann", "Ben").units == 1
    assert (pair(report.overall, "Ann", "model").units, pair(report.overall, "Ann", "model").agreement) == (2, 1.0)


def test_comments_and_foreign_labels_are_no_units() -> None:
    ratings = [rating("Ann", 0, 9, None, comment="Look."), rating("Ann", 0, 9, "sad_fear")]
    report = agreement_report(talk(), ratings)
    assert (report.raters, report.overall.units, report.overall.krippendorff_alpha.value) == ((), 0, None)


def test_steps_are_bounded_and_end_with_the_media() -> None:
    report = agreement_report(talk(), [rating("Ann", 0, 1e6, "happy")], step=0.1)
    assert (report.step, report.overall.units) == (0.1, 1020)
    long = talk(media=talk().media.model_copy(update={"duration": 14_400.0}))
    assert agreement_report(long, [rating("Ann", 0, 10, "happy")], step=0.1).step == pytest.approx(0.72)


def test_thousands_of_overlapping_ratings_cost_no_more_than_their_units() -> None:
    ratings = [rating("Ann", number / 1000, 100, "happy") for number in range(5000)]
    assert agreement_report(talk(), ratings, step=0.1).overall.units == 1000


@pytest.mark.parametrize(
    "fields",
    [
        {"start": 2, "end": 1, "emotion": "happy"},
        {"start": 0, "end": 1},
        {"start": 0, "emotion": "happy"},
        {"start": 0, "target": "face", "emotion": "happy"},
        {"start": 0, "end": 1, "emotion": "happy", "track": 1},
        {"start": -1, "end": 1, "emotion": "happy"},
        {"start": float("nan"), "end": 1, "emotion": "happy"},
    ],
)
def test_incomplete_ratings_are_invalid(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RatedContent.model_validate(fields)
