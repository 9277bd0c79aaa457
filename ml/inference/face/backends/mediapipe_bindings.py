"""mediapipe's Python, imported so that its compiled part finds a function that protobuf 5 has renamed.

Without it, the import writes `AttributeError: 'MessageFactory' object has no attribute 'GetPrototype'` to stderr.
"""

from typing import Any

from google.protobuf import message_factory


def _get_prototype(_: Any, descriptor: Any) -> Any:
    return message_factory.GetMessageClass(descriptor)


if not hasattr(message_factory.MessageFactory, "GetPrototype"):
    message_factory.MessageFactory.GetPrototype = _get_prototype

import mediapipe  # noqa: E402
from mediapipe.framework.calculator_pb2 import CalculatorGraphConfig  # noqa: E402
from mediapipe.python.solution_base import SolutionBase  # noqa: E402

__all__ = ["CalculatorGraphConfig", "SolutionBase", "mediapipe"]
