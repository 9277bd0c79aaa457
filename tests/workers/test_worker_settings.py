import importlib.util
from typing import Any

import pytest
from pydantic import ValidationError

from workers.outbound.page_downloader import PageDownloader
from workers.settings import WorkerSettings


def test_settings_kinds_and_pauses_are_parsed_as_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFECT_WORKER_KINDS", "io, inference,io")
    monkeypatch.setenv("AFFECT_WEBHOOK_PAUSES", "1, 2.5,")
    settings = WorkerSettings()
    assert settings.worker_kinds == ("io", "inference") and settings.needs_models
    assert settings.webhook_pauses == (1.0, 2.5)
    assert not WorkerSettings(worker_kinds="io").needs_models  # type: ignore[arg-type]


@pytest.mark.parametrize("kinds", ["", ",", "oi", "io,gpu"])
def test_settings_invalid_kinds_are_refused(monkeypatch: pytest.MonkeyPatch, kinds: str) -> None:
    monkeypatch.setenv("AFFECT_WORKER_KINDS", kinds)
    with pytest.raises(ValidationError):
        WorkerSettings()


def test_settings_pages_need_yt_dlp(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PageDownloader.from_settings(WorkerSettings()) is None
    monkeypatch.setenv("AFFECT_PAGES", "true")
    assert PageDownloader.from_settings(WorkerSettings()) is not None
    find: Any = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "yt_dlp" else find(name))
    with pytest.raises(ValidationError, match=r"affect\[pages\]"):
        WorkerSettings()


def test_settings_empty_whisper_model_is_the_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFECT_WHISPER_MODEL", "")
    assert WorkerSettings().whisper_model is None
    monkeypatch.setenv("AFFECT_WHISPER_MODEL", "small")
    assert WorkerSettings().whisper_model == "small"
