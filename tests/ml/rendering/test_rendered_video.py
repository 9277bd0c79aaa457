"""Annotated videos, made by the real ffmpeg from generated clips."""

import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.errors import Cancelled, MediaInvalid
from ml.media import SAMPLE_RATE, Decoder, DecodeRequest, MediaLimits, probe
from ml.media.overlay import Canvas
from ml.rendering.drawing import emotion_rgb
from ml.rendering.overlay_layer import FaceTimeline, OverlayPainter
from ml.rendering.video import annotate_image, annotate_video
from ml.results import Box, FaceFrame, FaceTrack, Result
from tests import media_files
from tests.ml.reports.made_results import interview, media, result, sure_of, window

LIMITS = MediaLimits()


def face(time: float, box: Box, emotion: str = "happy") -> FaceFrame:
    return FaceFrame(time=time, box=box, score=0.9, emotion=emotion, probabilities=sure_of(emotion))


def seen(*boxes: Box, step: float = 0.25, width: int = 640, height: int = 480, seconds: float = 4.0) -> Result:
    """A result whose one face is at these boxes, a step apart."""
    frames = tuple(face(index * step, box) for index, box in enumerate(boxes))
    whole = media("video", seconds).model_copy(update={"width": width, "height": height})
    return result([window(0, seconds, "angry")], media=whole, faces=(FaceTrack(track=7, frames=frames),))


