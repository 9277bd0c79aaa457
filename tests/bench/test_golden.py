import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ml.inference.pipeline.analyzer import Analyzer
from tests import media_files
from tests.bench.golden import compare, differences, main
from tests.published_models import published_analyzer

DOCUMENT: dict[str, Any] = {
    "overall": {"emotion": "sad", "confidence": 0.5},
    "faces": [{"frames": [{"time": 1.0, "box": {"x": 10.0}}]}],
    "timings": {"decode": 1.0},
}


def changed(**parts: Any) -> dict[str, Any]:
    return copy.deepcopy(DOCUMENT) | parts


def test_timings_do_not_count() -> None:
    assert all(each.by == 0 for each in differences(DOCUMENT, changed(timings={"decode": 9.0})))


@pytest.mark.parametrize(
    ("after", "beyond"),
    [
        (changed(overall={"emotion": "sad", "confidence": 0.515}), 0),
        (changed(overall={"emotion": "sad", "confidence": 0.53}), 1),
        (changed(overall={"emotion": "fear", "confidence": 0.5}), 1),
        (changed(faces=[{"frames": [{"time": 1.04, "box": {"x": 10.9}}]}]), 0),
        (changed(faces=[{"frames": [{"time": 1.06, "box": {"x": 11.1}}]}]), 2),
        (changed(faces=[]), 1),
        (changed(warnings=[]), 1),
    ],
)
def test_what_lies_beyond_its_tolerance_is_told(after: dict[str, Any], beyond: int) -> None:
    lines = compare({"a.mp4": DOCUMENT}, {"a.mp4": after})
    assert lines[0].endswith(f"; {beyond} beyond tolerance") and len(lines) == 1 + beyond


def test_a_file_that_is_read_otherwise_fails_the_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    analyzer = published_analyzer()
    monkeypatch.setattr(Analyzer, "load", lambda *_, **__: analyzer)
    media, kept = tmp_path / "media", tmp_path / "kept"
    media.mkdir()
    media_files.make_audio(media / "a.wav", seconds=1.0)
    (media / "b.mp4").write_bytes(b"no film")
    assert main([str(media), "--save", str(kept)]) == 0
    assert json.loads((kept / "b.mp4.json").read_text())["error"] == "unsupported_media"
    assert main([str(media), "--against", str(kept)]) == 0
    document = json.loads((kept / "a.wav.json").read_text())
    (kept / "a.wav.json").write_text(json.dumps(document | {"labels": []}))
    assert main([str(media), "--against", str(kept)]) == 1
