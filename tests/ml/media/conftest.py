from pathlib import Path

import pytest

from ml.media import MediaLimits
from tests import media_files


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small media of each format: `video.<suffix>`, `audio.<suffix>` (two channels), `image.<suffix>`."""
    folder = tmp_path_factory.mktemp("media")
    for suffix in media_files.VIDEO_CODECS:
        media_files.make_video(folder / f"video{suffix}", seconds=3.0)
    for suffix in media_files.AUDIO_CODECS:
        media_files.make_audio(folder / f"audio{suffix}", seconds=3.0, channels=2)
    for suffix in media_files.IMAGE_SUFFIXES:
        media_files.make_image(folder / f"image{suffix}")
    return folder


@pytest.fixture(scope="session")
def limits() -> MediaLimits:
    return MediaLimits()