def vfr(path: Path) -> Path:
    """Three of every seven frames are missing."""
    source = ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=30:duration=1", "-f", "lavfi", "-i", "sine=duration=1"]
    dropped = ["-vf", "select='not(lt(mod(n,7),3))'", "-vsync", "vfr", "-pix_fmt", "yuv420p"]
    media_files.ffmpeg(*source, *dropped, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", path)
    return path


CLIPS: dict[str, Callable[[Path], Path]] = {
    "turned.mp4": lambda path: media_files.make_video(path, 1.0, rotation=90),
    "vfr.mp4": vfr,
    "late_picture.mp4": lambda path: media_files.make_flash_video(path, 0.8, 1.3, picture_late=0.4),
    "late_sound.mkv": lambda path: media_files.make_flash_video(path, 0.8, 1.3, sound_late=0.5),
    "mute.avi": lambda path: media_files.make_video(path, 1.0, (162, 122), fps=30000 / 1001, audio=False),
}


def frame_times(path: Path) -> NDArray[np.float64]:
    """When each frame is shown, in seconds from where the file begins."""
    shown = ["-select_streams", "v", "-show_entries", "format=start_time:frame=pts_time", "-of", "compact=p=0:nk=1"]
    done = subprocess.run(["ffprobe", "-v", "error", *shown, str(path)], capture_output=True, text=True, check=True)
    *times, start = [float(line.split("|")[0]) for line in done.stdout.split()]
    return np.array(times) - start


def beep(path: Path, scratch: Path) -> float | None:
    """When the sound is first loud, in seconds; null without sound."""
    request = DecodeRequest(None, audio=True)
    with Decoder(path, probe(path, LIMITS), request, limits=LIMITS, scratch=scratch) as decoder:
        loud = np.flatnonzero(np.abs(decoder.pcm().astype(int)) > 3000)
    return float(loud[0]) / SAMPLE_RATE if len(loud) else None


@pytest.mark.parametrize("name", CLIPS)
def test_annotate_video_keeps_times_of_frames_and_audio(name: str, tmp_path: Path) -> None:
    path = CLIPS[name](tmp_path / name)
    target = tmp_path / "made" / "annotated.mp4"
    target.parent.mkdir()
    info = probe(path, LIMITS)
    assert info.duration is not None
    annotate_video(path, info, seen(seconds=info.duration), target)
    made = probe(target, LIMITS)
    before, after = frame_times(path), frame_times(target)
    frame = float(np.diff(before).min())
    # Each frame of the source is there; where there are too few, some are repeated.
    nearest = np.abs(after[:, None] - before[None]).min(axis=0)
    assert nearest.max() < frame / 2 and len(after) <= max(len(before) + 1, 31 * info.duration)
    assert made.duration == pytest.approx(info.duration, abs=frame)
    assert (made.has_audio, made.format, made.rotation) == (info.has_audio, "mp4", 0)
    assert made.width is not None and made.height is not None and info.width is not None and info.height is not None
    assert made.width / made.height == pytest.approx(info.width / info.height, rel=0.01)
    first, second = beep(path, tmp_path), beep(target, tmp_path)
    assert (first is None) == (second is None)
    assert first is None or second == pytest.approx(first, abs=frame)
    codecs = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", str(target)]
    codec_names = subprocess.run(codecs, capture_output=True, text=True, check=True).stdout.split()
    assert codec_names == (["h264", "aac"] if info.has_audio else ["h264"])


@pytest.mark.parametrize("sound", [False, True])
def test_annotate_video_of_few_frames_lasts_as_long_as_the_media_and_moves(tmp_path: Path, sound: bool) -> None:
    path = tmp_path / "slides.mkv"
    slides = ["-f", "lavfi", "-i", "color=gray:s=160x120:r=1/3:d=6"]
    tone = ["-f", "lavfi", "-i", "sine=duration=8", "-c:a", "aac"] if sound else []
    media_files.ffmpeg(*slides, *tone, "-c:v", "libx264", "-pix_fmt", "yuv420p", path)
    boxes = [Box(x=10 + 5 * step, y=60, width=40, height=50) for step in range(24)]
    read = seen(*boxes, width=160, height=120, seconds=8.0)
    target = tmp_path / "made" / "annotated.mp4"
    target.parent.mkdir()
    annotate_video(path, probe(path, LIMITS), read, target)
    made = probe(target, LIMITS)
    assert made.duration == pytest.approx(8.0, abs=0.15) and made.frame_rate == pytest.approx(10, abs=0.3)
    with Decoder(target, made, DecodeRequest(2.0, audio=False), limits=LIMITS, scratch=tmp_path) as decoder:
        pictures = [frame.image.astype(int) for frame in decoder.frames()]
    assert len(pictures) == 16
    moves = [np.abs(right - left).max() > 60 for left, right in pairwise(pictures[:11])]
    assert all(moves)


def test_annotate_video_gap_costs_no_frames(tmp_path: Path) -> None:
    path = media_files.make_jumping_video(tmp_path / "jump.mkv", 60.0)
    info, target = probe(path, LIMITS), tmp_path / "made" / "annotated.mp4"
    target.parent.mkdir()
    assert info.duration is not None
    annotate_video(path, info, seen(width=64, height=48, seconds=info.duration), target)
    assert probe(target, LIMITS).duration == pytest.approx(64.0, abs=0.3)
    times = frame_times(target)
    assert len(times) < 60 and np.sum((times > 3) & (times < 61)) == 0


def test_annotate_video_has_the_sound_of_the_track_that_was_read(tmp_path: Path) -> None:
    picture = media_files.make_video(tmp_path / "a.mp4", 1.0, audio=False)
    path = tmp_path / "tracks.mkv"
    tracks = media_files.make_tracks(tmp_path / "t.mkv", (0, 700), 1.0)
    media_files.ffmpeg("-i", picture, "-i", tracks, "-map", "0", "-map", "1", "-c", "copy", path)
    info = probe(path, LIMITS)
    for track, silent in ((0, True), (1, False), (None, False)):
        target = tmp_path / f"made-{track}" / "annotated.mp4"
        target.parent.mkdir()
        annotate_video(path, info, seen(seconds=1.0), target, track=track)
        assert (beep(target, tmp_path) is None) == silent


def test_annotate_video_box_follows_face_in_time_and_place(tmp_path: Path) -> None:
    """On a picture that is stored lying down."""
    lying = tmp_path / "lying.mp4"
    media_files.ffmpeg("-f", "lavfi", "-i", "color=gray:s=160x120:r=8:d=1.25", "-pix_fmt", "yuv420p", lying)
    path = media_files.turn_video(lying, tmp_path / "turned.mp4", 90)
    info = probe(path, LIMITS)
    assert (info.width, info.height) == (120, 160)
    boxes = [Box(x=20 + 10 * step, y=60, width=40, height=50) for step in range(5)]
    target = tmp_path / "made" / "annotated.mp4"
    target.parent.mkdir()
    annotate_video(path, info, seen(*boxes, width=120, height=160, seconds=1.2), target)
    made = probe(target, LIMITS)
    with Decoder(target, made, DecodeRequest(4.0, audio=False), limits=LIMITS, scratch=tmp_path) as decoder:
        frames = list(decoder.frames())
    scale = 640 / 160
    for frame, box in zip(frames[1:4], boxes[1:4], strict=True):
        middle = round((box.y + box.height * 0.5) * scale)
        edge = frame.image[middle, round(box.x * scale) + 1 : round(box.x * scale) + 3].mean(0)
        assert np.abs(edge - emotion_rgb("happy")).max() < 60, (frame.time, edge)


def test_face_timeline_interpolates_between_sightings_and_ends_after_last() -> None:
    frames = (
        face(0.0, Box(x=0, y=0, width=10, height=10)),
        face(0.5, Box(x=50, y=0, width=20, height=10), "sad"),
        face(3.0, Box(x=0, y=0, width=10, height=10)),
    )
    faces = FaceTimeline([FaceTrack(track=3, frames=frames)])
    (placed,) = faces.at(0.3)
    assert (placed.box.x, placed.box.width) == pytest.approx((30, 16)) and placed.frame.emotion == "sad"
    assert [each.frame.time for time in (0.7, 2.8, 3.2) for each in faces.at(time)] == [0.5, 3.0, 3.0]
    assert list(faces.at(1.5)) == list(faces.at(4.0)) == []


def test_overlay_painter_writes_names_of_people() -> None:
    report = interview().result
    canvas = Canvas.for_size(640, 480)
    drawn = [
        OverlayPainter(report.model_copy(update={"people": people}), canvas).at(0.1)
        for people in (report.people, tuple(each.model_copy(update={"name": None}) for each in report.people), ())
    ]
    assert not np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[1], drawn[2])


