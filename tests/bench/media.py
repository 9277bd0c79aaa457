"""The clips that are measured on: a real face that moves and is zoomed, and speech. Made here, no download needed."""

import subprocess
from functools import cache
from pathlib import Path

import cv2
import matplotlib.cbook
import numpy as np
from numpy.typing import NDArray

from tests.media_files import ffmpeg
from tests.speech_files import Sound, say, silence

FPS = 30
PIECE = 20
"""Seconds of the piece that longer clips repeat."""
SPOKEN = (
    "The museum opens at nine in the morning. I never thought that I would see it again. "
    "Why did nobody tell me about this? We were so happy that we sang all the way home."
)


@cache
def portrait() -> NDArray[np.uint8]:
    """Grace Hopper (US Navy, public domain; it comes with matplotlib): BGR [600, 512, 3]."""
    return np.asarray(cv2.imread(str(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))), np.uint8)


def make_picture(path: Path) -> Path:
    """The portrait as a JPEG of 480×563."""
    cv2.imwrite(str(path), cv2.resize(portrait(), (480, 563), interpolation=cv2.INTER_AREA))
    return path


def make_clip(folder: Path, seconds: int, height: int = 720) -> Path:
    """H.264 and AAC, 16:9, 30 frames a second. `seconds`: below 20, or a multiple. One that is there is kept."""
    path = folder / f"{height}p-{seconds}s.mp4"
    if path.exists():
        return path
    if seconds > PIECE:
        piece = make_clip(folder, PIECE, height)
        ffmpeg("-stream_loop", str(seconds // PIECE - 1), "-i", piece, "-c", "copy", "-t", str(seconds), path)
    else:
        _make_piece(path, seconds, height)
    return path


def make_meeting(folder: Path, seconds: int) -> Path:
    """A gallery of sixteen people in 1080p: the portrait sixteen times, each a little later. `seconds`: below 20."""
    path = folder / f"meeting-{seconds}s.mp4"
    if path.exists():
        return path
    piece, begun = make_clip(folder, PIECE, 270), path.with_stem(f"{path.stem}-begun")
    names = [f"[v{number}]" for number in range(16)]
    parts = [
        f"{name}trim=start={number / 4},setpts=PTS-STARTPTS,fps={FPS}[s{number}]" for number, name in enumerate(names)
    ]
    places = "|".join(f"{number % 4 * 480}_{number // 4 * 270}" for number in range(16))
    stacked = "".join(f"[s{number}]" for number in range(16)) + f"xstack=inputs=16:layout={places}[all]"
    graph = ";".join([f"[0:v]split=16{''.join(names)}", *parts, stacked])
    codecs = ["-c:v", "libx264", "-preset", "veryfast", "-g", "60", "-pix_fmt", "yuv420p", "-c:a", "copy"]
    ffmpeg(
        "-i", piece, "-filter_complex", graph, "-map", "[all]", "-map", "0:a", "-t", str(seconds), *codecs, begun
    )  # fmt: skip
    begun.rename(path)
    return path


def _make_piece(path: Path, seconds: int, height: int) -> None:
    sound, begun = path.with_suffix(".s16"), path.with_stem(f"{path.stem}-begun")
    sound.write_bytes(_speech(seconds).tobytes())
    width = height * 16 // 9
    command = [
        *("ffmpeg", "-y", "-v", "error"),
        *("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{width}x{height}", "-r", str(FPS), "-i", "pipe:0"),
        *("-f", "s16le", "-ar", "16000", "-ac", "1", "-i", str(sound)),
        *("-c:v", "libx264", "-preset", "veryfast", "-g", "60", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest"),
        str(begun),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as encoder:
        assert encoder.stdin
        for number in range(seconds * FPS):
            encoder.stdin.write(_frame(number, width, height).tobytes())
    sound.unlink()
    if encoder.returncode:
        raise subprocess.CalledProcessError(encoder.returncode, command)
    begun.rename(path)


def _frame(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """The portrait wanders in an ellipse and is zoomed by a third, with grain as cameras have it."""
    turn = 2 * np.pi * number / (PIECE * FPS)
    zoom = (1 + 0.3 * np.sin(3 * turn)) * height * 0.8 / 600
    x = width / 2 + 0.2 * width * np.cos(turn) - 256 * zoom
    y = height / 2 + 0.05 * height * np.sin(2 * turn) - 300 * zoom
    matrix = np.array([[zoom, 0, x], [0, zoom, y]])
    image = np.full((height, width, 3), (96, 110, 90), np.uint8)
    cv2.warpAffine(portrait(), matrix, (width, height), dst=image, borderMode=cv2.BORDER_TRANSPARENT)
    grain = np.random.default_rng(number).integers(0, 6, (height // 2, width // 2, 1), np.uint8)
    return cv2.add(image, cv2.resize(np.repeat(grain, 3, axis=2), (width, height), interpolation=cv2.INTER_NEAREST))


def _speech(seconds: int) -> Sound:
    return np.concatenate([say(SPOKEN), silence(seconds)])[: seconds * 16_000]
