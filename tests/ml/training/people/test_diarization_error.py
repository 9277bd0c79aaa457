from pathlib import Path

import pytest

from ml.errors import InvalidManifest
from ml.inference.api import TimeSpan
from ml.inference.people.diarization import Turn
from ml.training.people.conversations import SpeakerTurn
from ml.training.people.diarization_error import diarization_error, read_rttm


def said(start: float, end: float, speaker: str) -> SpeakerTurn:
    return SpeakerTurn(TimeSpan(start, end), speaker)


def heard(start: float, end: float, speaker: int) -> Turn:
    return Turn(TimeSpan(start, end), speaker)


def test_turns_that_are_right_have_no_error_whatever_the_speakers_are_called() -> None:
    error = diarization_error([said(0, 2, "B"), said(1, 3, "A")], [heard(0, 2, 0), heard(1, 3, 1)], 4)
    assert error.rate == 0 and error.speech == pytest.approx(4) and error.speakers_right == 1


def test_missed_false_and_confused_speech_are_told_apart() -> None:
    reference = [said(0, 2, "A"), said(2, 4, "B")]
    error = diarization_error(reference, [heard(0, 3, 0), heard(5, 6, 0)], 6)
    assert (error.missed, error.false, error.confused) == pytest.approx((1, 1, 1))
    assert error.rate == pytest.approx(3 / 4) and error.speakers_right == 0


def test_overlap_counts_once_for_each_speaker() -> None:
    error = diarization_error([said(0, 2, "A"), said(0, 2, "B")], [heard(0, 2, 0)], 2)
    assert error.speech == pytest.approx(4) and error.missed == pytest.approx(2)


def test_errors_of_recordings_are_added() -> None:
    one = diarization_error([said(0, 2, "A")], [], 2)
    both = one + diarization_error([said(0, 2, "A")], [heard(0, 2, 0)], 2)
    assert both.rate == pytest.approx(0.5) and both.recordings == 2 and both.speakers_right == 1


def test_rttm_is_read_by_recording(tmp_path: Path) -> None:
    file = tmp_path / "a.rttm"
    file.write_text(
        ";; comment\nSPEAKER m 1 0.5 1.25 <NA> <NA> Ann <NA> <NA>\nSPEAKER n 1 2 1 <NA> <NA> Bo <NA> <NA>\n"
    )
    assert read_rttm(file) == {"m": [said(0.5, 1.75, "Ann")], "n": [said(2, 3, "Bo")]}


def test_a_line_that_is_no_rttm_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.rttm"
    file.write_text("SPEAKER m 1 soon\n")
    with pytest.raises(InvalidManifest, match=r"a\.rttm, line 1"):
        read_rttm(file)
