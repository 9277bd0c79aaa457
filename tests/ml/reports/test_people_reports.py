"""Reports of results with people: names, talk times, and the same exports as before without people."""

import csv
import io
from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.reports.annotation_tiers import annotation_tiers
from ml.reports.eaf import eaf
from ml.reports.formats import FORMATS
from ml.reports.people import display_names, result_of, seconds_shared, talk_times, union
from ml.reports.plain_text import plain_text
from ml.reports.report import Report
from ml.reports.rttm import rttm
from ml.reports.sentences import by_speaker
from ml.reports.subtitles import srt, vtt, window_cues
from ml.reports.tables import faces_csv, moments_csv, people_csv, windows_csv
from ml.results import Person, Result, SpeechSpan
from tests.ml.reports.made_results import interview, patient, reports, video


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def renamed(report: Report, *names: str | None) -> Report:
    """The report with other names of its people."""
    people = tuple(
        person.model_copy(update={"name": name}) for person, name in zip(report.result.people, names, strict=True)
    )
    return Report(report.name, report.result.model_copy(update={"people": people}))


def test_display_names_are_unique() -> None:
    report = renamed(interview(), "Ann", "Ann", " \n ")
    assert display_names(report.result) == {1: "Ann", 2: "Ann (2)", 3: "Person 3"}
    assert display_names(renamed(interview(), "Person 2", None, None).result)[2] == "Person 2 (2)"


def test_talk_times_share_and_overlap() -> None:
    times = talk_times(interview().result.people)
    assert [time.turns for time in times.values()] == [1, 2, 1]
    assert sum(time.share or 0 for time in times.values()) == pytest.approx(1)
    assert talk_times(interview().result.people[:1])[1].share is None
    assert times[1].overlaps == {2: 0.5} and times[2].overlaps == {1: 0.5} and times[3].overlaps == {}
    assert times[1].overlap_seconds == times[2].overlap_seconds == 0.5


spans = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 9)).map(lambda each: SpeechSpan(start=each[0], end=sum(each))),
    max_size=8,
)


@given(spans, spans)
def test_seconds_shared_is_that_of_sets_of_seconds(left: list[SpeechSpan], right: list[SpeechSpan]) -> None:
    def seconds(spoken: list[SpeechSpan]) -> set[int]:
        return {second for span in spoken for second in range(int(span.start), int(span.end))}

    assert seconds_shared(left, right) == len(seconds(left) & seconds(right))
    assert sum(span.end - span.start for span in union(left)) == len(seconds(left))


def test_by_speaker_divides_a_sentence_of_two() -> None:
    parts = by_speaker(interview().result.transcript)
    assert [(part.person, part.text) for part in parts] == [(1, "How are you?"), (2, "Fine, thanks.")]
    assert [(part.start, part.end) for part in parts] == [(0.5, 2.0), (2.0, 3.0)]
    assert [len(part.words) for part in parts] == [3, 2]


def test_by_speaker_words_unlike_the_text_keep_the_sentence() -> None:
    transcript = interview().result.transcript
    (sentence,) = transcript.segments
    other = sentence.model_copy(update={"text": "How is it going?"})
    assert by_speaker(transcript.model_copy(update={"segments": (other,)})) == [other]


def test_people_csv_has_talk_times_and_readings() -> None:
    first, second, third = rows(people_csv([interview()]))
    assert (first["person"], first["name"], first["match"], first["tracks"]) == ("1", "Interviewer", "sure", "1 3")
    assert (second["name"], second["turns"], second["overlap_seconds"], second["overlaps"]) == ("", "2", "0.5", "1:0.5")
    assert (third["emotion"], third["tracks"], third["overlaps"]) == ("angry", "", "")
    assert rows(people_csv([video()])) == []


@pytest.mark.parametrize("table", [windows_csv, faces_csv, moments_csv])
def test_tables_name_the_person_only_if_there_are_people(table: type) -> None:
    before, after = table([video()]), table([interview()])
    assert "person" not in before
    assert {row["person_name"] for row in rows(after)} <= {"Interviewer", "Person 2", "Person 3"}
    assert next(iter(rows(after)))["person"] == "1"


