"""The import of mediapipe with a newer protobuf."""

import subprocess
import sys

import pytest

MODULE = "ml.inference.face.backends.mediapipe_bindings"


@pytest.mark.slow
def test_import_writes_nothing_to_stderr() -> None:
    done = subprocess.run([sys.executable, "-c", f"import {MODULE}"], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_messages_of_mediapipe_are_made_by_the_newer_name() -> None:
    from google.protobuf import message_factory

    from ml.inference.face.backends.mediapipe_bindings import CalculatorGraphConfig

    made = message_factory.MessageFactory().GetPrototype(CalculatorGraphConfig.DESCRIPTOR)
    assert made.DESCRIPTOR.full_name == "mediapipe.CalculatorGraphConfig"
