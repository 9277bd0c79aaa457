"""Films composed of pictures and of talking clips of single people: who is seen where, and who speaks, is known."""

import subprocess
import wave
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.errors import InvalidManifest
from ml.inference.api import FloatArray, TimeSpan
from ml.media import SAMPLE_RATE
from ml.training.people.conversations import SpeakerTurn

Picture = NDArray[np.uint8]
Layout = Literal["side", "cut", "counter", "narrator"]
LAYOUTS: tuple[Layout, ...] = ("side", "cut", "counter", "narrator")
"""Both at once; the one who speaks; the speaker, then the listener; both silent, and a third voice."""
RATE = 12
"""Frames per second."""
WIDTH, HEIGHT = 640, 360
PICTURE_SIDE = 230
"""Pixels of a picture or clip in the film."""
SHOTS, SHOT_SECONDS, PAIR_SHARE = 10, (1.5, 3.0), 0.3
"""Shots of a film of pictures, how long they are, and the share of those that show two people."""
TURN_SECONDS = 2.4
"""Seconds of a turn in a film of clips."""
PAUSE_SECONDS = 0.3


@dataclass(frozen=True)
class ShownFace:
    """Face that is seen. `left`, `right`: part of the picture that shows it, in widths."""

    person: str
    span: TimeSpan
    left: float
    right: float

    def holds(self, time: float, centre: float) -> bool:
        """Return whether a face with this middle, in widths, is this one at a time."""
        return self.span.start <= time < self.span.end and self.left <= centre < self.right


@dataclass(frozen=True)
class ComposedFilm:
    """Film, the faces that it shows, and who speaks when. A turn of a person who is never seen is a narrator's."""

    path: Path
    faces: tuple[ShownFace, ...]
    turns: tuple[SpeakerTurn, ...] = ()

    def person_at(self, time: float, centre: float) -> str | None:
        """Return whose face is seen at a time with its middle there, in widths of the picture."""
        return next((face.person for face in self.faces if face.holds(time, centre)), None)


@dataclass(frozen=True)
class TalkingClip:
    """Clip of one person who talks: square pictures at RATE, and sound."""

    person: str
    pictures: list[Picture]
    sound: FloatArray

    @property
    def still(self) -> Picture:
        """The picture of the quietest moment."""
        step = SAMPLE_RATE // RATE
        levels = [float(np.abs(self.sound[step * n : step * (n + 2)]).mean()) for n in range(len(self.pictures) - 2)]
        return self.pictures[int(np.argmin(levels))] if levels else self.pictures[0]

    def part(self, start: float, seconds: float) -> "TalkingClip":
        """Return a stretch of the clip, which begins again at its end."""
        length = min(len(self.pictures) / RATE, len(self.sound) / SAMPLE_RATE)
        start = start % max(length - seconds, 1 / RATE)
        first, sample = round(start * RATE), round(start * SAMPLE_RATE)
        pictures = self.pictures[first : first + round(seconds * RATE)]
        return replace(self, pictures=pictures, sound=self.sound[sample : sample + round(seconds * SAMPLE_RATE)])


def read_clip(path: Path) -> TalkingClip:
    """Return a clip. Raises InvalidManifest if it cannot be read."""
    side = f"crop='min(iw,ih)':'min(iw,ih)',scale={PICTURE_SIDE}:{PICTURE_SIDE}"
    video = _ffmpeg("-i", str(path), "-vf", f"fps={RATE},{side}", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    audio = _ffmpeg("-i", str(path), "-ac", "1", "-ar", str(SAMPLE_RATE), "-f", "s16le", "-")
    pictures = np.frombuffer(video, np.uint8).reshape(-1, PICTURE_SIDE, PICTURE_SIDE, 3)
    return TalkingClip(path.stem, list(pictures), np.frombuffer(audio, "<i2").astype(np.float32) / np.float32(32768))


def _ffmpeg(*arguments: str) -> bytes:
    done = subprocess.run(["ffmpeg", "-v", "error", *arguments], capture_output=True)
    if done.returncode:
        raise InvalidManifest(f"ffmpeg: {done.stderr.decode(errors='replace').strip()[:200]}")
    return done.stdout


@dataclass
class _Reel:
    """Frames and faces of a film that is being composed."""

    chooser: np.random.Generator
    frames: list[Picture] = field(default_factory=list)
    faces: list[ShownFace] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return len(self.frames) / RATE

    def add_shot(self, shown: Sequence[tuple[str, Sequence[Picture]]]) -> None:
        """Add a shot of people in a row, with as many frames as there are pictures of the first one."""
        start, background = self.seconds, self._background()
        places = [(number + 0.5) / len(shown) for number in range(len(shown))]
        phases = self.chooser.uniform(0, 6, len(shown))
        for number in range(len(shown[0][1])):
            frame = background.copy()
            for (_, pictures), place, phase in zip(shown, places, phases, strict=True):
                _paste(frame, pictures[number], place, number / RATE + phase)
            self.frames.append(frame)
        span = TimeSpan(start, self.seconds)
        half = 0.5 / len(shown)
        for (name, _), place in zip(shown, places, strict=True):
            self.faces.append(ShownFace(name, span, place - half, place + half))

    def _background(self) -> Picture:
        coarse = self.chooser.integers(20, 220, (3, 5, 3)).astype(np.uint8)
        return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)

    def write(self, path: Path, sound: FloatArray | None = None, turns: Sequence[SpeakerTurn] = ()) -> ComposedFilm:
        """Write the film. Raises InvalidManifest if ffmpeg fails."""
        arguments = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(RATE), "-i", "-"]
        if sound is not None:
            track = path.with_suffix(".wav")
            with wave.open(str(track), "wb") as file:
                file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
                file.writeframes((sound.clip(-1, 1) * 32767).astype("<i2").tobytes())
            arguments += ["-i", str(track), "-c:a", "aac", "-b:a", "96k"]
        arguments += ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "20", "-pix_fmt", "yuv420p", "-y", str(path)]
        with subprocess.Popen(["ffmpeg", "-v", "error", *arguments], stdin=subprocess.PIPE) as encoder:
            assert encoder.stdin is not None
            for frame in self.frames:
                encoder.stdin.write(frame.tobytes())
            encoder.stdin.close()
            if encoder.wait():
                raise InvalidManifest(f"ffmpeg did not write {path.name}")
        return ComposedFilm(path, tuple(self.faces), tuple(turns))


