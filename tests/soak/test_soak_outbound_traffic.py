"""The network trap catches what onnxruntime sends by itself, without this project's opt-outs."""

import os
import sys
from pathlib import Path

from ml import TELEMETRY_OPT_OUTS
from tests.network_trap import trapped


def test_onnxruntime_by_itself_is_caught_by_the_trap(tmp_path: Path) -> None:
    """If this fails because onnxruntime has become silent, the opt-out is no longer needed."""
    environment = {name: value for name, value in os.environ.items() if name not in TELEMETRY_OPT_OUTS}
    command = [sys.executable, "-m", "tests.e2e.outbound_traffic", "session", str(tmp_path)]
    attempts = trapped(command, tmp_path / "report", environment).wait(150)
    assert attempts.status == 0, attempts.output
    assert any(name.endswith("events.data.microsoft.com") for name in attempts.lookups)
    assert any(target.endswith(":443") for target in attempts.connections)
