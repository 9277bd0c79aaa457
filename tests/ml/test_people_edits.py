"""Corrections of the people of a finished result."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.people_edits import EditedPeople, InvalidPeopleEdit, PeopleEdit
from ml.results import Person, Result, Window
from tests.ml.reports.made_results import interview


def edited(result: Result, **edit: object) -> Result:
    return EditedPeople(result).edit(PeopleEdit(**edit)).result  # type: ignore[arg-type]


def person(result: Result, number: int) -> Person:
    return next(each for each in result.people if each.person == number)


def sums_to_one(window: Window) -> bool:
    parts = [each for each in (window.modalities.face, window.modalities.audio, window.modalities.text) if each]
    return all(sum(each.probabilities.values()) == pytest.approx(1) for each in (window, *parts))


def test_rename_and_remove_name() -> None:
    named = edited(interview().result, names={2: "Ann", 1: None})
    assert [each.name for each in named.people] == [None, "Ann", None]
    assert named.model_copy(update={"people": interview().result.people}) == interview().result


def test_merge_takes_over_windows_that_only_one_has() -> None:
    """Person 1 is read in the first window only, person 3 in the second only: each reading is exact."""
    before = interview().result
    after = edited(before, merge=[[3, 1]])
    whole = person(after, 1)
    assert [each.person for each in after.people] == [1, 2]
    assert (whole.name, whole.tracks, whole.match, whole.talk_seconds) == ("Interviewer", (1, 3), "sure", 2.5)
    assert [window.emotion for window in whole.windows] == ["happy", "angry"]
    assert whole.windows[0] == person(before, 1).windows[0]
    assert whole.windows[1].probabilities == person(before, 3).windows[1].probabilities
    assert whole.overall.probabilities["happy"] == pytest.approx(whole.overall.probabilities["angry"])


def test_merge_pools_windows_that_both_have_and_relabels_all() -> None:
    after = edited(interview().result, merge=[[1, 2]])
    whole = person(after, 1)
    assert whole.talk_seconds == 3.5 and [(span.start, span.end) for span in whole.speech] == [(0.5, 3.0), (5.0, 6.0)]
    assert sums_to_one(whole.windows[0])
    words = whole.windows[0].modalities.text
    assert words and words.transcript == "How are you? Fine, thanks."
    assert {window.person for window in after.windows} == {1} and after.windows[0] == whole.windows[0]
    assert after.overall.probabilities == pytest.approx(whole.overall.probabilities)
    assert {track.person for track in after.faces} == {1} and {moment.person for moment in after.moments} == {1}
    assert [burst.person for burst in after.bursts] == [1]
    assert {word.person for segment in after.transcript.segments for word in segment.words} == {1}


def test_split_moves_the_face_and_leaves_voice_and_words() -> None:
    before = interview().result
    after = edited(before, split=[2])
    rest, new = person(after, 2), person(after, 4)
    assert (rest.tracks, rest.match, rest.seen_seconds) == ((), "none", 0.0)
    assert (new.tracks, new.match, new.seen_seconds, new.speech) == ((2,), "none", 8.0, ())
    face = person(before, 2).windows[0].modalities.face
    assert face and new.windows[0].modalities.face == face
    assert new.windows[0].probabilities == pytest.approx(face.probabilities)
    assert new.windows[0].missing == ("audio", "text") and rest.windows[0].missing == ("face",)
    assert rest.windows[1] == person(before, 2).windows[1]  # the track is not seen in it
    assert len(new.windows) == 1
    assert next(track for track in after.faces if track.track == 2).person == 4


def test_split_shares_the_frames_of_two_tracks() -> None:
    after = edited(interview().result, split=[3])
    assert (person(after, 1).tracks, person(after, 4).tracks) == ((1,), (3,))
    assert person(after, 1).seen_seconds == person(after, 4).seen_seconds == 4.0
    faces = [person(after, number).windows[0].modalities.face for number in (1, 4)]
    assert [face.coverage for face in faces if face] == [0.45, 0.45]


def test_edits_repeated_change_nothing_more() -> None:
    edit = PeopleEdit(merge=[[1, 3]], split=[2, 3], names={4: "Ann"})
    once = EditedPeople(interview().result).edit(edit)
    assert once.edit(edit) == once


def test_split_never_reuses_the_number_of_a_merged_person() -> None:
    state = EditedPeople(interview().result).edit(PeopleEdit(merge=[[1, 3]]))
    assert [each.person for each in state.edit(PeopleEdit(split=[2])).result.people] == [1, 2, 4]


def test_split_of_a_face_alone_changes_nothing() -> None:
    state = EditedPeople(interview().result).edit(PeopleEdit(split=[2]))
    assert state.edit(PeopleEdit(split=[2])) == state


@pytest.mark.parametrize("edit", [{"merge": [[1, 9]]}, {"split": [9]}, {"names": {9: "Ann"}}])
def test_unknown_person_or_track_is_invalid(edit: dict[str, object]) -> None:
    with pytest.raises(InvalidPeopleEdit):
        edited(interview().result, **edit)


numbers = st.integers(1, 4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), max_size=3), st.lists(st.integers(1, 3), max_size=3))
def test_any_edits_leave_a_valid_result(merge: list[tuple[int, int]], split: list[int]) -> None:
    before, state = interview().result, EditedPeople(interview().result)
    for edit in (*(PeopleEdit(merge=[pair]) for pair in merge), *(PeopleEdit(split=[track]) for track in split)):
        try:
            state = state.edit(edit)
        except InvalidPeopleEdit:
            continue
    after = Result.model_validate_json(state.result.model_dump_json())
    assert after == state.result
    assert sorted(track for each in after.people for track in each.tracks) == [1, 2, 3]
    assert sum(each.seen_seconds for each in after.people) == pytest.approx(16)
    known = {each.person for each in after.people}
    assert {each.person for each in (*after.windows, *after.moments, *after.faces)} <= known
    assert all(sums_to_one(window) for each in after.people for window in each.windows)
    assert [(w.start, w.end) for w in after.windows] == [(w.start, w.end) for w in before.windows]
