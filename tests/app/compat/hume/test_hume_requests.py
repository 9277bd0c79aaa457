"""Requests of Hume's clients as options of a job."""

from typing import Any

import pytest

from app.compat.hume.requests import media_options, refuse_unsupported, warnings_of
from app.compat.hume.schemas import HumeRequest
from app.compat.hume.submission import parse_request
from app.errors import InvalidOptions, ValidationFailed


def wish(**fields: Any) -> HumeRequest:
    return HumeRequest.model_validate(fields)


def test_request_without_models_runs_all() -> None:
    options = media_options(wish())
    assert options.modalities == ("face", "audio", "text")
    assert (options.frame_rate, options.people, options.movements) == (3.0, False, False)


@pytest.mark.parametrize(
    ("models", "modalities"),
    [
        ({"face": {}}, ("face",)),
        ({"prosody": {}}, ("audio", "text")),
        ({"prosody": {"window": {"length": 4, "step": 1}}}, ("audio",)),
        ({"burst": {}}, ("audio",)),
        ({"language": {}}, ("text",)),
        ({"face": {}, "language": {}}, ("face", "text")),
    ],
)
def test_models_choose_modalities(models: dict[str, Any], modalities: tuple[str, ...]) -> None:
    assert media_options(wish(models=models)).modalities == modalities


def test_transcription_null_recognises_no_speech() -> None:
    assert media_options(wish(models={"prosody": {}}, transcription=None)).modalities == ("audio",)
    with pytest.raises(ValidationFailed, match="transcription"):
        refuse_unsupported(wish(models={"language": {}}, transcription=None))


@pytest.mark.parametrize(("asked", "read"), [(None, 3.0), (0, 30.0), (0.1, 0.5), (12, 12.0), (60, 30.0)])
def test_frame_rate_is_within_bounds(asked: float | None, read: float) -> None:
    assert media_options(wish(models={"face": {"fps_pred": asked}})).frame_rate == read


def test_settings_of_models_become_options() -> None:
    models = {
        "face": {"facs": {}, "save_faces": True, "identify_faces": True},
        "prosody": {"window": {"length": 6, "step": 2}},
    }
    options = media_options(wish(models=models, transcription={"language": "pt-BR"}))
    assert (options.movements, options.thumbnails, options.people) == (True, True, True)
    assert (options.window_seconds, options.hop_seconds, options.language) == (6, 2, "pt")


def test_window_with_gaps_is_refused() -> None:
    with pytest.raises(InvalidOptions, match="gaps"):
        media_options(wish(models={"prosody": {"window": {"length": 1, "step": 2}}}))


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"models": {"ner": {}}}, "models.ner"),
        ({"models": {"facemesh": {}}}, "models.facemesh"),
        ({"models": {"face": {"descriptions": {}}}}, "models.face.descriptions"),
        ({"models": {"language": {"toxicity": {}}}}, "models.language.toxicity"),
        ({"custom_model": {"id": "x"}}, "custom_model"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(ValidationFailed, match=name):
        refuse_unsupported(wish(**fields))


def test_what_has_no_effect_is_told() -> None:
    told = warnings_of(wish(notify=True, transcription={"confidence_threshold": 0.5}))
    assert [each.partition(":")[0] for each in told] == ["notify", "transcription.confidence_threshold"]
    assert warnings_of(wish(notify=False)) == ()


@pytest.mark.parametrize("text", ["", "[]", '{"model": {}}', '{"models": {"face": {"fps_pred": "x"}}}', "{" * 5000])
def test_request_that_is_malformed_is_refused(text: str) -> None:
    with pytest.raises(ValidationFailed):
        parse_request(text)
