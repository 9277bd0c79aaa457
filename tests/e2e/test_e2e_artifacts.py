"""The files of a job over HTTP, made by the worker from real media."""

from pathlib import Path

import pytest

from app.client import NotFound
from ml.media import MediaLimits, probe
from tests import media_files
from tests.e2e.conftest import Service


def test_an_annotated_film_and_a_summary_are_there_until_the_job_is_deleted(service: Service, tmp_path: Path) -> None:
    film = media_files.make_video(tmp_path / "turned.mp4", 1.0, rotation=90)
    job = service.finished(film, options={"annotate": True, "thumbnails": True, "modalities": ["audio"]})
    assert job.status == "succeeded"
    kinds = {artifact.name: artifact.media_type for artifact in service.affect.artifacts(job)}
    assert kinds == {"annotated.mp4": "video/mp4", "index.json": "application/json", "summary.png": "image/png"}
    size = service.affect.download_artifact(job, "annotated.mp4", tmp_path / "annotated.mp4")
    made = probe(tmp_path / "annotated.mp4", MediaLimits())
    assert size > 1000 and (made.width, made.height, made.has_audio) == (480, 640, True)
    warnings = [warning.message for warning in service.affect.result(job).warnings]
    assert any("thumbnails" in message for message in warnings)  # there is no face to make them of
    service.affect.delete(job)
    with pytest.raises(NotFound):
        service.affect.artifacts(job)
