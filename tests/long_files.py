"""Makes recordings of minutes for the tests of every room: a face that comes and goes, speech now and then."""

from pathlib import Path

import numpy as np

from ml.media import SAMPLE_RATE
from tests.face_files import nobody, portrait
from tests.media_files import ffmpeg
from tests.speech_files import Sound, say, silence

TRAIN = "The train to the coast was late again this morning."
FPS = 5
MUSEUM = "Nobody told us that the museum is closed on Mondays."
CODECS = {
    "mp4": ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "70", "-c:a", "aac"],
    "mkv": [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-x264-params",
        "open-gop=1:bframes=3:keyint=60",
        "-c:a",
        "flac",
    ],
    "webm": ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "16", "-g", "150", "-c:a", "libopus"],
    "avi": ["-c:v", "mpeg4", "-g", "50", "-c:a", "libmp3lame"],
}


def speech(seconds: float, pause: float = 20.0) -> Sound:
    """A sentence or two, silence, and again; some lie across the border of a minute."""
    round_ = np.concatenate([silence(pause - 3), say(TRAIN), silence(0.4), say(MUSEUM)])
    count = round(seconds * SAMPLE_RATE)
    return np.resize(round_, count) if len(round_) < count else round_[:count]


def make_long(path: Path, seconds: float, options: tuple[str, ...] = (), pause: float = 20.0) -> Path:
    """A video of small pictures: a face that wanders, and is away for five seconds of each twenty-five."""
    wide = 320
    frames = []
    for index in range(25 * FPS):
        picture = np.full((300, wide, 3), 120, np.uint8)
        left = round(32 + 30 * np.sin(index / (5 * FPS) * 2 * np.pi))
        picture[:, left : left + 256] = portrait() if index < 20 * FPS else nobody()
        frames.append(picture.tobytes())
    clip, sound = path.with_suffix(".clip.mkv"), path.with_suffix(".raw")
    picture_in = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{wide}x300", "-r", str(FPS), "-i", "pipe:0"]
    ffmpeg(*picture_in, "-c:v", "ffv1", clip, data=b"".join(frames))
    sound.write_bytes(speech(seconds, pause).tobytes())
    heard = ["-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "1", "-i", sound]
    codecs = CODECS[path.suffix[1:]]
    ffmpeg("-stream_loop", "-1", "-i", clip, *heard, "-t", str(seconds), *codecs, "-pix_fmt", "yuv420p", *options, path)
    clip.unlink()
    sound.unlink()
    return path
