"""Plain text, and results on a terminal."""

from io import StringIO

import pytest
from hypothesis import given

from ml.reports.plain_text import plain_text
from ml.reports.report import DISCLAIMER, Report
from ml.reports.terminal import MAX_NAME_LENGTH, ProgressBar, colouring_for, error_row, file_row, shorten
from tests.ml.reports.made_results import call, image, patient, reports, result, transcribed_call, video, window


class Terminal(StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_plain_text_has_windows_moments_transcript_and_warnings() -> None:
    lines = plain_text(video()).splitlines()
    assert lines[0] == "party.mp4: video, 640 × 360, 10.0 s"
    assert "    0.0 –    4.0 s  ████████··  happy 80%             face happy, voice happy, words happy" in lines
    assert "    4.0 –    8.0 s  ··········  no signal             no face, no voice, no words" in lines
    assert "    8.0 s   80%  happy → angry: voice" in lines
    assert lines.index("    8.0 s   80%  happy → angry: voice") < lines.index(
        "    2.0 s   70%  happy peak: face, words"
    )
    assert "    0.5 –    1.8 s  Hello there." in lines
    assert "Warning: Part of the media could not be decoded." in lines
    assert lines[-1] == DISCLAIMER


def test_plain_text_of_channels_has_separate_timelines() -> None:
    text = plain_text(call())
    assert text.index("Channel 0") < text.index("Channel 1")
    assert text.count("Whole file") == 3
    assert 'voice angry, words angry: "Is it?"' in text


def test_plain_text_of_photo_lists_faces() -> None:
    lines = plain_text(image()).splitlines()
    assert lines[0] == "photo.jpg: image, 640 × 360"
    assert "Face 1              ████████··  happy 80%" in lines


@patient
@given(reports())
def test_terminal_output_has_no_control_characters(report: Report) -> None:
    for line in [
        *plain_text(report).splitlines(),
        file_row(report, colouring_for(StringIO(), {})),
        error_row("\x1b[2J", "\x9b2J"),
    ]:
        assert line.isprintable() or not any(c in line for c in "\x1b\x9b\x07\x08\r")


@pytest.mark.parametrize(
    ("stream", "environment", "coloured"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (StringIO(), {}, False),
    ],
)
def test_colouring_for_terminal_respects_environment(
    stream: StringIO, environment: dict[str, str], coloured: bool
) -> None:
    colouring = colouring_for(stream, environment)
    assert ("\x1b[38;5;220mhappy" in plain_text(video(), colouring)) is coloured
    assert ("\x1b" in file_row(video(), colouring)) is coloured


def test_colouring_without_signal_adds_nothing() -> None:
    nothing = Report("x", result([window(0, 4, None)]))
    line = next(line for line in plain_text(nothing, colouring_for(Terminal(), {})).splitlines() if "4.0 s  ·" in line)
    assert "\x1b" not in line


def test_progress_bar_moves_and_clears() -> None:
    stream = Terminal()
    with ProgressBar(stream, "party.mp4") as bar:
        bar.stage("faces")
        bar.progress(0.5)
        bar.progress(0.5)
        bar.stage("audio")
        bar.check()
        shown = [line.strip() for line in stream.getvalue().split("\r")]
        assert f"{' ' * 24}   0%  party.mp4: faces".strip() in shown
        assert shown[-1] == f"{'█' * 12}{' ' * 12}  50%  party.mp4: audio"
    *_, cleared, end = stream.getvalue().split("\r")
    assert not cleared.strip() and end == ""


def test_progress_bar_without_terminal_writes_nothing() -> None:
    stream = StringIO()
    with ProgressBar(stream, "party.mp4") as bar:
        bar.stage("faces")
        bar.progress(1.0)
    assert stream.getvalue() == ""


def test_file_row_counts_warnings() -> None:
    assert file_row(video(), colouring_for(StringIO(), {})).endswith("video, 640 × 360, 10.0 s, 1 warning")


def test_shorten_long_name_keeps_both_ends() -> None:
    name = shorten("begin" + "x" * 100 + "end.mp4")
    assert len(name) <= MAX_NAME_LENGTH
    assert name.startswith("begin")
    assert name.endswith("end.mp4")


def test_plain_text_names_the_channel_of_each_sentence() -> None:
    text = plain_text(transcribed_call())
    assert "Channel 0: Good day to you." in text and "Channel 1: Who is it?" in text
