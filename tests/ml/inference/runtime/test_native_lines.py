"""Lines of native libraries: the unwanted ones are dropped, the others stay."""

import os
import re

import pytest

from ml.inference.runtime.native_lines import without_native_lines


def test_unwanted_lines_are_dropped_and_others_written_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    with without_native_lines(re.compile(rb"XNNPACK")):
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nanother line\n")
        assert capfd.readouterr().err == ""
    os.write(2, b"XNNPACK later\n")
    assert capfd.readouterr().err.splitlines() == ["another line", "XNNPACK later"]


def test_lines_are_written_when_the_context_fails(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError), without_native_lines(re.compile(rb"x")):
        os.write(2, b"the reason\n")
        raise ValueError
    assert capfd.readouterr().err == "the reason\n"
