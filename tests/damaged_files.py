"""Media as a failing disk or somebody who means harm would leave them: small files of every format, then damaged."""

import random
import resource
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ml.errors import AffectError
from ml.media import Decoder, DecodeRequest, MediaLimits, load_image, probe
from tests.media_files import (
    AUDIO_CODECS,
    IMAGE_SUFFIXES,
    VIDEO_CODECS,
    make_audio,
    make_gif_film,
    make_image,
    make_video,
)

KINDS = ("bits", "head", "noise", "zeros", "ones", "cut", "swap", "twice")
CODES = {
    "media_invalid",
    "unsupported_media",
    "no_streams",
    "media_too_large_frame",
    "media_too_long",
}
MOST_SECONDS = 30.0
"""For one small file, on a busy machine."""


def make_seeds(folder: Path) -> list[Path]:
    """A very small file of each format."""
    videos = [make_video(folder / f"video{s}", 1.2, size=(64, 48), fps=10) for s in VIDEO_CODECS]
    faststart = ["-movflags", "+faststart"]
    videos.append(make_video(folder / "front.mp4", 1.2, size=(64, 48), fps=10, options=faststart))
    sounds = [make_audio(folder / f"audio{s}", 1.2, rate=48_000) for s in AUDIO_CODECS]
    images = [make_image(folder / f"image{s}", (64, 48), exif_orientation=_turn(s)) for s in IMAGE_SUFFIXES]
    return [*videos, make_gif_film(folder / "film.gif"), *sounds, *images]


def _turn(suffix: str) -> int | None:
    return None if suffix in (".bmp", ".gif") else 6


def mutations(seeds: Sequence[Path], folder: Path, count: int) -> Iterator[Path]:
    """`count` files, the same ones each time: each seed in turn, damaged in a way that chance chooses.

    Flipped bits, bytes changed in the head, blocks of noise, zeros or ones, cut off, the head of one format on the
    body of another, a part said twice.
    """
    chance = random.Random(20_24)
    for number in range(count):
        seed = seeds[number % len(seeds)]
        kind = chance.choice(KINDS)
        content = damaged(seed.read_bytes(), kind, seeds, chance)
        path = folder / f"{number:04d}-{kind}-{seed.suffix[1:]}.bin"
        path.write_bytes(content)
        yield path


def damaged(whole: bytes, kind: str, seeds: Sequence[Path], chance: random.Random) -> bytes:
    content = bytearray(whole)
    at = chance.randrange(len(content))
    length = min(len(content) - at, chance.choice([4, 8, 64, 1000]))
    if kind == "bits":
        for _ in range(chance.randint(1, 40)):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    elif kind == "head":
        for _ in range(chance.randint(1, 8)):
            content[chance.randrange(min(400, len(content)))] = chance.randrange(256)
    elif kind == "cut":
        del content[max(at, 1) :]
    elif kind == "swap":
        head = chance.randrange(8, 200)
        content[:head] = chance.choice(seeds).read_bytes()[:head]
    elif kind == "twice":
        content[at:at] = content[at : at + length]
    else:
        content[at : at + length] = {"noise": chance.randbytes(length), "zeros": bytes(length)}.get(
            kind, b"\xff" * length
        )
    return bytes(content)


@dataclass(frozen=True)
class Outcome:
    """`code`: of the error that the file ended with; `read` where there was none."""

    name: str
    code: str
    seconds: float


@dataclass(frozen=True)
class Survey:
    """What became of the files. `own_bytes`: how much our process grew; `child_bytes`: the largest ffmpeg."""

    outcomes: tuple[Outcome, ...]
    own_bytes: int
    child_bytes: int

    @property
    def slowest(self) -> Outcome:
        return max(self.outcomes, key=lambda outcome: outcome.seconds)

    def __str__(self) -> str:
        counts = Counter(outcome.code for outcome in self.outcomes)
        lines = [f"{len(self.outcomes)} damaged files"]
        lines += [f"  {code:<22} {count:>5}" for code, count in counts.most_common()]
        lines.append(f"  slowest {self.slowest.name}: {self.slowest.seconds:.1f} s")
        lines.append(f"  largest child {self.child_bytes >> 20} MiB, own growth {self.own_bytes >> 20} MiB")
        return "\n".join(lines)


def read_all(path: Path, limits: MediaLimits, scratch: Path) -> np.ndarray:
    """All of a file's sound, or its picture; frames are decoded and dropped."""
    info = probe(path, limits)
    if info.kind == "image":
        return load_image(path, info, limits).image
    with Decoder(path, info, DecodeRequest(4.0, audio=True), limits=limits, scratch=scratch) as decoder:
        for frame in decoder.frames():
            assert frame.image.shape[2] == 3
        assert decoder.duration is not None and 0 < decoder.duration <= limits.max_seconds
        return np.array(decoder.pcm())


def survey(seeds: list[Path], folder: Path, count: int, limits: MediaLimits) -> Survey:
    """Reads `count` damaged files as a worker would, two at a time, and removes them. Raises any error without a code.

    In a process of its own: a process knows the peak memory of its life, and of all its children, alone.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_survey, seeds, folder, count, limits).result()


def _survey(seeds: list[Path], folder: Path, count: int, limits: MediaLimits) -> Survey:

    def attempt(path: Path) -> Outcome:
        began = time.monotonic()
        try:
            read_all(path, limits, folder)
            code = "read"
        except AffectError as error:
            assert error.stage in ("probe", "decode"), path.name
            code = error.code
        path.unlink()
        return Outcome(path.name, code, time.monotonic() - began)

    before = _peak_bytes(resource.RUSAGE_SELF)
    with ThreadPoolExecutor(max_workers=2) as pool:
        outcomes = tuple(pool.map(attempt, mutations(seeds, folder, count)))
    growth = _peak_bytes(resource.RUSAGE_SELF) - before
    return Survey(outcomes, growth, _peak_bytes(resource.RUSAGE_CHILDREN))


def check(found: Survey) -> None:
    """Every file was read or has a code, in bounded time and memory, and nothing of it is left."""
    codes = {outcome.code for outcome in found.outcomes}
    assert {"read", "media_invalid"} <= codes <= {"read"} | CODES, codes
    assert found.slowest.seconds < MOST_SECONDS, found.slowest
    assert found.own_bytes < 256 * 2**20 and found.child_bytes < 2**30, found


def _peak_bytes(who: int) -> int:
    return resource.getrusage(who).ru_maxrss * 1024
