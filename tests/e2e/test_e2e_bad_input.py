"""What people send that is no good: each gets its code, learns nothing of this machine, and the service works on."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Unpack

import pytest

from app.client import AffectError, JobFailed
from app.client.uploads import SubmitParams
from tests import media_files
from tests.e2e.conftest import Service

SECRET = "the-secret-of-this-machine"
MEDIA_HEADS = [b"\0\0\0\x18ftypisom\0\0\0\0isomiso2\n", b"\x1a\x45\xdf\xa3\n", b"ID3\x03\0\0\0\0\0\0"]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A local file that nobody may read through an upload."""
    path = tmp_path / "secret.txt"
    path.write_text(f"root:{SECRET}\n" * 100)
    return path


def works(service: Service, folder: Path) -> bool:
    """Whether a good file is analysed after a bad one."""
    good = media_files.make_image(folder / "good.png", (32, 24))
    return bool(service.finished(good).status == "succeeded")


def refused(service: Service, path: Path, status: int, code: str, **asked: Unpack[SubmitParams]) -> AffectError:
    """The error that a file is refused with."""
    with pytest.raises(AffectError) as raised:
        service.affect.submit(path, **asked)
    assert (raised.value.status, raised.value.code) == (status, code)
    return raised.value


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("Once upon a time there was a text that was renamed.")


@pytest.mark.parametrize(("make", "status", "code"), [(empty, 422, "media_invalid"), (text, 415, "unsupported_media")])
def test_what_the_first_bytes_show_is_refused_at_once(
    service: Service, tmp_path: Path, make: Callable[[Path], None], status: int, code: str
) -> None:
    make(tmp_path / "film.mp4")
    refused(service, tmp_path / "film.mp4", status, code)
    assert works(service, tmp_path)


@pytest.mark.parametrize("make", [media_files.make_hls_playlist, media_files.make_ffconcat_script])
def test_a_script_that_names_a_local_file_gets_nothing_of_it(
    service: Service, tmp_path: Path, secret: Path, make: Callable[[Path, Path], Path]
) -> None:
    error = refused(service, make(tmp_path / "film.mp4", secret), 415, "unsupported_media")
    assert SECRET not in repr(error.problem) and secret.name not in repr(error.problem)
    assert works(service, tmp_path)


@pytest.mark.parametrize("make", [media_files.make_hls_playlist, media_files.make_ffconcat_script])
@pytest.mark.parametrize("head", MEDIA_HEADS)
def test_a_script_behind_the_first_bytes_of_a_film_gets_nothing_either(
    service: Service, tmp_path: Path, secret: Path, make: Callable[[Path, Path], Path], head: bytes
) -> None:
    """The gateway lets it in: the worker's bounds hold."""
    path = make(tmp_path / "film.mp4", secret)
    path.write_bytes(head + path.read_bytes())
    job = service.finished(path)
    assert job.error is not None and job.error.code in ("media_invalid", "unsupported_media", "no_streams")
    told = [service.client.get(f"/v1/jobs/{job.id}{part}").text for part in ("", "/result")]
    assert not any(SECRET in each or secret.name in each for each in told)


def cut_mp4(path: Path) -> None:
    whole = media_files.make_video(path.with_name("whole.mp4")).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])  # its index is at the end


def huge_png(path: Path) -> None:
    media_files.make_png_header(path, 30_000, 30_000)


def ten_hours(path: Path) -> None:
    minute = path.with_name("minute.opus")
    media_files.make_audio(minute, 60, rate=48_000, options=["-b:a", "6k", "-frame_duration", "120"])
    media_files.ffmpeg("-stream_loop", "600", "-i", minute, "-c", "copy", "-f", "ogg", path)


def no_samples(path: Path) -> None:
    media_files.ffmpeg("-f", "lavfi", "-i", "anullsrc", "-t", "0", "-f", "wav", path)


@pytest.mark.parametrize(
    ("make", "code", "stage"),
    [
        (cut_mp4, "media_invalid", "probe"),
        (huge_png, "media_too_large_frame", "probe"),
        (ten_hours, "media_too_long", "probe"),
        (no_samples, "media_invalid", "decode"),
    ],
)
def test_what_only_a_decoder_sees_fails_the_job(
    service: Service, tmp_path: Path, make: Callable[[Path], None], code: str, stage: str
) -> None:
    make(tmp_path / "upload.bin")
    job = service.finished(tmp_path / "upload.bin")
    error = job.error
    assert error is not None
    assert (job.status, error.code, error.stage, error.retryable) == ("failed", code, stage, False)
    assert job.stage == stage
    with pytest.raises(JobFailed) as failed:
        service.affect.result(job)
    assert (failed.value.status, failed.value.code) == (422, code)
    assert works(service, tmp_path)


def test_a_picture_cut_in_half_is_read_as_far_as_it_goes(service: Service, tmp_path: Path) -> None:
    whole = media_files.make_image(tmp_path / "whole.jpg", (640, 480)).read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    job = service.finished(tmp_path / "half.jpg")
    assert "media_damaged" in [warning.code for warning in service.affect.result(job).warnings]
    assert works(service, tmp_path)


@pytest.mark.parametrize("options", [{"hop_seconds": "2"}, {"surprise": 1}, {"hop_seconds": 9}])
def test_options_that_cannot_be_read_are_refused(service: Service, tmp_path: Path, options: dict[str, object]) -> None:
    refused(service, media_files.make_image(tmp_path / "a.png"), 400, "invalid_options", options=options)
    assert works(service, tmp_path)


def test_nothing_is_kept_of_any_of_them(service: Service) -> None:
    def media() -> list[Path]:
        return [path for path in service.folder.rglob("media*") if path.is_file()]

    until = time.monotonic() + 5
    while media() and time.monotonic() < until:
        time.sleep(0.02)  # they go right after a job has ended
    assert media() == []
