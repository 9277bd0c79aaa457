"""The timeline for people, plain and on a terminal."""

from io import StringIO

import pytest
from hypothesis import given

from ml.reports.plain_text import prose
from ml.reports.report import Report
from ml.reports.terminal import LONGEST_NAME, ProgressBar, paint_for, refused_row, row, shortened
from tests.ml.reports.made_results import call, image, patient, reports, result, video, window


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_the_timeline_tells_windows_moments_words_and_notes() -> None:
    lines = prose(video()).splitlines()
    assert lines[0] == "party.mp4: video, 640 × 360, 10.0 s"
    assert "    0.0 –    4.0 s  ████████··  happy 80%             face happy, voice happy, words happy" in lines
    assert "    4.0 –    8.0 s  ··········  nothing to read       no face, no voice, no words" in lines
    assert "    8.0 s   80%  from happy to angry: audio" in lines
    assert lines.index("    8.0 s   80%  from happy to angry: audio") < lines.index(
        "    2.0 s   70%  peak of happy: face, text"
    )
    assert "    0.5 –    1.8 s  Hello there." in lines
    assert "Note: Part of the media could not be decoded." in lines
    assert lines[-1] == "How people come across, as others would label it; not what they feel inside."


def test_channels_have_timelines_of_their_own() -> None:
    text = prose(call())
    assert text.index("Channel 0") < text.index("Channel 1")
    assert text.count("overall") == 3
    assert 'voice angry, words angry: "Is it?"' in text


def test_a_photo_tells_its_faces() -> None:
    lines = prose(image()).splitlines()
    assert lines[0] == "photo.jpg: image, 640 × 360"
    assert "face 1              ████████··  happy 80%" in lines


@patient
@given(reports())
def test_nothing_of_the_media_can_steer_a_terminal(report: Report) -> None:
    for line in [*prose(report).splitlines(), row(report, paint_for(StringIO(), {})), refused_row("\x1b[2J", "\x9b2J")]:
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
def test_colours_are_for_terminals_that_want_them(
    stream: StringIO, environment: dict[str, str], coloured: bool
) -> None:
    paint = paint_for(stream, environment)
    assert ("\x1b[38;5;220mhappy" in prose(video(), paint)) is coloured
    assert ("\x1b" in row(video(), paint)) is coloured


def test_what_has_no_emotion_has_no_colour() -> None:
    nothing = Report("x", result([window(0, 4, None)]))
    line = next(line for line in prose(nothing, paint_for(Terminal(), {})).splitlines() if "4.0 s  ·" in line)
    assert "\x1b" not in line


def test_the_bar_moves_and_goes() -> None:
    stream = Terminal()
    with ProgressBar(stream, "party.mp4") as bar:
        bar.stage("faces")
        bar.progress(0.5)
        bar.progress(0.5)
        bar.check()
    lines = stream.getvalue().split("\r\x1b[K")
    assert lines[-2] == f"party.mp4  {'█' * 12}{'░' * 12}  50%  faces"
    assert lines[-1] == ""
    assert len(lines) == 5


def test_without_a_terminal_there_is_no_bar() -> None:
    stream = StringIO()
    with ProgressBar(stream, "party.mp4") as bar:
        bar.stage("faces")
        bar.progress(1.0)
    assert stream.getvalue() == ""


def test_a_folder_line_tells_the_notes() -> None:
    assert row(video(), paint_for(StringIO(), {})).endswith("video, 640 × 360, 10.0 s, 1 note")


def test_long_names_keep_both_ends() -> None:
    name = shortened("begin" + "x" * 100 + "end.mp4")
    assert len(name) <= LONGEST_NAME
    assert name.startswith("begin")
    assert name.endswith("end.mp4")