def test_overlay_painter_bars_avoid_side_with_faces() -> None:
    canvas = Canvas.for_size(640, 480)
    for x, free in ((20.0, np.s_[:, :320]), (500.0, np.s_[:, 320:])):
        drawn = OverlayPainter(seen(Box(x=x, y=300, width=80, height=80)), canvas).at(3.9)  # the face has gone by then
        assert drawn.shape == (480, 640, 4) and drawn[..., 3].any() and not drawn[free].any()


def test_annotate_image_draws_boxes(tmp_path: Path) -> None:
    path = media_files.make_image(tmp_path / "a.jpg", (320, 240), exif_orientation=6)
    read = seen(Box(x=100, y=200, width=80, height=80), width=240, height=320)
    read = read.model_copy(update={"media": read.media.model_copy(update={"kind": "image", "duration": None})})
    drawn = np.asarray(annotate_image(path, probe(path, LIMITS), read))
    assert drawn.shape == (640, 480, 3)
    assert tuple(drawn[480, 201]) == emotion_rgb("happy")


def test_annotate_video_cancelled_stops(tmp_path: Path) -> None:
    path = media_files.make_video(tmp_path / "a.mp4", 30.0, (320, 240), fps=10)
    target = tmp_path / "made" / "annotated.mp4"
    target.parent.mkdir()
    looks = 0

    def check() -> None:
        nonlocal looks
        looks += 1
        if looks > 2:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        annotate_video(path, probe(path, LIMITS), seen(seconds=30.0), target, check=check)


def test_annotate_video_undecodable_raises(tmp_path: Path) -> None:
    path = media_files.make_video(tmp_path / "a.mkv", 2.0, audio=False)
    info = probe(path, LIMITS)
    path.write_bytes(path.read_bytes()[:600])
    (tmp_path / "made").mkdir()
    with pytest.raises(MediaInvalid):
        annotate_video(path, info, seen(), tmp_path / "made" / "annotated.mp4")