def _paste(frame: Picture, picture: Picture, place: float, time: float) -> None:
    """Paste a picture that sways a little, with its middle at `place`."""
    side = round(PICTURE_SIDE * (1 + 0.02 * np.sin(time)))
    enlarged = cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC)
    left = round(WIDTH * place - side / 2 + 4 * np.sin(1.3 * time))
    top = round((HEIGHT - side) / 2 + 3 * np.sin(0.9 * time))
    left, top = min(max(left, 0), WIDTH - side), min(max(top, 0), HEIGHT - side)
    frame[top : top + side, left : left + side] = enlarged


def compose_pictures(
    pictures: Mapping[str, Sequence[Path]], people: int, chooser: np.random.Generator, path: Path
) -> ComposedFilm:
    """Return a film of SHOTS shots of `people` people, who show another picture of themselves in each.

    `pictures`: of each person. Each shot shows a person who was not in the one before.
    """
    names = [str(name) for name in chooser.choice(sorted(pictures), people, replace=False)]
    reel, before = _Reel(chooser), list[str]()
    for _ in range(SHOTS):
        count = 2 if chooser.random() < PAIR_SHARE else 1
        others = [name for name in names if name not in before]
        shown = [str(chooser.choice(others))]
        if count == 2:
            shown.append(str(chooser.choice([name for name in names if name not in shown])))
        frames = round(chooser.uniform(*SHOT_SECONDS) * RATE)
        reel.add_shot([(name, [_picture(pictures[name], chooser)] * frames) for name in shown])
        before = shown
    return reel.write(path)


def _picture(paths: Sequence[Path], chooser: np.random.Generator) -> Picture:
    """Return one of the pictures, with a tint and a brightness of its own."""
    image = cv2.imread(str(paths[int(chooser.integers(len(paths)))]))
    if image is None:
        raise InvalidManifest("a picture cannot be read")
    tinted = cv2.cvtColor(image, cv2.COLOR_BGR2RGB) * chooser.uniform(0.8, 1.1, 3) * chooser.uniform(0.8, 1.1)
    return np.clip(tinted, 0, 255).astype(np.uint8)


def compose_talk(
    clips: Sequence[TalkingClip], layout: Layout, turns: int, chooser: np.random.Generator, path: Path
) -> ComposedFilm:
    """Return a film in which the first two people speak in turns, or the third one does and they are silent."""
    reel, sounds, spoken = _Reel(chooser), list[FloatArray](), list[SpeakerTurn]()
    for number in range(turns):
        speaks, listens = clips[number % 2], clips[1 - number % 2]
        heard = clips[2] if layout == "narrator" else speaks
        part = heard.part(number // 2 * TURN_SECONDS, TURN_SECONDS)
        silent = [listens.still] * len(part.pictures)
        moving = [speaks.still] * len(part.pictures) if layout == "narrator" else part.pictures
        start = reel.seconds
        for shot in _shots(layout, (speaks.person, moving), (listens.person, silent), is_even=number % 2 == 0):
            reel.add_shot(shot)
        spoken.append(SpeakerTurn(TimeSpan(start, start + len(part.pictures) / RATE), heard.person))
        pause = round(PAUSE_SECONDS * RATE)
        reel.frames += [reel.frames[-1]] * pause
        length = round((len(part.pictures) + pause) / RATE * SAMPLE_RATE)
        sounds.append(np.pad(part.sound[:length], (0, max(length - len(part.sound), 0))))
    return reel.write(path, np.concatenate(sounds), spoken)


def _shots(
    layout: Layout, speaks: tuple[str, list[Picture]], listens: tuple[str, list[Picture]], *, is_even: bool
) -> Iterator[list[tuple[str, list[Picture]]]]:
    """Yield the shots of a turn."""
    if layout == "side":
        yield [speaks, listens] if is_even else [listens, speaks]
    elif layout == "counter":
        half = len(speaks[1]) // 2
        yield [(speaks[0], speaks[1][:half])]
        yield [(listens[0], listens[1][half:])]
    else:
        yield [speaks]