def test_subtitles_name_the_speaker() -> None:
    text = vtt(interview())
    assert "<v Interviewer><c.happy>[happy 80%]</c> How are you?</v>" in text
    assert "<v Person 2><c.neutral>[neutral 80%]</c> Fine, thanks.</v>" in text
    assert "NOTE Interviewer: happy peak: face" in text
    assert "Interviewer: [happy 80%] How are you?" in srt(interview())
    assert [cue.speaker for cue in window_cues(interview().result)] == ["Interviewer", "Person 2"]


def test_subtitles_escape_a_hostile_name() -> None:
    text = vtt(renamed(interview(), "a --> b\n\n<c>&", None, None))
    assert "<v a --&gt; b &lt;c&gt;&amp;>" in text
    assert sum("-->" in line for line in text.splitlines()) == text.count("\n00:")


def test_annotation_tiers_of_each_person() -> None:
    tiers = {tier.name: tier for tier in annotation_tiers(interview().result)}
    assert [each.label for each in tiers["Interviewer speech"].intervals] == ["How are you?"]
    assert [each.label for each in tiers["Person 2 speech"].intervals] == ["Fine, thanks.", "speech"]
    assert [each.label for each in tiers["Person 2 combined"].intervals] == ["neutral", "sad"]
    assert tiers["Person 3 combined confidence"].parent == "Person 3 combined"
    element = fromstring(eaf(interview())).find("TIER[@TIER_ID='Interviewer speech']")
    assert element is not None and element.get("PARTICIPANT") == "Interviewer"


def test_rttm_has_a_line_for_each_turn() -> None:
    assert rttm(interview()).splitlines() == [
        "SPEAKER interview 1 0.500 1.500 <NA> <NA> Interviewer <NA> <NA>",
        "SPEAKER interview 1 1.500 1.500 <NA> <NA> Person_2 <NA> <NA>",
        "SPEAKER interview 1 5.000 1.000 <NA> <NA> Person_2 <NA> <NA>",
        "SPEAKER interview 1 7.000 1.000 <NA> <NA> Person_3 <NA> <NA>",
    ]
    assert rttm(video()) == ""


@given(st.text(max_size=30), st.text(max_size=30))
def test_rttm_any_name_leaves_ten_fields(file: str, name: str) -> None:
    lines = rttm(Report(file, renamed(interview(), name, name, None).result)).splitlines()
    assert [len(line.split()) for line in lines] == [10] * 4
    assert len({line.split()[7] for line in lines}) == 3


def test_plain_text_lists_people() -> None:
    text = plain_text(interview())
    assert "Interviewer         ████████··  happy 80%" in text
    assert "Interviewer and Person 2 talk at once for 0.5 s" in text
    assert "Person 3" in text and "not seen, talks for 1.0 s (20%)" in text
    assert "Interviewer: How are you?" in text
    assert "People" not in plain_text(video())


def test_result_of_a_person_has_theirs_only() -> None:
    theirs = result_of(interview().result, 1)
    assert [track.track for track in theirs.faces] == [1, 3]
    assert theirs.transcript.text == "How are you?"
    assert [moment.person for moment in theirs.moments] == [1] and theirs.bursts == ()
    assert [burst.kind for burst in result_of(interview().result, 2).bursts] == ["laugh"]
    assert [window.emotion for window in theirs.windows] == ["happy", None]
    sparse = interview().result.people[1].model_copy(update={"windows": interview().result.people[1].windows[1:]})
    whole = interview().result.model_copy(update={"people": (sparse,)})
    assert [window.emotion for window in result_of(whole, 2).windows] == [None, "sad"]
    assert Result.model_validate_json(theirs.model_dump_json()) == theirs
    with pytest.raises(KeyError):
        result_of(interview().result, 9)


names = st.none() | st.text(max_size=20) | st.sampled_from(["=1+1", "a --> b", "</v>", "Person 2", "]]>"])


@patient
@given(reports(), st.lists(names, min_size=3, max_size=3))
def test_every_format_accepts_any_names(report: Report, chosen: list[str | None]) -> None:
    people = tuple(
        Person(
            person=number,
            name=name,
            speech=(SpeechSpan(start=number, end=number + 1.5),),
            talk_seconds=1.5,
            overall=report.result.overall,
            windows=report.result.windows,
        )
        for number, name in enumerate(chosen, 1)
    )
    named = Report(report.name, report.result.model_copy(update={"people": people}))
    for format in FORMATS.values():
        for write in format.writers.values():
            write(named).encode()
    fromstring(eaf(named))
